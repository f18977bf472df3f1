//! The engine's configuration. Running and ahead-of-time compilation must use the same one, or the engine refuses the
//! compiled code.
//!
//! This file uses no other module: xtask includes it to compile the plugins before they can be embedded.

use wasmtime::{Config, Engine, OptLevel, Result};

/// Compilation target of the bundled plugins: any x86-64.
const BASELINE: &str = "x86_64-unknown-linux-gnu";
/// Reserved address space of a memory, in bytes. It equals the default memory limit, so a memory never moves.
const MEMORY_RESERVATION: u64 = 16 << 20;

/// Bytes of stack that a plugin has by default.
pub(super) const DEFAULT_STACK: usize = 512 << 10;

fn config(stack: usize) -> Config {
    let mut config = Config::new();
    // Sync calls only: no fibers, no second stacks.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(stack);
    config.memory_reservation(MEMORY_RESERVATION);
    config.memory_reservation_for_growth(0);
    config.memory_guard_size(64 << 10);
    config.guard_before_linear_memory(false);
    // Pages of the data segments are copied on write: an instance uses memory only for pages that it writes.
    config.memory_init_cow(true);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
    config.native_unwind_info(false);
    config.generate_address_map(false);
    config.cranelift_opt_level(OptLevel::Speed);
    config
}

/// `stack`: bytes of stack that a plugin may use.
pub(super) fn engine(stack: usize) -> Result<Engine> {
    Engine::new(&config(stack))
}

/// Compiles a component ahead of time, for any x86-64.
///
/// # Errors
/// The component is invalid.
pub fn precompile(component: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let mut config = config(DEFAULT_STACK);
    config
        .target(BASELINE)
        .and_then(|config| Engine::new(config))
        .and_then(|engine| engine.precompile_component(component))
        .map_err(|error| format!("{error:#}"))
}
