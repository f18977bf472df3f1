//! What went wrong: while plugins are loaded, and in a call.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wasmtime::{Error, Trap};

use super::deadline::Overrun;
use super::limits::Exceeded;
use super::state::Misuse;

/// A plugin that cannot run. Nothing starts.
#[derive(Debug, thiserror::Error)]
#[error("the {kind} {plugin}: {problem}")]
pub struct LoadError {
    /// `classifier`, `redactor` or `filter`.
    pub kind: &'static str,
    /// Its file, or `default`.
    pub plugin: String,
    /// What is wrong, and what is right.
    pub problem: Problem,
}

/// What keeps a plugin from running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no default of this kind.
    #[error("there is none in the program: name a file")]
    NoneBundled,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// A directory, a device.
    #[error("is no regular file: name the plugin's .wasm file")]
    NoFile,
    /// No bytes.
    #[error("is empty: build the plugin again")]
    Empty,
    /// Too many bytes.
    #[error("has more than {most} bytes, which is the most a plugin may have: strip it")]
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// Anything.
    #[error("is no WebAssembly: a plugin is a component, as `crypto-tracer plugin new` builds")]
    NoWasm,
    /// A module without a component around.
    #[error(
        "is a core module, no component: build it for wasm32-wasip2, or make a component with `wasm-tools component new`"
    )]
    CoreModule,
    /// It begins as a component.
    #[error("is damaged or cut short ({0}): copy or build it again")]
    Damaged(String),
    /// It is sound, but needs a part of WebAssembly that the engine does not run.
    #[error("uses {0}, which plugins do not get: build it for wasm32-wasip2 without that")]
    Feature(&'static str),
    /// Nobody would wait until it is compiled.
    #[error("has {0}: build it with optimisations, or split it")]
    TooComplex(String),
    /// Somebody waited until it is compiled.
    #[error(
        "is not compiled after {0:?}, which is the most that may take: build it with optimisations, or split it"
    )]
    TooSlow(std::time::Duration),
    /// An earlier one takes too long.
    #[error(
        "waits for a plugin that is still being compiled, though it was given up: try again later"
    )]
    StillCompiling,
    /// The run is to end.
    #[error("was not started, as the run is to end")]
    Stopped,
    /// It asks for something else than this program gives.
    #[error(
        "imports `{0}`, which plugins do not get: they get crypto-tracer:plugin and nothing else, no files, no network"
    )]
    Foreign(String),
    /// Another version of the contract.
    #[error(
        "is built for version {theirs} of the plugin contract, this program has {ours}: {remedy}"
    )]
    Version {
        /// The plugin's.
        theirs: String,
        /// This program's.
        ours: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A later version of the contract, of which it needs what this program does not have.
    #[error(
        "is built for version {theirs} of the plugin contract and uses `{missing}`, which version {ours} of this program \
         does not have: update crypto-tracer, or build the plugin for version {ours}"
    )]
    Newer {
        /// The plugin's.
        theirs: String,
        /// This program's.
        ours: String,
        /// A function.
        missing: String,
    },
    /// A component of another kind.
    #[error("exports no {wanted}: it exports {exports}")]
    OtherWorld {
        /// The interface.
        wanted: &'static str,
        /// What there is.
        exports: String,
    },
    /// It needs a grant.
    #[error(
        "looks into files, which it is not allowed to: write `allow = [\"file-head\"]` beside it in the configuration"
    )]
    NeedsGrant,
    /// Another file than the one that was meant.
    #[error(
        "has sha256 {found}, but {pinned} is pinned: restore the file that was meant, or, if this one is meant, write \
         `sha256 = \"{found}\"` beside it in the configuration"
    )]
    Pin {
        /// Of the file.
        found: String,
        /// In the configuration.
        pinned: String,
    },
    /// Linking failed.
    #[error("does not fit this program: {0}")]
    Unfit(String),
    /// It does not start.
    #[error("cannot be started: {0}")]
    Start(String),
    /// It refuses its configuration.
    #[error("refuses its configuration: {0}")]
    Refuses(String),
    /// Its interest and that of the others is too much.
    #[error("{0}")]
    Interest(crypto_tracer_event::interest::Refused),
    /// The same file twice.
    #[error("is named twice as a {0}")]
    Twice(&'static str),
    /// Somebody else could change it.
    #[error("{0}")]
    Untrusted(super::trust::Untrusted),
}

/// Where a plugin's code comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// It is in the program.
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

/// Why a call failed. Few words: failures are counted by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It ran for too long.
    Deadline,
    /// It wanted more memory, or a larger table, than it may have.
    Memory,
    /// Its stack ran over.
    Stack,
    /// It gave up: a panic, an unreachable instruction.
    Panic,
    /// Any other trap.
    Trap,
    /// It used something that plugins do not get, or ended itself.
    Misuse,
    /// Its answer breaks the contract.
    Answer,
    /// It could not be started again.
    Restart,
    /// It was not asked: too many calls for this user had failed.
    Resting,
    /// The run ended meanwhile.
    Stopped,
}

impl Cause {
    /// One word.
    pub fn as_str(self) -> &'static str {
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

    /// As far as types tell; a wrong answer is what is left.
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
    untold: BTreeMap<Cause, (u64, String)>,
}

impl Failures {
    /// `detail`: what the operator should know besides; the first one since the last word is told.
    pub(super) fn note(&mut self, cause: Cause, detail: impl FnOnce() -> String) {
        *self.total.entry(cause).or_default() += 1;
        self.untold.entry(cause).or_insert_with(|| (0, detail())).0 += 1;
    }

    /// Cause, count and detail since the last time.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Cause, u64, String)> + use<> {
        let untold = std::mem::take(&mut self.untold);
        untold.into_iter().map(|(cause, (count, detail))| (cause, count, detail))
    }

    /// How many in all.
    pub(super) fn count(&self) -> u64 {
        self.total.values().sum()
    }

    /// A cause that is the plugin's own.
    pub(super) fn first(&self) -> Option<Cause> {
        self.total.keys().copied().find(|&cause| cause != Cause::Stopped)
    }
}
