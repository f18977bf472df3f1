//! Facilities of Linux and of this process that every crate uses: clocks, control groups, privileges, signals and the
//! console.

pub mod accounts;
pub mod backoff;
pub mod boot;
pub mod cgroup;
pub mod clock;
pub mod confine;
pub mod console;
pub mod fs_magic;
pub mod memory;
pub mod mountinfo;
pub mod share;
pub mod shutdown;
pub mod signals;
pub mod stdout_closed;
pub mod usage;
