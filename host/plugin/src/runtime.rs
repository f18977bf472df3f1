//! What all plugins of a run share.

use wasmtime::Engine;

use super::limits::Limits;
use super::ticker::Ticker;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::shutdown::Shutdown;

/// What all plugins share.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) ticker: Ticker,
    pub(super) limits: Limits,
    pub(super) shutdown: Shutdown,
    pub(super) clock: Clock,
    pub(super) every_call: bool,
}
