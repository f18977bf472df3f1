//! `cargo xtask opener`: system calls in a loop, timed; what the benchmark and the kernel matrix trace.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::thread::CpuSet;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Options of `opener`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is repeated
    #[arg(value_enum)]
    call: Call,
    /// How often
    #[arg(long, default_value = "100000")]
    count: u64,
    /// In how many parts it is timed
    #[arg(long, default_value = "50")]
    batches: u64,
    /// At most so many a second
    #[arg(long)]
    rate: Option<u32>,
    /// On this processor only
    #[arg(long)]
    cpu: Option<usize>,
    /// Begin when a line comes on standard input
    #[arg(long)]
    wait: bool,
    /// With `open`: files, in turn
    paths: Vec<PathBuf>,
}

/// A system call, or a pair.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Call {
    /// open and close
    Open,
    /// getppid: a call that is no open
    Getppid,
}

/// Times for one repetition, in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Times {
    /// Processor time, median of the parts.
    pub(crate) cpu_ns: f64,
    /// Processor time of the quickest part.
    pub(crate) cpu_min_ns: f64,
    /// Time by the clock for all.
    pub(crate) total_seconds: f64,
}

/// Does it and prints the times as JSON.
pub(crate) fn run(options: &Options) -> Result<()> {
    if let Some(cpu) = options.cpu {
        let mut set = CpuSet::new();
        set.set(cpu);
        rustix::thread::sched_setaffinity(None, &set).context("cannot stay on one processor")?;
    }
    if options.wait {
        std::io::stdin().lock().read_line(&mut String::new())?;
    }
    let each = (options.count / options.batches.max(1)).max(1);
    let mut parts = Vec::new();
    let start = Instant::now();
    let mut done = 0;
    while done < options.count {
        let before = cpu_ns();
        for at in done..done + each {
            once(options, at)?;
            if let Some(rate) = options.rate {
                pace(start, at + 1, rate);
            }
        }
        parts.push((cpu_ns() - before) / each as f64);
        done += each;
    }
    let total_seconds = start.elapsed().as_secs_f64();
    parts.sort_by(f64::total_cmp);
    let cpu_ns = parts.get(parts.len() / 2).copied().context("nothing was timed")?;
    let cpu_min_ns = parts.first().copied().context("nothing was timed")?;
    println!("{}", serde_json::to_string(&Times { cpu_ns, cpu_min_ns, total_seconds })?);
    Ok(())
}

fn once(options: &Options, at: u64) -> Result<()> {
    match options.call {
        Call::Getppid => {
            std::hint::black_box(rustix::process::getppid());
        }
        Call::Open => {
            let count = u64::try_from(options.paths.len())?;
            let turn = usize::try_from(at.checked_rem(count).unwrap_or_default())?;
            let Some(path) = options.paths.get(turn) else { bail!("open needs a path") };
            open(path)?;
        }
    }
    Ok(())
}

/// Opens and closes a file.
fn open(path: &Path) -> Result<()> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    drop(file.with_context(|| format!("cannot open {}", path.display()))?);
    Ok(())
}

/// Waits until `done` calls are due.
fn pace(start: Instant, done: u64, rate: u32) {
    let due = Duration::from_secs_f64(done as f64 / f64::from(rate));
    let ahead = due.saturating_sub(start.elapsed());
    // A sleep costs 50 µs: several calls come together at high rates.
    if ahead > Duration::from_millis(1) {
        std::thread::sleep(ahead);
    }
}

fn cpu_ns() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
