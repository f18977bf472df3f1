//! `cargo xtask opener`: system calls in a loop, timed; what the benchmark and the kernel matrix trace.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};
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
    /// With `open`, `stat` and `mmap`: files, in turn
    paths: Vec<PathBuf>,
}

/// A system call, or a pair.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Call {
    /// open and close
    Open,
    /// getppid: a call that is no open
    Getppid,
    /// stat: a call that takes a path and is no open
    Stat,
    /// mmap and munmap of a file, to be executed
    Mmap,
    /// fork, exec and exit of /bin/true
    Spawn,
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
        let before = cpu_ns(options.call);
        for at in done..done + each {
            once(options, at)?;
            if let Some(rate) = options.rate {
                pace(start, at + 1, rate);
            }
        }
        parts.push((cpu_ns(options.call) - before) / each as f64);
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
        Call::Open => open(path(options, at)?)?,
        Call::Stat => {
            let path = path(options, at)?;
            let stat = rustix::fs::stat(path);
            std::hint::black_box(stat.with_context(|| format!("cannot stat {}", path.display()))?);
        }
        Call::Mmap => map(path(options, at)?)?,
        Call::Spawn => {
            let status = std::process::Command::new("/bin/true").status()?;
            ensure!(status.success(), "/bin/true ended with {status}");
        }
    }
    Ok(())
}

fn path(options: &Options, at: u64) -> Result<&Path> {
    let count = u64::try_from(options.paths.len())?;
    let turn = usize::try_from(at.checked_rem(count).unwrap_or_default())?;
    options.paths.get(turn).map(PathBuf::as_path).context("it needs a path")
}

/// Maps the file's first page as code, and lets go of it. The file is opened once.
fn map(path: &Path) -> Result<()> {
    static FILE: OnceLock<Option<std::fs::File>> = OnceLock::new();
    let file = FILE.get_or_init(|| std::fs::File::open(path).ok()).as_ref();
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let size = rustix::param::page_size();
    let prot = ProtFlags::READ | ProtFlags::EXEC;
    // SAFETY: a new mapping at a place that the kernel chooses; nobody reads or runs it, and it is gone at once.
    unsafe {
        let page = rustix::mm::mmap(ptr::null_mut(), size, prot, MapFlags::PRIVATE, file, 0)?;
        rustix::mm::munmap(page, size)?;
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

/// Processor time of this thread, and with `spawn` of the children that ended.
fn cpu_ns(call: Call) -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let own = now.tv_sec as f64 * 1e9 + now.tv_nsec as f64;
    if !matches!(call, Call::Spawn) {
        return own;
    }
    // SAFETY: all zeros is a rusage, which the kernel then fills.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: one rusage to write to.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut used) };
    let ns = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
    own + ns(used.ru_utime) + ns(used.ru_stime)
}
