//! Plugins: WebAssembly components that classify and inspect files, filter events and redact texts.
//!
//! The only crate that depends on wasmtime. A plugin can call only the functions of `wit/plugin.wit`, on resources that
//! are borrowed for one call. A plugin that misbehaves fails that call, within its [`Limits`]; it never ends the program.

mod backoff;
mod budget;
mod bundled;
mod cache;
mod classifier;
mod code_cache;
mod compile;
mod compiled;
mod component;
mod contract;
mod deadline;
mod engine;
mod event_facts;
mod failure;
mod features;
mod filter;
mod homes;
mod inspect;
mod inspector;
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

pub use compiled::CompiledPlugins;
pub use engine::precompile;
pub use failure::{LoadError, LoadSubject, PluginSource, Problem};
pub use filter::{Decision, LabelChanges};
pub use inspect::{Import, Inspection, inspect};
pub use limits::Limits;
pub use log::{Level, LogLine};
pub use scoped::HeadSource;
pub use setup::{LoadedPlugin, Setup};
pub use spec::{Grant, OnFailure, PluginSpec};
pub use trust::{Origin, SITE_DIR, Trust, Untrusted};

use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{
    Asset, ClassifiedEvent, OpenedFile, PluginFailure, PluginKind, Redact, Verdict,
};

use redactor::UserRedactor;
use setup::Chains;
use slot::{AnySlot, FAILURE_LEVEL};

/// All plugins of a run, in chains by kind.
pub struct Plugins {
    chains: Chains,
    interest: Interest,
    running: Vec<LoadedPlugin>,
    reads_blocks: bool,
    limits: Limits,
    on_failure: OnFailure,
    compiled: CompiledPlugins,
    log: Vec<LogLine>,
    /// Unreported failures of plugins that a reload replaced.
    past: Vec<PluginFailure>,
    past_failures: u64,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").field("running", &self.running).finish_non_exhaustive()
    }
}

impl Plugins {
    /// Reads, checks, compiles, instantiates and configures all plugins.
    ///
    /// # Errors
    /// The first plugin that cannot be loaded, with the cause and the remedy.
    pub fn load(setup: &Setup) -> Result<Plugins, LoadError> {
        let runtime = Arc::new(setup.runtime()?);
        let mut loader = setup::Loader::new(&runtime, &setup.trust);
        let chains = loader.chains(setup)?;
        let interest = setup::interest(&chains.classifiers.slots)?;
        setup.compiled.retain_used();
        Ok(Plugins {
            chains,
            interest,
            running: loader.running,
            reads_blocks: loader.reads_blocks,
            limits: setup.limits.clone(),
            on_failure: setup.on_failure,
            compiled: setup.compiled.clone(),
            log: Vec::new(),
            past: Vec::new(),
            past_failures: 0,
        })
    }

    /// Combined interest of all classifiers.
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Whether a filter imports the function that returns facts of ancestors. If not, events need none.
    pub fn asks_for_ancestors(&self) -> bool {
        self.running
            .iter()
            .any(|plugin| plugin.kind == PluginKind::Filter && plugin.asks_for_ancestors)
    }

    /// The compiled plugins, for [`Setup::compiled`] of a reload.
    pub fn compiled(&self) -> &CompiledPlugins {
        &self.compiled
    }

    /// Whether the classifiers are expected to read the head of this file. False if its verdict is cached.
    pub fn wants_head(&self, file: &OpenedFile) -> bool {
        self.chains.classifiers.wants_head(file)
    }

    /// Whether a plugin may read the PEM blocks of files.
    pub fn reads_blocks(&self) -> bool {
        self.reads_blocks
    }

    /// Begins a batch of events, whose heads have new numbers.
    pub fn start_batch(&mut self) {
        self.chains.classifiers.start_batch();
    }

    /// Classifies a file. `uid`: user of the event; `flags`: flags of the open; `heads`: read only if a plugin reads the
    /// head.
    pub fn classify(
        &mut self,
        uid: u32,
        file: &OpenedFile,
        flags: u32,
        heads: &mut dyn HeadSource,
    ) -> Verdict {
        self.chains.classifiers.classify(uid, file, flags, heads)
    }

    /// Lists what a file contains. `None`: the setup did not ask for assets, so no inspector runs. The arguments are those
    /// of [`Plugins::classify`].
    pub fn inspect(
        &mut self,
        uid: u32,
        file: &OpenedFile,
        flags: u32,
        heads: &mut dyn HeadSource,
    ) -> Option<Arc<[Asset]>> {
        let inspectors = self.chains.inspectors.as_mut()?;
        Some(inspectors.inspect(uid, file, flags, heads))
    }

    /// Runs the filters on an event.
    pub fn decide(&mut self, event: &ClassifiedEvent) -> Decision {
        filter::decide(&mut self.chains.filters, event)
    }

    /// Redactor for the texts of one event of this user.
    pub fn redactor(&mut self, uid: u32) -> impl Redact {
        UserRedactor { redactors: &mut self.chains.redactors, uid }
    }

    /// Returns the failures since the last call. Call this at most once a second, and at the end of the run.
    pub fn take_failures(&mut self) -> Vec<PluginFailure> {
        /// Maximum number of lines in the queue until taken.
        const MAX_LINES: usize = 64;
        let mut failures = std::mem::take(&mut self.past);
        for (failure, detail) in self.chains.slots_mut().flat_map(|slot| slot.take_failures()) {
            if !detail.is_empty() && self.log.len() < MAX_LINES {
                let message = format!("failed as a {}: {detail}", failure.kind);
                self.log.push(LogLine {
                    plugin: (*failure.plugin).into(),
                    level: FAILURE_LEVEL,
                    message,
                });
            }
            failures.push(failure);
        }
        failures
    }

    /// Log lines of plugins, and details of the failures that [`Plugins::take_failures`] returned.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        let mut lines = std::mem::take(&mut self.log);
        self.chains.slots_mut().for_each(|slot| lines.extend(slot.take_log()));
        lines
    }

    /// Total number of failed calls.
    pub fn failures(&self) -> u64 {
        self.past_failures + self.chains.slots().map(|slot| slot.failures().count()).sum::<u64>()
    }

    /// Returns the reason to end the run: the first failure, with [`OnFailure::Stop`]. `None`: the run continues.
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

    /// Replaces all plugins by `next` between two events, with empty caches. Unreported failures are kept. Returns one
    /// line for each change.
    ///
    /// Loading is slow, replacing is not: load `next` on another thread.
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

    /// Number of events that each filter dropped, by `name@version`.
    pub fn drops(&self) -> impl Iterator<Item = (&str, u64)> {
        self.chains.filters.iter().map(|slot| (&*slot.name, slot.drops))
    }

    /// Bytes of linear memory of all instances.
    pub fn memory(&self) -> usize {
        self.chains.slots().map(AnySlot::memory).sum()
    }

    /// All loaded plugins: classifiers, redactors, filters, inspectors, each in the order of its chain.
    pub fn running(&self) -> &[LoadedPlugin] {
        &self.running
    }
}
