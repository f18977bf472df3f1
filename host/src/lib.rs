//! crypto-tracer shows which process opens which certificate, key or keystore, which process loads which crypto library,
//! and which processes start and end.

pub mod cli;
pub mod commands;
pub mod config;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod interruptible_read;
mod nearest;
pub mod progress;
pub mod users;
