//! `cargo xtask call-loop`: repeats a system call and measures it. The benchmark and the kernel matrix trace this process.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::ptr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::CpuSet;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::bench::rusage_seconds;

/// Options of `call-loop`.
#[derive(Debug, clap::Args)]
pub(crate) struct CallLoopOptions {
    /// The call to repeat
    #[arg(value_enum)]
    call: Call,
    /// Number of repetitions
    #[arg(long, default_value = "100000")]
    count: u64,
    /// Number of batches that are timed separately
    #[arg(long, default_value = "50")]
    batches: u64,
    /// Maximum number of calls per second
    #[arg(long)]
    rate: Option<u32>,
    /// Run on this processor only
    #[arg(long)]
    cpu: Option<usize>,
    /// Wait for a line on standard input before the first call
    #[arg(long)]
    wait: bool,
    /// For `open`, `stat` and `mmap`: files, used in turn. For `run`: a program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    paths: Vec<PathBuf>,
}

/// A system call, or a pair of calls.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Call {
    /// open and close
    Open,
    /// getppid: a call that opens no file
    Getppid,
    /// stat: a call that takes a path and opens no file
    Stat,
    /// mmap and munmap of a file as executable
    Mmap,
    /// fork, exec and exit of /bin/true
    Spawn,
    /// run the program and the arguments that PATHS are
    Run,
}

/// Times for one repetition, in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Times {
    /// Processor time, median of the batches.
    pub(crate) cpu_ns: f64,
    /// Processor time of the fastest batch.
    pub(crate) cpu_min_ns: f64,
    /// Wall-clock time of all repetitions together, in seconds.
    pub(crate) total_seconds: f64,
}

/// Runs the repetitions and prints the times as JSON.
pub(crate) fn run(options: &CallLoopOptions) -> Result<()> {
    if let Some(cpu) = options.cpu {
        let mut set = CpuSet::new();
        set.set(cpu);
        rustix::thread::sched_setaffinity(None, &set).context("cannot set the CPU affinity")?;
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
    let cpu_ns = parts.get(parts.len() / 2).copied().context("no batch was measured")?;
    let cpu_min_ns = parts.first().copied().context("no batch was measured")?;
    println!("{}", serde_json::to_string(&Times { cpu_ns, cpu_min_ns, total_seconds })?);
    Ok(())
}

fn once(options: &CallLoopOptions, at: u64) -> Result<()> {
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
        Call::Run => {
            let (program, arguments) = options.paths.split_first().context("no program")?;
            let mut command = std::process::Command::new(program);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
            let status = command.stderr(Stdio::null()).status()?;
            ensure!(status.success(), "{} ended with {status}", program.display());
        }
    }
    Ok(())
}

fn path(options: &CallLoopOptions, at: u64) -> Result<&Path> {
    let count = u64::try_from(options.paths.len())?;
    let turn = usize::try_from(at.checked_rem(count).unwrap_or_default())?;
    options.paths.get(turn).map(PathBuf::as_path).context("this call needs a path")
}

/// Maps the file's first page as executable, and unmaps it. The file is opened once.
fn map(path: &Path) -> Result<()> {
    static FILE: OnceLock<Option<std::fs::File>> = OnceLock::new();
    let file = FILE.get_or_init(|| std::fs::File::open(path).ok()).as_ref();
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let size = rustix::param::page_size();
    let prot = ProtFlags::READ | ProtFlags::EXEC;
    // SAFETY: the kernel chooses the address of the new mapping. No code accesses it before it is unmapped.
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
    // A sleep costs 50 µs, so at high rates several calls run between two sleeps.
    if ahead > Duration::from_millis(1) {
        std::thread::sleep(ahead);
    }
}

/// Processor time of this thread; for `spawn` and `run` also of the children that have ended.
fn cpu_ns(call: Call) -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let own = now.tv_sec as f64 * 1e9 + now.tv_nsec as f64;
    if !matches!(call, Call::Spawn | Call::Run) {
        return own;
    }
    own + rusage_seconds(libc::RUSAGE_CHILDREN) * 1e9
}
