//! Starts call loops and tracers, and reads their resource usage from the kernel.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use crypto_tracer_tests::Tracer;

use super::BenchOptions;
use crate::call_loop::Times;

/// State that all cases share.
#[derive(Clone, Debug)]
pub(super) struct Bench {
    pub(super) root: PathBuf,
    pub(super) program: PathBuf,
    /// Number of pairs for each ratio, and of repetitions of what takes long.
    pub(super) rounds: usize,
    pub(super) quick: bool,
    probe: Option<String>,
    dir: Rc<tempfile::TempDir>,
    two: bool,
}

impl Bench {
    pub(super) fn new(root: &Path, program: PathBuf, options: &BenchOptions) -> Result<Bench> {
        let program = fs::canonicalize(&program)
            .with_context(|| format!("no program {}", program.display()))?;
        let dir = Rc::new(tempfile::Builder::new().prefix("crypto-tracer-bench-").tempdir()?);
        let two = std::thread::available_parallelism()?.get() > 1;
        let (rounds, quick) = (options.rounds.max(1), options.quick);
        let (root, probe) = (root.to_owned(), options.probe.clone());
        Ok(Bench { root, program, rounds, probe, quick, dir, two })
    }

    /// The same with another probe.
    pub(super) fn with_probe(&self, probe: &str) -> Bench {
        Bench { probe: Some(probe.to_owned()), ..self.clone() }
    }

    /// The same with another program, measured once.
    pub(super) fn with_program(&self, program: PathBuf) -> Bench {
        Bench { program, rounds: 1, ..self.clone() }
    }

    /// Whether a run with this probe starts.
    pub(super) fn is_traceable(&self) -> Result<bool> {
        let mut command = self.command(&["--quiet", "--duration", "1"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        Ok(status.success())
    }

    /// The number of repetitions: a tenth of `full` with `--quick`, but at least 50.
    pub(super) fn count(&self, full: u64) -> u64 {
        if self.quick { (full / 10).max(50) } else { full }
    }

    /// The path of a file in the temporary folder; creates it if it does not exist.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        if !path.exists() {
            fs::write(&path, "")?;
        }
        Ok(path)
    }

    /// A duration: a fifth of `full` with `--quick`, but at least a second.
    pub(super) fn seconds(&self, full: u64) -> u64 {
        if self.quick { (full / 5).max(1) } else { full }
    }

    /// The command of a program, on processor 0 if the machine has another one for the call loop.
    pub(super) fn pinned(&self, program: impl AsRef<OsStr>) -> Command {
        if !self.two {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    }

    /// The tracer's command, on processor 0 as [`Bench::pinned`].
    pub(super) fn command(&self, options: &[&str]) -> Command {
        let mut command = self.pinned(&self.program);
        command.arg("monitor").args(options);
        if let Some(probe) = &self.probe {
            command.args(["--probe", probe]);
        }
        command
    }

    /// Starts the tracer with its output in the file `out.json`.
    pub(super) fn trace(&self, options: &[&str]) -> Result<Tracer> {
        let out = self.file("out.json")?;
        fs::write(&out, "")?;
        let mut command = self.command(options);
        command.arg("--output").arg(&out);
        Ok(Tracer::start(command))
    }

    /// Starts a call loop that waits for [`CallLoop::go`].
    pub(super) fn call_loop(&self, arguments: &[&str], paths: &[&Path]) -> Result<CallLoop> {
        self.call_loop_on(usize::from(self.two), arguments, paths)
    }

    /// The same, on a given processor.
    pub(super) fn call_loop_on(
        &self,
        cpu: usize,
        arguments: &[&str],
        paths: &[&Path],
    ) -> Result<CallLoop> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["call-loop", "--wait", "--cpu", &cpu.to_string()])
            .args(arguments)
            .args(paths);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        Ok(CallLoop(child))
    }

    /// Number of processors for call loops that run at the same time.
    pub(super) fn cpus(&self) -> usize {
        if self.two { 2 } else { 1 }
    }
}

/// A running call loop.
pub(super) struct CallLoop(Child);

impl CallLoop {
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn go(&mut self) -> Result<()> {
        let mut input = self.0.stdin.take().context("the call loop has already started")?;
        Ok(input.write_all(b"go\n")?)
    }

    pub(super) fn kill(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Starts the calls unless they have started, and waits for the times.
    pub(super) fn end(mut self) -> Result<Times> {
        if self.0.stdin.is_some() {
            self.go()?;
        }
        let stdout = self.0.stdout.take().context("its output is a pipe")?;
        let text = std::io::read_to_string(stdout)?;
        let status = self.0.wait()?;
        if !status.success() {
            bail!("the call loop ended with {status}");
        }
        serde_json::from_str(&text).with_context(|| format!("the call loop printed {text:?}"))
    }
}

/// Resource usage of the tracer and its reader.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Processor time of the living threads in seconds.
    pub(super) cpu_seconds: f64,
    /// The part in user mode, to a tick of the kernel.
    pub(super) user_seconds: f64,
    /// Resident memory in MB.
    pub(super) rss_mb: f64,
    /// Anonymous resident memory, in MB.
    pub(super) anonymous_mb: f64,
    /// Resident memory of the main process alone, in MB.
    pub(super) main_rss_mb: f64,
}

/// Resource usage of a process and all its descendants.
pub(super) fn usage(pid: u32) -> Result<Usage> {
    let mut total = Usage::default();
    let mut todo = vec![pid];
    while let Some(one) = todo.pop() {
        let read = |name: &str| {
            let path = format!("/proc/{one}/{name}");
            fs::read_to_string(&path).with_context(|| path)
        };
        let status = read("status")?;
        let mb = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            kib.unwrap_or_default() * 1024.0 / 1e6
        };
        total.rss_mb += mb("VmRSS:");
        total.anonymous_mb += mb("RssAnon:");
        if one == pid {
            total.main_rss_mb = mb("VmRSS:");
        }
        let (user, system) = cpu_seconds(&read("stat")?).context("no times in stat")?;
        total.user_seconds += user;
        total.cpu_seconds += scheduled_seconds(one).unwrap_or(user + system);
        let children = read(&format!("task/{one}/children"))?;
        todo.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(total)
}

/// Processor time of all threads of a process in seconds, to the nanosecond. `None`: this kernel does not count it.
fn scheduled_seconds(pid: u32) -> Option<f64> {
    let mut total_ns = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        total_ns += text.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    (total_ns > 0.0).then_some(total_ns / 1e9)
}

/// Processor time of this process or of its children that have ended, in seconds.
pub(crate) fn rusage_seconds(of: libc::c_int) -> f64 {
    // SAFETY: all zeros is a valid rusage, which the kernel then fills.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for writing one rusage.
    unsafe { libc::getrusage(of, &mut used) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(used.ru_utime) + seconds(used.ru_stime)
}

/// `utime` and `stime`, the 14th and 15th fields. The second field, the name in parentheses, may contain any character.
fn cpu_seconds(stat: &str) -> Option<(f64, f64)> {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user / ticks, system / ticks))
}

/// The median.
pub(super) fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("nothing was measured")
}

/// The value that `share` of all values do not exceed.
pub(super) fn percentile(values: &mut [f64], share: f64) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1).context("nothing was measured")?;
    // The number of values is far below 2^52, so the conversion to f64 is exact.
    let at = (last as f64 * share).round() as usize;
    values.get(at).copied().context("nothing was measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_after_any_process_name() {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 300 200 0 0 20 0";
        assert_eq!(cpu_seconds(stat), Some((300.0 / ticks, 200.0 / ticks)));
        assert_eq!(cpu_seconds("7 (a"), None);
    }

    #[test]
    fn median_and_percentile_of_a_sample() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).unwrap(), 2.0);
        let mut values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.99).unwrap(), 99.0);
        assert!(median(Vec::new()).is_err());
    }

    #[test]
    fn processor_time_of_this_process_grows() {
        let before = (usage(std::process::id()).unwrap(), rusage_seconds(libc::RUSAGE_SELF));
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 30 {}
        let after = (usage(std::process::id()).unwrap(), rusage_seconds(libc::RUSAGE_SELF));
        assert!(after.0.cpu_seconds > before.0.cpu_seconds, "{before:?} {after:?}");
        assert!(after.1 > before.1, "{before:?} {after:?}");
    }

    #[test]
    fn usage_of_this_process_is_read() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.rss_mb > 0.5 && usage.rss_mb >= usage.anonymous_mb, "{usage:?}");
    }
}
