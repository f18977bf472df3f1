//! The head of one file, as the source for plugins.

use std::rc::Rc;
use std::time::Instant;

use super::{HeadReader, Prefetch, RequestNumber, is_remote, wanted};
use crypto_tracer_event::{FileStat, HeadOutcome, OpenedFile, PemBlock, ProcessFacts};
use crypto_tracer_plugin::HeadSource;
use crypto_tracer_reader::{Found, HeadRefusal, HeadResponse, Wanted};

/// The head of one file, as the source for classifiers.
#[derive(Debug)]
pub(crate) struct EventHead<'a> {
    reader: &'a mut dyn HeadReader,
    until: Instant,
    prefetch: Prefetch,
    /// All that plugins may see, once it was requested.
    visible: Prefetch,
    process: &'a ProcessFacts,
    file: &'a OpenedFile,
    flags: u32,
    /// The cache miss was reported: once for each event.
    has_missed: bool,
    /// A plugin read the metadata.
    has_read_stat: bool,
    /// A plugin may read the PEM blocks.
    blocks: bool,
}

impl<'a> EventHead<'a> {
    pub(crate) fn new(
        (reader, until): (&'a mut dyn HeadReader, Instant),
        prefetch: Prefetch,
        process: &'a ProcessFacts,
        file: &'a OpenedFile,
        flags: u32,
        blocks: bool,
    ) -> EventHead<'a> {
        EventHead {
            reader,
            until,
            prefetch,
            visible: Prefetch::NotRequested,
            process,
            file,
            flags,
            has_missed: false,
            has_read_stat: false,
            blocks,
        }
    }

    fn answer(&mut self) -> Option<&HeadResponse> {
        if matches!(self.prefetch, Prefetch::NotRequested) {
            let request = wanted(self.process, self.file, self.flags);
            let request = Wanted { blocks: self.blocks, ..request };
            let answer = self.reader.read(&[request], self.until).pop().flatten();
            self.prefetch = Prefetch::Requested(answer.map(Rc::new), RequestNumber::MAX);
        }
        let Prefetch::Requested(answer, _) = &self.prefetch else { return None };
        if answer.is_none() && !std::mem::replace(&mut self.has_missed, true) {
            self.reader.on_cache_miss(&wanted(self.process, self.file, self.flags).file);
        }
        answer.as_deref()
    }
}

/// Why the content of a file is not requested.
fn unread(file: &OpenedFile) -> Option<HeadOutcome> {
    // The content of a new file depends on the time of the read, so it is never read.
    let created = file.created.then_some(HeadOutcome::Created);
    created.or_else(|| is_remote(file).then_some(HeadOutcome::Remote))
}

/// The content and the outcome of an answer.
fn outcome(answer: Option<&HeadResponse>) -> (&[u8], HeadOutcome) {
    let Some(HeadResponse { head, found, .. }) = answer else {
        return (&[], HeadOutcome::Late);
    };
    match (head, found) {
        (Ok(head), Found::Same | Found::Changed) => (head, HeadOutcome::Read),
        (Ok(head), Found::Replaced) => (head, HeadOutcome::Replaced),
        (Err(HeadRefusal::Gone), _) => (&[], HeadOutcome::Gone),
        (Err(HeadRefusal::Denied), _) => (&[], HeadOutcome::Denied),
        // The outcome is also `NotNeeded` if another tracer's reader process opened the file.
        (Err(HeadRefusal::OtherTracer), _) => (&[], HeadOutcome::NotNeeded),
    }
}

impl HeadSource for EventHead<'_> {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        match unread(self.file) {
            Some(unread) => (&[], unread),
            None => outcome(self.answer()),
        }
    }

    fn visible(&mut self) -> (&[u8], HeadOutcome) {
        if let Some(unread) = unread(self.file) {
            return (&[], unread);
        }
        if matches!(self.visible, Prefetch::NotRequested) {
            let request = wanted(self.process, self.file, self.flags);
            let answer = self.reader.visible(&request, self.until).map(Rc::new);
            self.visible = Prefetch::Requested(answer, RequestNumber::MAX);
        }
        match &self.visible {
            Prefetch::Requested(answer, _) => outcome(answer.as_deref()),
            Prefetch::NotRequested => (&[], HeadOutcome::Late),
        }
    }

    fn size(&mut self) -> Option<u64> {
        if self.file.created {
            return Some(0);
        }
        if is_remote(self.file) {
            return None;
        }
        let answer = self.answer()?;
        // The reader did not open the file: the kernel's record has the size at the open.
        let was_not_opened = answer.head == Err(HeadRefusal::OtherTracer);
        let size = answer.size;
        if was_not_opened { Some(self.file.size) } else { size }
    }

    fn stat(&mut self) -> (Option<FileStat>, HeadOutcome) {
        if let Some(unread) = unread(self.file) {
            return (None, unread);
        }
        self.has_read_stat = true;
        let answer = self.answer();
        (answer.and_then(|answer| answer.stat), outcome(answer).1)
    }

    fn blocks(&mut self) -> (&[PemBlock], HeadOutcome) {
        if let Some(unread) = unread(self.file) {
            return (&[], unread);
        }
        let answer = self.answer();
        (answer.map_or(&[], |answer| answer.blocks.as_slice()), outcome(answer).1)
    }

    fn holds(&self) -> bool {
        // A change of mode, owner or links leaves the content the same, and the next open has another change time.
        let is_of_open = |answer: &HeadResponse| {
            answer.stat.is_some_and(|stat| stat.changed_ns == self.file.ctime_ns)
        };
        [&self.prefetch, &self.visible].into_iter().all(|state| match state {
            Prefetch::Requested(Some(answer), _) => {
                answer.found == Found::Same && (!self.has_read_stat || is_of_open(answer))
            }
            Prefetch::Requested(None, _) | Prefetch::NotRequested => true,
        })
    }

    fn number(&self) -> Option<usize> {
        match self.prefetch {
            Prefetch::Requested(_, number) => Some(number),
            Prefetch::NotRequested => Some(RequestNumber::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
