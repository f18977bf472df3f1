//! What a command asks of a live run.

use std::path::Path;

use crate::cli::{Capture, PluginArgs, Trace};
use crypto_tracer_event::EventKinds;
use crypto_tracer_pipeline::Redaction;
use crypto_tracer_system::console::Console;

/// What a command asks of a run.
#[derive(Debug)]
pub(super) struct RunRequest<'a> {
    pub(super) kinds: EventKinds,
    pub(super) trace: &'a Trace,
    pub(super) plugins: &'a PluginArgs,
    pub(super) capture: &'a Capture,
    pub(super) redaction: Redaction,
    /// Whether the output shows what files contain, so that inspectors run.
    pub(super) needs_assets: bool,
    /// The file of `--output`.
    pub(super) output: Option<&'a Path>,
    /// Whether the kernel side may apply `--name`.
    pub(super) names_in_kernel: bool,
    pub(super) console: Console,
}
