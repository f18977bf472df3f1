//! Plugins: who says what a file is, what must not be shown, and which events are left out.
//!
//! The only place that knows wasmtime. A plugin gets nothing but what `wit/plugin.wit` says, for the length of one
//! call, and whatever it does costs that one call: see [`Limits`]. Nothing here ends the program.

mod backoff;
mod budget;
mod bundled;
mod cache;
mod classifier;
mod compile;
mod component;
mod contract;
mod deadline;
mod engine;
mod failure;
mod features;
mod filter;
mod homes;
mod inspect;
mod instance;
mod kind;
mod limits;
mod log;
mod passwd;
mod precheck;
mod redactor;
mod runtime;
mod scoped;
mod setup;
mod slot;
mod spec;
#[expect(unreachable_pub, reason = "bindgen's code re-exports the resources' types")]
mod state;
#[cfg(test)]
mod tests;
mod text;
mod ticker;
mod trust;
mod validate;
mod wasi;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use engine::precompile;
pub use failure::{Cause, LoadError, LoadSubject, PluginSource, Problem};
pub use filter::Decision;
pub use inspect::{Import, Inspection, inspect};
pub use limits::Limits;
pub use log::{Level, LogLine};
pub use redactor::REDACTED;
pub use scoped::HeadSource;
pub use setup::{LoadedPlugin, Setup};
pub use spec::{Grant, OnFailure, PluginSpec};
pub use trust::{Origin, SITE, Trust, Untrusted};

use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{ClassifiedEvent, OpenedFile, PluginFailure, Redact, Verdict};

use redactor::ForUser;
use setup::Chains;
use slot::{AnySlot, TOLD};

/// The plugins of a run, in their order.
pub struct Plugins {
    chains: Chains,
    interest: Interest,
    running: Vec<LoadedPlugin>,
    limits: Limits,
    on_failure: OnFailure,
    log: Vec<LogLine>,
    /// Failures of plugins that a reload took away.
    past: Vec<PluginFailure>,
    past_failures: u64,
    /// The first moment of a replay, in nanoseconds since 1970, and what the machine's clock said.
    replay_began: Option<(i128, Instant)>,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").field("running", &self.running).finish_non_exhaustive()
    }
}

impl Plugins {
    /// Reads, checks, compiles, starts and configures all plugins.
    ///
    /// # Errors
    /// The first plugin that cannot run: which, why, and what is right.
    pub fn load(setup: &Setup) -> Result<Plugins, LoadError> {
        let runtime = Arc::new(setup.runtime()?);
        let mut loader = setup::Loader::new(&runtime, &setup.trust);
        let chains = loader.chains(setup)?;
        let interest = setup::interest(&chains.classifiers.slots)?;
        Ok(Plugins {
            chains,
            interest,
            running: loader.running,
            limits: setup.limits.clone(),
            on_failure: setup.on_failure,
            log: Vec::new(),
            past: Vec::new(),
            past_failures: 0,
            replay_began: None,
        })
    }

    /// What all classifiers want to see.
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Whether the classifiers will likely want to see this file's beginning. False when the verdict is remembered.
    pub fn wants_head(&self, file: &OpenedFile) -> bool {
        self.chains.classifiers.wants_head(file)
    }

    /// What time it is in a replay, in nanoseconds since 1970: a verdict about a file that had just changed is not
    /// remembered, and plugins rest, and may speak, by that time. None: what the machine's clock says.
    pub fn set_now(&mut self, now_ns: Option<i128>) {
        self.chains.classifiers.now_ns = now_ns;
        let now = now_ns.and_then(|now_ns| {
            let (first_ns, began) = *self.replay_began.get_or_insert((now_ns, Instant::now()));
            let since = u64::try_from(now_ns.saturating_sub(first_ns)).unwrap_or(0);
            began.checked_add(Duration::from_nanos(since))
        });
        self.chains.slots_mut().for_each(|slot| slot.set_now(now));
    }

    /// What a file is. `uid`: whose event it is; `flags`: of the open; `heads`: asked only when a plugin asks.
    pub fn classify(
        &mut self,
        uid: u32,
        file: &OpenedFile,
        flags: u32,
        heads: &mut dyn HeadSource,
    ) -> Verdict {
        self.chains.classifiers.classify(uid, file, flags, heads)
    }

    /// Whether an event is shown, and what more there is to say about it.
    pub fn decide(&mut self, event: &ClassifiedEvent) -> Decision {
        filter::decide(&mut self.chains.filters, event)
    }

    /// Hides what must not be shown of an event of this user.
    pub fn redactor(&mut self, uid: u32) -> impl Redact {
        ForUser { redactors: &mut self.chains.redactors, uid }
    }

    /// What failed since the last time. Ask at most once a second, and at the end.
    pub fn take_failures(&mut self) -> Vec<PluginFailure> {
        /// Lines that wait when nobody takes them.
        const MOST_LINES: usize = 64;
        let mut failures = std::mem::take(&mut self.past);
        for (failure, detail) in self.chains.slots_mut().flat_map(|slot| slot.take_failures()) {
            if !detail.is_empty() && self.log.len() < MOST_LINES {
                let message = format!("failed as a {}: {detail}", failure.kind);
                self.log.push(LogLine { plugin: (*failure.plugin).into(), level: TOLD, message });
            }
            failures.push(failure);
        }
        failures
    }

    /// What plugins say to the operator, and details of what [`Plugins::take_failures`] told.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        let mut lines = std::mem::take(&mut self.log);
        self.chains.slots_mut().for_each(|slot| lines.extend(slot.take_log()));
        lines
    }

    /// How many calls failed in all.
    pub fn failures(&self) -> u64 {
        self.past_failures + self.chains.slots().map(|slot| slot.failures().count()).sum::<u64>()
    }

    /// Why the run has to end now: with [`OnFailure::Shutdown`] any failure is a reason.
    pub fn must_end(&self) -> Option<String> {
        if self.on_failure == OnFailure::Continue || self.failures() == 0 {
            return None;
        }
        self.running.iter().zip(self.chains.slots()).find_map(|(plugin, slot)| {
            let LoadedPlugin { kind, name, version, .. } = plugin;
            let cause = slot.failures().first()?.as_str();
            Some(format!(
                "the {kind} {name}@{version} failed ({cause}), and on_failure is \"stop\""
            ))
        })
    }

    /// Puts `next` in the place of these, between two events; nothing is remembered of their answers. Failures that
    /// were not told yet still are. Tells what changed, a line for each.
    ///
    /// Loading takes time, this does not: load on another thread.
    pub fn replace(&mut self, next: Plugins) -> Vec<String> {
        let changes = setup::changes(self, &next);
        let past = self.take_failures();
        let log = self.take_log();
        let past_failures = self.failures();
        *self = next;
        self.past = past;
        self.past_failures += past_failures;
        self.log.splice(0..0, log);
        changes
    }

    /// Bytes of memory that the running instances hold, all together.
    pub fn memory(&self) -> usize {
        self.chains.slots().map(AnySlot::memory).sum()
    }

    /// What runs, in order.
    pub fn running(&self) -> &[LoadedPlugin] {
        &self.running
    }
}
