//! `cargo xtask napper`: a process that only sleeps. The benchmark compares the tracer's processor time with it.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;

/// Options of `napper`.
#[derive(Debug, clap::Args)]
pub(crate) struct NapperOptions {
    /// Microseconds of each sleep
    #[arg(long, default_value = "4000")]
    period_us: u64,
}

/// Sleeps until it is killed, or the process that started it ends.
pub(crate) fn run(options: &NapperOptions) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    println!("ready");
    std::io::stdout().flush()?;
    loop {
        std::thread::sleep(Duration::from_micros(options.period_us));
    }
}
