//! Sends a recording through the steps behind the kernel.

use std::borrow::Cow;
use std::io::Read;

use super::losses::{EVERY, LOOK};
use super::status::status;
use super::{Pipeline, RecordedHeads, RecordingCoverage};
use crate::recording::{Damage, Frame, Frames};
use crate::stats::{LossCount, Stats};
use crypto_tracer_event::{Loss, Notice, RawRecord, Timestamp};
use crypto_tracer_output::Output;
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
    pipeline: &mut Pipeline<impl Output>,
    heads: &RecordedHeads,
    mut coverage: RecordingCoverage,
    signals: &Signals,
) -> Replayed {
    let mut last = Timestamp::default();
    let mut tell_at = i64::MIN;
    let replayed = loop {
        let mut is_flush_due = false;
        if pipeline.shutdown.is_requested() || pipeline.stages.plugins.must_end().is_some() {
            break Replayed::Whole;
        }
        if signals.take_status_asked() {
            let at = pipeline.clock.now();
            let notice = status(&pipeline.stats, &pipeline.stages.plugins, &[], at);
            is_flush_due |= pipeline.output.notice(&notice);
        }
        match frames.next_frame() {
            Ok(Frame::Records { wall_offset_ns, records }) => {
                last = process(wall_offset_ns, &records, pipeline, heads).await.unwrap_or(last);
                // By the recording's own time: a replay prints the same each time, however long it takes.
                if last.0 >= tell_at {
                    let wait = if pipeline.report_failures(last) { EVERY } else { LOOK };
                    tell_at = last.0.saturating_add(wait.as_micros() as i64);
                }
            }
            Ok(Frame::Heads(asked)) => heads.add(asked),
            Ok(Frame::OtherHeads(asked)) => heads.add_others(asked),
            Ok(Frame::Interest(then)) => {
                let changes = coverage.change(pipeline.stages.plugins.interest(), *then);
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
                    let notice = Notice::EventsLost(Timestamp(at_us), loss);
                    is_flush_due |= pipeline.output.notice(&notice);
                }
            }
            // A second start has nothing to say; the others come in today's form.
            Ok(Frame::Start(_) | Frame::HeadsUntil3(_) | Frame::OtherHeadsIn3(_)) => {}
            Ok(Frame::End) => break Replayed::Whole,
            // What it was read from gave up because the end was asked for.
            Err(Damage::Io(_)) if pipeline.shutdown.is_requested() => break Replayed::Whole,
            Err(damage) => break Replayed::Damaged(damage),
        }
        if is_flush_due {
            pipeline.output.flush().await;
        }
    };
    pipeline.report_failures(last);
    pipeline.output.flush().await;
    replayed
}

/// The time of the last event.
async fn process(
    wall_offset_ns: i64,
    records: &[Vec<u8>],
    pipeline: &mut Pipeline<impl Output>,
    heads: &RecordedHeads,
) -> Option<Timestamp> {
    pipeline.clock.replay_to(wall_offset_ns, None);
    let mut batch = Vec::with_capacity(records.len().min(BATCH));
    let mut last = None;
    for records in records.chunks(BATCH) {
        if pipeline.shutdown.is_requested() {
            break;
        }
        for record in records {
            pipeline.decode(RawRecord(record), &mut batch);
        }
        last = last.max(batch.iter().map(|event| event.ts_ns).max());
        // The recorded run classified after the batch's last event, so this time is slightly early. That is safe: a
        // verdict that is not remembered because of it is asked for again.
        pipeline.clock.replay_to(wall_offset_ns, last);
        pipeline.process(&mut batch).await;
    }
    heads.batch_ends();
    Some(pipeline.clock.wall(last?))
}

/// A cause that a recording names, as far as it is a word and one of few.
fn known(cause: String, stats: &Stats) -> Cow<'static, str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let word = (1..=CAUSE).contains(&cause.len()) && cause.bytes().all(plain);
    let room = stats.lost.len() < MOST_CAUSES || stats.lost.contains_key(&*cause);
    if word && room { Cow::Owned(cause) } else { Cow::Borrowed("unknown") }
}
