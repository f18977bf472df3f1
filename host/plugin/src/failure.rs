//! Errors of loading a plugin and of calling it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wasmtime::{Error, Trap};

use super::deadline::Overrun;
use super::limits::Exceeded;
use super::state::Misuse;
use crypto_tracer_event::PluginKind;

/// A plugin that cannot be loaded. The tracer does not start.
#[derive(Debug, thiserror::Error)]
#[error("the {subject} {plugin}: {problem}")]
pub struct LoadError {
    /// The object that was being loaded.
    pub subject: LoadSubject,
    /// The plugin's file, or `default`.
    pub plugin: String,
    /// The cause, and the remedy.
    pub problem: Problem,
}

/// The object that a [`LoadError`] refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadSubject {
    /// The engine that all plugins share.
    Engine,
    /// A plugin, before its kind is known.
    Plugin,
    /// A plugin as one of its kinds.
    Kind(PluginKind),
}

impl std::fmt::Display for LoadSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LoadSubject::Engine => "engine",
            LoadSubject::Plugin => "plugin",
            LoadSubject::Kind(kind) => kind.as_str(),
        })
    }
}

/// Reason why a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The program has no bundled plugin of this kind.
    #[error("there is no bundled one: name a file")]
    NoneBundled,
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// The path is not a regular file.
    #[error("is not a regular file: name the plugin's .wasm file")]
    NotAFile,
    /// The file is empty.
    #[error("is empty: build the plugin again")]
    Empty,
    /// The file is larger than the limit.
    #[error("has more than {limit} bytes, the limit for a plugin: strip it")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The file does not start with a WebAssembly header.
    #[error("is not WebAssembly: a plugin is a component, as `crypto-tracer plugin new` builds")]
    NoWasm,
    /// The file is a core module.
    #[error(
        "is a core module, not a component: build it for wasm32-wasip2, or make a component with `wasm-tools component new`"
    )]
    CoreModule,
    /// The header is that of a component; the content is invalid.
    #[error("is damaged or cut short ({0}): copy or build it again")]
    Damaged(String),
    /// A valid component that uses a WebAssembly feature that the engine does not support.
    #[error("uses {0}, which plugins cannot use: build it for wasm32-wasip2 without that")]
    Feature(&'static str),
    /// Its parts exceed the bounds within which compilation is fast.
    #[error("has {0}: build it with optimisations, or split it")]
    TooComplex(String),
    /// Compilation exceeded its time limit.
    #[error(
        "took longer to compile than {0:?}, the limit: build it with optimisations, or split it"
    )]
    TooSlow(std::time::Duration),
    /// The compilation of an earlier plugin exceeded its limit and is still running.
    #[error(
        "cannot be compiled while an earlier plugin that exceeded its time limit is still compiling: try again later"
    )]
    StillCompiling,
    /// Shutdown was requested.
    #[error("was not started, because the run is ending")]
    Stopped,
    /// It imports an interface outside the contract.
    #[error(
        "imports `{0}`, which plugins cannot use: they can import only crypto-tracer:plugin, no files, no network"
    )]
    Foreign(String),
    /// An incompatible version of the contract.
    #[error(
        "is built for version {built_for} of the plugin contract, this program has {supported}: {remedy}"
    )]
    Version {
        /// The plugin's version.
        built_for: String,
        /// This program's version.
        supported: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// A compatible later version of the contract; the plugin imports a function that this program does not have.
    #[error(
        "is built for version {built_for} of the plugin contract and uses `{missing}`, which version {supported} of this program \
         does not have: update crypto-tracer, or build the plugin for version {supported}"
    )]
    Newer {
        /// The plugin's version.
        built_for: String,
        /// This program's version.
        supported: String,
        /// Name of the function.
        missing: String,
    },
    /// The component does not export the interface of this kind.
    #[error("exports no {wanted}: it exports {exports}")]
    OtherWorld {
        /// The interface.
        wanted: &'static str,
        /// The interfaces that it exports.
        exports: String,
    },
    /// It reads file heads without the grant.
    #[error(
        "reads file heads, which needs a grant: add `allow = [\"file-head\"]` to its entry in the configuration"
    )]
    NeedsGrant,
    /// The file does not match the pinned hash.
    #[error(
        "has sha256 {found}, but {pinned} is pinned: restore the file of the pin, or, if this file is right, write \
         `sha256 = \"{found}\"` in its entry of the configuration"
    )]
    Pin {
        /// Hash of the file.
        found: String,
        /// Hash in the configuration.
        pinned: String,
    },
    /// Linking failed.
    #[error("cannot be linked: {0}")]
    Unfit(String),
    /// Instantiation failed.
    #[error("cannot be started: {0}")]
    Start(String),
    /// `configure` returned an error.
    #[error("refuses its configuration: {0}")]
    Refuses(String),
    /// The interest of all classifiers exceeds a bound.
    #[error("{0}")]
    Interest(crypto_tracer_event::interest::Refused),
    /// The file occurs twice in a chain.
    #[error("is named twice as a {0}")]
    Twice(PluginKind),
    /// Another user could change the file.
    #[error("{0}")]
    Untrusted(super::trust::Untrusted),
}

/// Source of a plugin's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// Bundled with the program.
    Bundled,
    /// A file.
    File(PathBuf),
}

impl std::fmt::Display for PluginSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PluginSource::Bundled => f.write_str("default"),
            PluginSource::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Reason why a call failed. Failures are counted by cause, so the number of causes is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Cause {
    /// The call exceeded its time limit.
    Deadline,
    /// The plugin exceeded the limit for memory or table entries.
    Memory,
    /// The plugin's stack overflowed.
    Stack,
    /// The plugin panicked: it executed an `unreachable` instruction.
    Panic,
    /// Any other trap.
    Trap,
    /// The plugin used a function that it has no access to, or exited.
    Misuse,
    /// The answer breaks the contract.
    Answer,
    /// The plugin could not be instantiated again.
    Restart,
    /// The plugin was not called: too many earlier calls failed.
    Resting,
    /// The run ended during the call.
    Stopped,
}

impl Cause {
    /// The cause as it appears in events.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Cause::Deadline => "deadline",
            Cause::Memory => "memory",
            Cause::Stack => "stack",
            Cause::Panic => "panic",
            Cause::Trap => "trap",
            Cause::Misuse => "misuse",
            Cause::Answer => "answer",
            Cause::Restart => "restart",
            Cause::Resting => "resting",
            Cause::Stopped => "stopped",
        }
    }

    /// Derives the cause from the error's type. Any other error is an invalid answer.
    pub(super) fn of(error: &Error) -> Cause {
        if let Some(overrun) = error.downcast_ref::<Overrun>() {
            return match overrun {
                Overrun::Stopped => Cause::Stopped,
                Overrun::Processor(_) | Overrun::Wall(_) => Cause::Deadline,
            };
        }
        if error.downcast_ref::<Exceeded>().is_some() {
            return Cause::Memory;
        }
        if error.downcast_ref::<Misuse>().is_some() {
            return Cause::Misuse;
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Cause::Stack,
            Some(Trap::UnreachableCodeReached) => Cause::Panic,
            Some(_) => Cause::Trap,
            None => Cause::Answer,
        }
    }
}

/// Failures of one plugin, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    total: BTreeMap<Cause, u64>,
    unreported: BTreeMap<Cause, (u64, String)>,
}

impl Failures {
    /// Counts a failure. `detail`: text for the operator; only the first one for each cause after a report is kept.
    pub(super) fn note(&mut self, cause: Cause, detail: impl FnOnce() -> String) {
        *self.total.entry(cause).or_default() += 1;
        self.unreported.entry(cause).or_insert_with(|| (0, detail())).0 += 1;
    }

    /// Returns cause, count and detail of the failures since the last call.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Cause, u64, String)> + use<> {
        let unreported = std::mem::take(&mut self.unreported);
        unreported.into_iter().map(|(cause, (count, detail))| (cause, count, detail))
    }

    /// Returns the total number of failures.
    pub(super) fn count(&self) -> u64 {
        self.total.values().sum()
    }

    /// Returns a cause other than the end of the run.
    pub(super) fn first(&self) -> Option<Cause> {
        self.total.keys().copied().find(|&cause| cause != Cause::Stopped)
    }
}
