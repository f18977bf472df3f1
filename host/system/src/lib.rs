//! What every part of the program knows of Linux and of its own process: clocks, control groups, privileges, signals,
//! and the terminal.

pub mod boot;
pub mod cgroup;
pub mod clock;
pub mod confine;
pub mod console;
pub mod memory;
pub mod shutdown;
pub mod signals;
pub mod stdout_closed;
pub mod usage;
