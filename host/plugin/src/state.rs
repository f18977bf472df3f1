//! The store's data: the borrowed resource of the current call, and the limits that apply while a plugin runs.
//!
//! A plugin gets each resource as a borrow with a constant handle, which refers to the scoped reference. A plugin cannot
//! keep a borrow (one that remains at the end of a call is a trap), so no table of handles is needed.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Error, Result};

use super::deadline::CallTimer;
use super::limits::{Limits, MemoryMeter};
use super::log::{Level, Log};
use super::scoped::{HeadSource, Scoped, ScopedRef};
use crypto_tracer_event::interest::{Interest, Refused};
use crypto_tracer_event::{
    ClassifiedEvent, EnrichedWhat, Field, FileStat, HeadOutcome, OpenFlags, PemBlock,
};
use crypto_tracer_system::fs_magic;

// Public, because bindgen's generated code requires it. The module is private.

/// Handle type of the file in scope.
#[derive(Debug)]
pub struct FileResource;
/// Handle type of the event in scope.
#[derive(Debug)]
pub struct EventResource;
/// Handle type of the text in scope.
#[derive(Debug)]
pub struct TextResource;
/// Handle type of the interest that `configure` fills.
#[derive(Debug)]
pub struct InterestBuilder;

/// Maximum length of a head in bytes.
const MAX_HEAD: u32 = 64 << 10;
/// Host time up to this counts as the plugin's own; longer host time is not counted.
const OWN_TIME: Duration = Duration::from_millis(1);

/// A plugin used a function in a way that the contract forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misuse {
    #[error("{0}")]
    Interest(#[from] Refused),
    #[error("exited with status {0}")]
    Exit(u8),
    #[error("called `{0}`, which plugins cannot use")]
    NotGranted(String),
    #[error("used a resource outside the call that it belongs to")]
    OutOfScope,
}

/// Data of an instance's store.
pub(super) struct State {
    pub(super) scope: ScopedRef,
    pub(super) memory: MemoryMeter,
    pub(super) timer: CallTimer,
    pub(super) log: Log,
    pub(super) interest: Interest,
    /// Outcome of reading the head, if the plugin read it.
    pub(super) head: Option<HeadOutcome>,
    /// The plugin skipped the file.
    pub(super) skipped: bool,
}

impl State {
    pub(super) fn new(limits: &Limits) -> State {
        State {
            scope: ScopedRef::default(),
            memory: MemoryMeter::new(limits),
            timer: CallTimer::start(limits.setup, limits.setup),
            log: Log::new(limits.log_lines),
            interest: Interest::default(),
            head: None,
            skipped: false,
        }
    }

    /// Logs a line for the operator. A long line is truncated.
    pub(super) fn log_line(&mut self, level: Level, message: &str) {
        self.log.line(level, message);
    }

    /// Adds an entry to the interest.
    pub(super) fn add_interest(
        &mut self,
        add: impl FnOnce(&mut Interest) -> std::result::Result<(), Refused>,
    ) -> Result<()> {
        add(&mut self.interest).map_err(|refused| Error::new(Misuse::Interest(refused)))
    }

    /// Path of the file in scope.
    pub(super) fn file_path(&self) -> Result<Vec<u8>> {
        in_scope(self.scope.with(|in_scope| match in_scope {
            Scoped::File(file, _) => Some(file.path.bytes.clone()),
            _ => None,
        }))
    }

    /// Reads from the event in scope.
    pub(super) fn event<R>(&self, read: impl FnOnce(&ClassifiedEvent) -> R) -> Result<R> {
        in_scope(self.scope.with(|in_scope| match in_scope {
            Scoped::Event(event, _) => Some(read(event)),
            _ => None,
        }))
    }

    /// A field of the event in scope by its documented name.
    pub(super) fn event_field(&self, name: &str) -> Result<Option<String>> {
        in_scope(self.scope.with(|in_scope| match in_scope {
            Scoped::Event(_, removed) if is_removed(removed, name) => Some(None),
            Scoped::Event(event, _) => Some(field(event, name).map(Cow::into_owned)),
            _ => None,
        }))
    }

    /// Removes a label of the event in scope. The list of removed names is never longer than that of the labels.
    pub(super) fn remove_event_label(&self, name: &str) -> Result<()> {
        in_scope(self.scope.with(|in_scope| {
            let Scoped::Event(event, removed) = in_scope else { return None };
            let mut removed = removed.borrow_mut();
            let label = event.labels().find(|label| *label.name == *name);
            if let Some(label) = label.filter(|label| !removed.contains(&label.name)) {
                removed.push(label.name.clone());
            }
            Some(())
        }))
    }

    /// Reads from the text in scope: field, value, arguments.
    pub(super) fn text<R>(&self, read: impl FnOnce(&Field<'_>, &str, &[String]) -> R) -> Result<R> {
        in_scope(self.scope.with(|in_scope| match in_scope {
            Scoped::Text { field, value, arguments } => Some(read(field, value, arguments)),
            _ => None,
        }))
    }

    /// Size of the file in scope when it was inspected.
    pub(super) fn file_size(&mut self) -> Result<Option<u64>> {
        let start = Instant::now();
        let size = in_scope(self.scope.with(|in_scope| match in_scope {
            Scoped::File(_, heads) => heads.try_borrow_mut().ok().map(|mut heads| heads.size()),
            _ => None,
        }))?;
        self.discount(start);
        Ok(size)
    }

    /// Head of the file in scope.
    pub(super) fn file_head(&mut self, max: u32) -> Result<Vec<u8>> {
        let max = max.min(MAX_HEAD) as usize;
        self.read_file(|heads| {
            let (head, outcome) = heads.head();
            (head.get(..head.len().min(max)).unwrap_or_default().to_vec(), outcome)
        })
    }

    /// A part of what is visible of the file in scope.
    pub(super) fn file_visible(&mut self, offset: u64, max: u32) -> Result<Vec<u8>> {
        self.read_file(|heads| {
            let (visible, outcome) = heads.visible();
            let rest = usize::try_from(offset).ok().and_then(|offset| visible.get(offset..));
            let rest = rest.unwrap_or_default();
            (rest.get(..rest.len().min(max as usize)).unwrap_or_default().to_vec(), outcome)
        })
    }

    /// A fact about the file in scope by its documented name.
    pub(super) fn file_stat(&mut self, name: &str) -> Result<Option<u64>> {
        let reported = in_scope(self.scope.with(|in_scope| match in_scope {
            Scoped::File(file, _) => Some(file.fact(name)),
            _ => None,
        }))?;
        if reported.is_some() || FileStat::default().fact(name).is_none() {
            return Ok(reported);
        }
        let stat = self.read_file(|heads| heads.stat())?;
        Ok(stat.and_then(|stat| stat.fact(name)))
    }

    /// PEM blocks of the file in scope.
    pub(super) fn file_blocks(&mut self) -> Result<Vec<PemBlock>> {
        self.read_file(|heads| {
            let (blocks, outcome) = heads.blocks();
            (blocks.to_vec(), outcome)
        })
    }

    /// Skips the file in scope.
    pub(super) fn skip_file(&mut self) -> Result<()> {
        in_scope(self.scope.with(|in_scope| matches!(in_scope, Scoped::File(..)).then_some(())))?;
        self.skipped = true;
        Ok(())
    }

    /// Type of the file system of the file in scope.
    pub(super) fn file_system(&self) -> Result<Option<String>> {
        let magic = in_scope(self.scope.with(|in_scope| match in_scope {
            Scoped::File(file, _) => Some(file.sb_magic),
            _ => None,
        }))?;
        Ok((magic != 0).then(|| fs_magic::name(magic).into_owned()))
    }

    /// Reads from the file in scope.
    fn read_file<T>(
        &mut self,
        read: impl FnOnce(&mut dyn HeadSource) -> (T, HeadOutcome),
    ) -> Result<T> {
        let start = Instant::now();
        let (content, outcome) = in_scope(self.scope.with(|in_scope| match in_scope {
            Scoped::File(_, heads) => {
                heads.try_borrow_mut().ok().map(|mut heads| read(&mut **heads))
            }
            _ => None,
        }))?;
        self.head = Some(outcome);
        self.discount(start);
        Ok(content)
    }

    fn discount(&mut self, since: Instant) {
        let took = since.elapsed();
        if took > OWN_TIME {
            self.timer.discount(took);
        }
    }
}

/// Whether this is the field of a label that a filter has removed.
fn is_removed(removed: &RefCell<Vec<Arc<str>>>, field: &str) -> bool {
    let removed = removed.borrow();
    !removed.is_empty()
        && field
            .strip_prefix("labels.")
            .is_some_and(|label| removed.iter().any(|it| **it == *label))
}

fn in_scope<R>(found: Option<Option<R>>) -> Result<R> {
    found.flatten().ok_or_else(|| Error::new(Misuse::OutOfScope))
}

/// A field by its documented name; None when this event has no such field.
fn field<'a>(event: &'a ClassifiedEvent, name: &str) -> Option<Cow<'a, str>> {
    if let Some(label) = name.strip_prefix("labels.") {
        let label = event.labels().find(|given| *given.name == *label)?;
        return Some((&*label.value).into());
    }
    if name == "ppid" {
        return Some(event.event.process.ppid.to_string().into());
    }
    match (&event.event.what, name) {
        (EnrichedWhat::FileOpen { file, .. }, "file")
        | (EnrichedWhat::LibLoad { file, .. }, "library") => {
            Some(String::from_utf8_lossy(&file.path.bytes))
        }
        (EnrichedWhat::FileOpen { .. }, "file_type") => Some(
            event.verdict.as_ref().map_or("unknown", |verdict| verdict.file_type.as_str()).into(),
        ),
        (EnrichedWhat::FileOpen { flags, .. }, "flags") => {
            Some(OpenFlags(*flags).to_string().into())
        }
        (EnrichedWhat::LibLoad { library_name, .. }, "library_name") => {
            Some(String::from_utf8_lossy(library_name))
        }
        (EnrichedWhat::Exec { arguments }, "cmdline") => {
            let arguments: Vec<Cow<'_, str>> =
                arguments.iter().map(String::from_utf8_lossy).collect();
            Some(arguments.join(" ").into())
        }
        (EnrichedWhat::Exit { exit_code, .. }, "exit_code") => Some(exit_code.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut() {
        let mut state = State::new(&Limits { log_lines: 100, ..Limits::default() });
        for length in
            [0, 1, 1023, 1024, 1025, 64 << 10, (64 << 10) + 1, 100_000, 256 << 10, 1 << 20]
        {
            state.log_line(Level::Info, &"x".repeat(length));
            let lines = state.log.take();
            let lengths: Vec<usize> = lines.iter().map(|(_, line)| line.len()).collect();
            assert_eq!(lengths, [length.min(1024)]);
        }
    }
}
