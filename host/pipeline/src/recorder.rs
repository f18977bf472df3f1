//! Writes a recording during a live run.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::HeadLog;
use crate::enrich::RunningProcess;
use crate::recording::{self, Frame, Start};
use crypto_tracer_capture::decode::meaningful_len;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{Loss, RawRecord, StatusRecording, Timestamp};
use crypto_tracer_output::{Chunk, Writer, WriterReport};
use crypto_tracer_system::clock::Clock;

/// Writes a recording. As with the output, a slow disk blocks the pipeline, and the ring fills.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer,
    clock: Clock,
    records: Vec<Vec<u8>>,
    log: Rc<RefCell<HeadLog>>,
    pending: Vec<u8>,
    has_reported: bool,
}

impl Recorder {
    /// Begins the recording. `log` contains the requests to the reader process and their answers.
    pub fn new(writer: Writer, start: Start, log: Rc<RefCell<HeadLog>>, clock: Clock) -> Recorder {
        let pending = recording::header();
        let mut recorder =
            Recorder { writer, clock, records: vec![], log, pending, has_reported: false };
        recorder.add(&Frame::Start(Box::new(start)));
        recorder
    }

    /// Adds the processes that run at the start: whichever plugins replay the recording, they may ask for ancestors.
    pub fn add_running(&mut self, running: Vec<RunningProcess>) {
        self.add(&Frame::Running(running));
    }

    /// Adds a record without its padding. A malformed record is added unchanged.
    pub(super) fn record(&mut self, record: RawRecord<'_>) {
        let len = meaningful_len(record).unwrap_or(record.0.len());
        self.records.push(record.0.get(..len).unwrap_or(record.0).to_vec());
    }

    /// Writes the records since the last call, and the answers about them.
    pub(super) async fn end_batch(&mut self) {
        // The records follow their answers: a truncated recording has no record whose answers are missing.
        let HeadLog { heads, others, cgroups } = self.log.take().deduplicated();
        if !cgroups.is_empty() {
            self.add(&Frame::Cgroups(cgroups));
        }
        if !heads.is_empty() {
            self.add(&Frame::Heads(heads));
        }
        if !others.is_empty() {
            self.add(&Frame::OtherHeads(others));
        }
        let records = std::mem::take(&mut self.records);
        let count = records.len() as u64;
        self.add(&Frame::Records { wall_offset_ns: self.clock.wall_offset_ns(), records });
        let slot = self.writer.reserve().await;
        slot.send(Chunk::raw(std::mem::take(&mut self.pending), count));
    }

    /// Returns a message when the recording cannot be written any more; pending if it can, or if it was called before.
    pub(super) async fn failed(&mut self) -> String {
        if self.has_reported {
            return std::future::pending().await;
        }
        self.writer.ended().await;
        self.has_reported = true;
        let (_, missing) = self.writer.written_and_missing();
        let target = self.writer.target().to_owned();
        let reason = self.writer.failure().map(|error| format!(": {error}")).unwrap_or_default();
        let missing = counted(missing, "record");
        format!(
            "the recording {target} is incomplete from now on{reason}; {missing} missing so far"
        )
    }

    /// Returns the state of the recording.
    pub(super) fn status(&self) -> StatusRecording {
        let (written, missing) = self.writer.written_and_missing();
        StatusRecording { written, missing }
    }

    /// Adds the interest of plugins that a reload has loaded.
    pub(super) fn add_interest(&mut self, interest: &Interest) {
        self.add(&Frame::Interest(Box::new(interest.clone())));
    }

    /// Adds losses that the run reported.
    pub(super) fn add_losses(&mut self, at: Timestamp, losses: &[Loss]) {
        let losses =
            losses.iter().map(|loss| (loss.cause.to_string(), loss.count, loss.exact)).collect();
        self.add(&Frame::Lost { at_us: at.0, losses });
    }

    /// Ends the recording. Pending data is written until `deadline`.
    pub(super) fn finish(mut self, deadline: Instant) -> WriterReport {
        self.add(&Frame::End);
        self.writer.finish(Chunk::raw(self.pending, 0), deadline)
    }

    fn add(&mut self, frame: &Frame) {
        // Encoding a frame of this program to memory does not fail.
        let _ = recording::write(frame, &mut self.pending);
    }
}
