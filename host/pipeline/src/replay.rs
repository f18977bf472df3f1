//! Sends a recording through the steps behind the kernel.

use std::borrow::Cow;
use std::io::Read;

use super::losses::{EVERY, LOOK};
use super::status::status;
use super::{Pipeline, RecordedHeads, RecordingCoverage, Sink};
use crate::recording::{Damage, Frame, Frames};
use crate::stats::{LossCount, Stats};
use crypto_tracer_event::{Loss, Notice, RawRecord, Timestamp};
use crypto_tracer_system::signals::Signals;

/// Records of one batch, as in a live run: a frame may hold more.
const BATCH: usize = 4096;
/// Causes of losses that a recording may name: more than there are.
const MOST_CAUSES: usize = 64;
/// Bytes of such a cause.
const CAUSE: usize = 64;

/// How far a replay came.
#[derive(Debug)]
pub enum Replayed {
    /// To the recording's end, or to where it was asked to stop.
    Whole,
    /// To the damage; all before it was replayed.
    Damaged(Damage),
}

/// Replays the frames behind [`Frame::Start`] through `pipeline`, whose heads are `heads`. `coverage`: what was captured at
/// the start.
pub async fn replay<R: Read>(
    mut frames: Frames<R>,
    pipeline: &mut Pipeline<impl Sink>,
    heads: &RecordedHeads,
    mut coverage: RecordingCoverage,
    signals: &Signals,
) -> Replayed {
    let mut last = Timestamp::default();
    let mut tell_at = i64::MIN;
    let replayed = loop {
        if pipeline.shutdown.is_requested() || pipeline.plugins.must_end().is_some() {
            break Replayed::Whole;
        }
        if signals.take_status_asked() {
            pipeline.sink.notice(&status(&pipeline.stats, &pipeline.plugins, &[]));
        }
        match frames.next_frame() {
            Ok(Frame::Records { wall_offset_ns, records }) => {
                last = process(wall_offset_ns, &records, pipeline, heads).await.unwrap_or(last);
                // By the recording's own time: a replay prints the same each time, however long it takes.
                if last.0 >= tell_at {
                    let wait = if pipeline.tell_failures(last) { EVERY } else { LOOK };
                    tell_at = last.0.saturating_add(wait.as_micros() as i64);
                }
            }
            Ok(Frame::Heads(asked)) => heads.add(asked),
            Ok(Frame::OtherHeads(asked)) => heads.add_others(asked),
            Ok(Frame::Interest(then)) => {
                let changes = coverage.change(pipeline.plugins.interest(), *then);
                changes
                    .iter()
                    .for_each(|it| pipeline.console.info(format_args!("from {last} on {it}")));
            }
            Ok(Frame::Cgroups(cgroups)) => {
                for (id, path) in cgroups {
                    pipeline.enrich.insert_cgroup(id, path.as_deref());
                }
            }
            Ok(Frame::Lost { at_us, losses }) => {
                for (cause, count, exact) in losses {
                    let cause = known(cause, &pipeline.stats);
                    pipeline.stats.miss(Cow::clone(&cause), LossCount { count, exact });
                    let loss = Loss { count, cause, exact };
                    pipeline.sink.notice(&Notice::EventsLost(Timestamp(at_us), loss));
                }
            }
            // A second start has nothing to say; the others come in today's form.
            Ok(Frame::Start(_) | Frame::HeadsUntil3(_) | Frame::OtherHeadsIn3(_)) => {}
            Ok(Frame::End) => break Replayed::Whole,
            // What it was read from gave up because the end was asked for.
            Err(Damage::Io(_)) if pipeline.shutdown.is_requested() => break Replayed::Whole,
            Err(damage) => break Replayed::Damaged(damage),
        }
        if pipeline.sink.is_full() {
            pipeline.sink.flush().await;
        }
    };
    pipeline.tell_failures(last);
    pipeline.sink.flush().await;
    replayed
}

/// The time of the last event.
async fn process(
    wall_offset_ns: i64,
    records: &[Vec<u8>],
    pipeline: &mut Pipeline<impl Sink>,
    heads: &RecordedHeads,
) -> Option<Timestamp> {
    pipeline.enrich.set_wall_offset_ns(wall_offset_ns);
    let mut batch = Vec::with_capacity(records.len().min(BATCH));
    let mut last = None;
    for records in records.chunks(BATCH) {
        if pipeline.shutdown.is_requested() {
            break;
        }
        for record in records {
            pipeline.decode(RawRecord(record), &mut batch);
        }
        // Whether a file had just changed when it was judged, is a question about then. A little too early is safe:
        // what is not remembered for that is asked again.
        last = last.max(batch.iter().map(|event| event.ts_ns).max());
        pipeline.plugins.set_now(last.map(|ts_ns| i128::from(ts_ns) + i128::from(wall_offset_ns)));
        pipeline.process(&mut batch).await;
    }
    heads.batch_ends();
    let boot_ns = i64::try_from(last?).unwrap_or(i64::MAX);
    Some(Timestamp(boot_ns.saturating_add(wall_offset_ns).div_euclid(1000)))
}

/// A cause that a recording names, as far as it is a word and one of few.
fn known(cause: String, stats: &Stats) -> Cow<'static, str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let word = (1..=CAUSE).contains(&cause.len()) && cause.bytes().all(plain);
    let room = stats.lost.len() < MOST_CAUSES || stats.lost.contains_key(&*cause);
    if word && room { Cow::Owned(cause) } else { Cow::Borrowed("unknown") }
}
