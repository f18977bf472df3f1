//! Writes a recording beside a live run.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::HeadLog;
use crate::recording::{self, Frame, Start};
use crypto_tracer_capture::decode::meaningful_len;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{Loss, RawRecord, Timestamp};
use crypto_tracer_output::{Chunk, Writer, WriterReport};
use crypto_tracer_system::clock::Clock;

/// A recording that is being written. Its writer is as patient as the output's: when the disk is slow, the ring fills.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer,
    clock: Clock,
    records: Vec<Vec<u8>>,
    kept: Rc<RefCell<HeadLog>>,
    pending: Vec<u8>,
}

impl Recorder {
    /// Begins the recording. `kept` collects the requests to the reader process and their answers.
    pub fn new(writer: Writer, start: Start, kept: Rc<RefCell<HeadLog>>, clock: Clock) -> Recorder {
        let pending = recording::header();
        let mut recorder = Recorder { writer, clock, records: vec![], kept, pending };
        recorder.add(&Frame::Start(Box::new(start)));
        recorder
    }

    /// Keeps a record, without the padding behind it. One that is none is kept as it is.
    pub(super) fn record(&mut self, record: RawRecord<'_>) {
        let len = meaningful_len(record).unwrap_or(record.0.len());
        self.records.push(record.0.get(..len).unwrap_or(record.0).to_vec());
    }

    /// Everything about the records since the last call is known.
    pub(super) async fn batch_ends(&mut self) {
        // The records last: a recording that ends in the middle has none whose answers are missing.
        let HeadLog { heads, others, cgroups } = self.kept.take().needed();
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
        self.add(&Frame::Records { wall_offset_ns: self.clock.wall_offset_ns(), records });
        let place = self.writer.reserve().await;
        place.send(Chunk::raw(std::mem::take(&mut self.pending)));
    }

    /// Other plugins run from here on, which want to see this.
    pub(super) fn interest(&mut self, interest: &Interest) {
        self.add(&Frame::Interest(Box::new(interest.clone())));
    }

    /// What the run said of losses.
    pub(super) fn lost(&mut self, at: Timestamp, losses: &[Loss]) {
        let losses =
            losses.iter().map(|loss| (loss.cause.to_string(), loss.count, loss.exact)).collect();
        self.add(&Frame::Lost { at_us: at.0, losses });
    }

    /// Ends the recording; what is pending is written until `deadline`.
    pub(super) fn finish(mut self, deadline: Instant) -> WriterReport {
        self.add(&Frame::End);
        self.writer.finish(Chunk::raw(self.pending), deadline)
    }

    fn add(&mut self, frame: &Frame) {
        // Encoding to memory fails for no frame that this program makes.
        let _ = recording::write(frame, &mut self.pending);
    }
}
