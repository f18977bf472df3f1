//! crypto-tracer: which process opens which certificate, key or keystore, which loads which crypto library,
//! and what starts and ends.

pub mod boot;
pub mod bounded;
pub mod cgroup;
pub mod cli;
pub mod commands;
pub mod config;
pub mod confine;
pub mod console;
pub mod counted;
pub mod decode;
pub mod document;
pub mod enrich;
pub mod error;
pub mod event;
pub mod glob;
pub mod interest;
pub mod interruptible_read;
pub mod memory;
pub mod nearest;
pub mod output;
pub mod pipeline;
pub mod plugin;
pub mod printable;
pub mod progress;
pub mod reader;
pub mod recording;
pub mod schema;
pub mod select;
pub mod shutdown;
pub mod signals;
pub mod source;
pub mod stats;
pub mod stdout_closed;
pub mod usage;
pub mod users;
