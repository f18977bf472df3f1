//! One file a command.

mod monitor;
mod trace;

pub use monitor::monitor;
