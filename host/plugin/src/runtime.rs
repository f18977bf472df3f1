//! The state that all plugins of a run share.

use std::sync::Arc;

use wasmtime::Engine;

use super::code_cache::CodeCache;
use super::compiled::CompiledPlugins;
use super::limits::Limits;
use super::ticker::Ticker;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::shutdown::Shutdown;

/// Engine, limits and signals of all plugins.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) ticker: Arc<Ticker>,
    pub(super) compiled: CompiledPlugins,
    pub(super) code_cache: Option<CodeCache>,
    pub(super) limits: Limits,
    pub(super) shutdown: Shutdown,
    pub(super) clock: Clock,
    /// No cache and no back-off: see [`Setup::every_call`](crate::Setup::every_call).
    pub(super) every_call: bool,
}
