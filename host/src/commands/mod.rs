//! One file a command.

mod line;
mod monitor;
pub mod plugin;
mod replay;
mod trace;

pub use monitor::monitor;
pub use replay::replay;
