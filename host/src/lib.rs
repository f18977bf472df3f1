//! crypto-tracer: which process opens which certificate, key or keystore, which loads which crypto library,
//! and what starts and ends.

pub mod cli;
pub mod commands;
pub mod config;
pub mod error;
pub mod interruptible_read;
mod nearest;
pub mod progress;
pub mod users;
