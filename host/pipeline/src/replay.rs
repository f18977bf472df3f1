//! Runs a recording through the stages of the pipeline.

use std::borrow::Cow;
use std::io::Read;

use super::losses::{CHECK_INTERVAL, REPORT_INTERVAL};
use super::status::status;
use super::{Pipeline, RecordedHeads, RecordingCoverage};
use crate::recording::{Damage, Frame, Frames};
use crate::stats::{LossCount, Stats};
use crypto_tracer_event::{Loss, Notice, RawRecord, Timestamp};
use crypto_tracer_system::signals::Signals;

/// Maximum number of records in one batch, as in a live run. A frame may contain more.
const BATCH: usize = 4096;
/// Maximum number of causes of losses that are taken from a recording: more than the program has.
const MAX_CAUSES: usize = 64;
/// Maximum length of such a cause in bytes.
const MAX_CAUSE_BYTES: usize = 64;

/// Result of a replay.
#[derive(Debug)]
pub enum Replayed {
    /// The replay reached the end of the recording, or a shutdown was requested.
    Complete,
    /// The recording is damaged. Everything before the damage was replayed.
    Damaged(Damage),
}

/// Replays the frames after [`Frame::Start`] through `pipeline`, which reads its heads from `heads`. `coverage`: what the
/// recording captured at its start.
pub async fn replay<R: Read>(
    mut frames: Frames<R>,
    pipeline: &mut Pipeline,
    heads: &RecordedHeads,
    mut coverage: RecordingCoverage,
    signals: &Signals,
) -> Replayed {
    let mut last = Timestamp::default();
    let mut next_report = i64::MIN;
    let replayed = loop {
        let mut is_flush_due = false;
        if pipeline.shutdown.is_requested() || pipeline.stages.plugins.must_end().is_some() {
            break Replayed::Complete;
        }
        if signals.take_status_asked() {
            let at = pipeline.clock.now();
            let notice = status(&pipeline.stats, &pipeline.stages.plugins, &[], None, at);
            is_flush_due |= pipeline.output.notice(&notice);
        }
        match frames.next_frame() {
            Ok(Frame::Records { wall_offset_ns, records }) => {
                last = process(wall_offset_ns, &records, pipeline, heads).await.unwrap_or(last);
                // Uses the time of the recording, so that every replay prints the same.
                if last.0 >= next_report {
                    let has_failures = pipeline.report_failures(last);
                    let wait = if has_failures { REPORT_INTERVAL } else { CHECK_INTERVAL };
                    next_report = last.0.saturating_add(wait.as_micros() as i64);
                }
            }
            Ok(Frame::Heads(exchanges)) => heads.add(exchanges),
            Ok(Frame::OtherHeads(exchanges)) => heads.add_others(exchanges),
            Ok(Frame::Interest(recorded)) => {
                let changes = coverage.change(pipeline.stages.plugins.interest(), *recorded);
                changes
                    .iter()
                    .for_each(|it| pipeline.console.info(format_args!("from {last} on {it}")));
            }
            Ok(Frame::Cgroups(cgroups)) => {
                for (id, path) in cgroups {
                    pipeline.enrich.insert_cgroup(id, path.as_deref());
                }
            }
            Ok(Frame::Running(running)) => pipeline.enrich.ancestry.add(&running),
            Ok(Frame::Lost { at_us, losses }) => {
                for (cause, count, exact) in losses {
                    let cause = bounded_cause(cause, &pipeline.stats);
                    pipeline.stats.add_loss_count(Cow::clone(&cause), LossCount { count, exact });
                    let loss = Loss { count, cause, exact };
                    let notice = Notice::EventsLost(Timestamp(at_us), loss);
                    is_flush_due |= pipeline.output.notice(&notice);
                }
            }
            // A second start is ignored. `Frames` converts the frames of older versions.
            Ok(
                Frame::Start(_)
                | Frame::HeadsV3(_)
                | Frame::OtherHeadsV3(_)
                | Frame::HeadsV4(_)
                | Frame::OtherHeadsV4(_),
            ) => {}
            Ok(Frame::End) => break Replayed::Complete,
            // The shutdown request interrupted the read.
            Err(Damage::Io(_)) if pipeline.shutdown.is_requested() => break Replayed::Complete,
            Err(damage) => break Replayed::Damaged(damage),
        }
        if is_flush_due {
            pipeline.flush().await;
        }
    };
    pipeline.report_failures(last);
    pipeline.flush().await;
    replayed
}

/// Replays the records of a frame. Returns the time of the last event.
async fn process(
    wall_offset_ns: i64,
    records: &[Vec<u8>],
    pipeline: &mut Pipeline,
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
        // verdict that is not cached because of it is computed again.
        pipeline.clock.replay_to(wall_offset_ns, last);
        pipeline.process(&mut batch).await;
    }
    heads.end_batch();
    Some(pipeline.clock.wall(last?))
}

/// Returns the cause, or `unknown` if it is not an identifier or there are too many causes.
fn bounded_cause(cause: String, stats: &Stats) -> Cow<'static, str> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_identifier =
        (1..=MAX_CAUSE_BYTES).contains(&cause.len()) && cause.bytes().all(is_allowed);
    let has_space = stats.lost.len() < MAX_CAUSES || stats.lost.contains_key(&*cause);
    if is_identifier && has_space { Cow::Owned(cause) } else { Cow::Borrowed("unknown") }
}
