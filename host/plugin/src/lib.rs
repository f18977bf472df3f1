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

pub use engine::precompile;
pub use failure::{Cause, LoadError, PluginSource, Problem};
pub use filter::Decision;
pub use inspect::{Import, Inspection, KINDS, inspect};
pub use limits::Limits;
pub use log::{Level, LogLine};
pub use redactor::REDACTED;
pub use scoped::HeadSource;
pub use setup::{LoadedPlugin, Setup};
pub use spec::{Grant, OnFailure, PluginSpec};
pub use trust::{Origin, SITE, Trust, Untrusted};

use bundled::{CLASSIFIER, REDACTOR};
use classifier::{Classifier, Classifiers};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{ClassifiedEvent, OpenedFile, PluginFailure, Redact, Verdict};

use failure::Failures;
use filter::Filter;
use kind::GuestKind;
use redactor::{ForUser, Redactor, Redactors};
use slot::{PluginSlot, TOLD};

/// The plugins of a run, in their order.
pub struct Plugins {
    classifiers: Classifiers,
    redactors: Redactors,
    filters: Vec<PluginSlot<Filter>>,
    interest: Interest,
    running: Vec<LoadedPlugin>,
    limits: Limits,
    on_failure: OnFailure,
    log: Vec<LogLine>,
    /// Failures of plugins that a reload took away.
    past: Vec<PluginFailure>,
    past_failures: u64,
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
        let classifiers = loader.chain::<Classifier>(&setup.classifiers, Some(&CLASSIFIER))?;
        let redactors = loader.chain::<Redactor>(&setup.redactors, Some(&REDACTOR))?;
        let filters = loader.chain::<Filter>(&setup.filters, None)?;
        let interest = setup::interest(&classifiers)?;
        let may_ask_for_heads = loader.asks_for_heads;
        Ok(Plugins {
            classifiers: Classifiers::new(
                classifiers,
                may_ask_for_heads,
                !setup.every_call,
                setup.clock.clone(),
            ),
            redactors: Redactors::new(redactors, setup.limits.text, !setup.every_call),
            filters,
            interest,
            running: loader.running,
            limits: setup.limits.clone(),
            on_failure: setup.on_failure,
            log: Vec::new(),
            past: Vec::new(),
            past_failures: 0,
        })
    }

    /// What all classifiers want to see.
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Whether the classifiers will likely want to see this file's beginning. False when the verdict is remembered.
    pub fn wants_head(&self, file: &OpenedFile) -> bool {
        self.classifiers.wants_head(file)
    }

    /// What a file is. `uid`: whose event it is; `flags`: of the open; `heads`: asked only when a plugin asks.
    pub fn classify(
        &mut self,
        uid: u32,
        file: &OpenedFile,
        flags: u32,
        heads: &mut dyn HeadSource,
    ) -> Verdict {
        self.classifiers.classify(uid, file, flags, heads)
    }

    /// Whether an event is shown, and what more there is to say about it.
    pub fn decide(&mut self, event: &ClassifiedEvent) -> Decision {
        filter::decide(&mut self.filters, event)
    }

    /// Hides what must not be shown of an event of this user.
    pub fn redactor(&mut self, uid: u32) -> impl Redact {
        ForUser { redactors: &mut self.redactors, uid }
    }

    /// What failed since the last time. Ask at most once a second, and at the end.
    pub fn take_failures(&mut self) -> Vec<PluginFailure> {
        let mut told = std::mem::take(&mut self.past);
        take(&mut self.classifiers.members, &mut told, &mut self.log);
        take(&mut self.redactors.members, &mut told, &mut self.log);
        take(&mut self.filters, &mut told, &mut self.log);
        told
    }

    /// What plugins say to the operator, and details of what [`Plugins::take_failures`] told.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        let mut lines = std::mem::take(&mut self.log);
        self.classifiers.members.iter_mut().for_each(|member| lines.extend(member.take_log()));
        self.redactors.members.iter_mut().for_each(|member| lines.extend(member.take_log()));
        self.filters.iter_mut().for_each(|member| lines.extend(member.take_log()));
        lines
    }

    /// How many calls failed in all.
    pub fn failures(&self) -> u64 {
        self.past_failures + self.each_failures().map(Failures::count).sum::<u64>()
    }

    /// Why the run has to end now: with [`OnFailure::Shutdown`] any failure is a reason.
    pub fn must_end(&self) -> Option<String> {
        if self.on_failure == OnFailure::Continue || self.failures() == 0 {
            return None;
        }
        let failed = self.running.iter().zip(self.each_failures());
        failed.filter_map(|(plugin, failures)| Some((plugin, failures.first()?))).next().map(
            |(plugin, cause)| {
                let LoadedPlugin { kind, name, version, .. } = plugin;
                format!(
                    "the {kind} {name}@{version} failed ({}), and on_failure is \"stop\"",
                    cause.as_str()
                )
            },
        )
    }

    /// In the order of [`Plugins::running`].
    fn each_failures(&self) -> impl Iterator<Item = &Failures> {
        let classifiers = self.classifiers.members.iter().map(|member| &member.failures);
        let redactors = self.redactors.members.iter().map(|member| &member.failures);
        let filters = self.filters.iter().map(|member| &member.failures);
        classifiers.chain(redactors).chain(filters)
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
        let classifiers = self.classifiers.members.iter().map(PluginSlot::memory);
        let redactors = self.redactors.members.iter().map(PluginSlot::memory);
        classifiers.chain(redactors).chain(self.filters.iter().map(PluginSlot::memory)).sum()
    }

    /// What runs, in order.
    pub fn running(&self) -> &[LoadedPlugin] {
        &self.running
    }
}

fn take<K: GuestKind>(
    members: &mut [PluginSlot<K>],
    told: &mut Vec<PluginFailure>,
    log: &mut Vec<LogLine>,
) {
    /// Lines that wait when nobody takes them.
    const MOST_LINES: usize = 64;
    for member in members {
        for (cause, count, detail) in member.failures.take() {
            if !detail.is_empty() && log.len() < MOST_LINES {
                let message = format!("failed as a {}: {detail}", K::NAME);
                log.push(LogLine { plugin: member.name.clone(), level: TOLD, message });
            }
            told.push(PluginFailure {
                plugin: member.name.to_string(),
                kind: K::NAME,
                cause: cause.as_str().to_owned(),
                count,
                action: K::ACTION,
            });
        }
    }
}
