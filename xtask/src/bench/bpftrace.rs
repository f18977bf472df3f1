//! The same calls traced by bpftrace, for comparison.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::pairs::Calls;
use super::row::{Measured, Row};
use super::run::{Bench, usage};
use crate::run::find_program;

const PRINT: &str = "tracepoint:syscalls:sys_enter_openat \
                     { printf(\"%d %s %s\\n\", pid, comm, str(args->filename)); }";
const COUNT_OPENS: &str = "tracepoint:syscalls:sys_exit_openat { @ = count(); }";
const COUNT_ALL: &str = "tracepoint:raw_syscalls:sys_exit { @ = count(); }";
const COUNT_STATS: &str = "tracepoint:syscalls:sys_exit_newfstatat { @ = count(); }";
const COUNT_MAPS: &str = "tracepoint:syscalls:sys_exit_mmap { @ = count(); }";
const COUNT_EXECS: &str = "tracepoint:syscalls:sys_exit_execve { @ = count(); }";

/// A running bpftrace, whose output is read and dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    reader: JoinHandle<std::io::Result<u64>>,
}

impl Running {
    /// Starts a script, and waits until its probes are attached.
    fn start(bench: &Bench, script: &str) -> Result<Running> {
        let mut command = bench.pinned("bpftrace");
        command.args(["-B", "line", "-e", script]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(line.contains("Attach"), "bpftrace says {line:?}");
        // The line comes before the probes are attached.
        let pid = child.id();
        crypto_tracer_tests::until("the probes of bpftrace", || is_attached(pid).then_some(()));
        let reader = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Ok(Running { child, reader })
    }

    fn end(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.reader.join().ok().context("the reader of bpftrace")??;
        Ok(())
    }
}

/// Whether the process has a perf event or a link for its probe.
fn is_attached(pid: u32) -> bool {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut attached = links.filter(|link| {
        let link = link.to_string_lossy();
        link.contains("bpf_link") || link.contains("bpf-prog")
    });
    attached.next().is_some()
}

/// What bpftrace can do of what this tracer does.
pub(super) fn bpftrace(bench: &Bench) -> Result<Measured> {
    if find_program("bpftrace").is_none() {
        eprintln!("bpftrace is not installed: the comparison is skipped");
        return Ok(Measured::default());
    }
    if let Err(error) = Running::start(bench, COUNT_OPENS).and_then(Running::end) {
        eprintln!("bpftrace does not run here, so the comparison is skipped: {error:#}");
        return Ok(Measured::default());
    }
    let (plain, matching) = (bench.file("plain.txt")?, bench.file("matching.key")?);
    let mut rows = Vec::new();
    for (what, script, call, count, path) in [
        ("open+close", COUNT_OPENS, "open", 100_000, Some(plain.as_path())),
        ("getppid", COUNT_ALL, "getppid", 400_000, None),
        ("stat", COUNT_STATS, "stat", 200_000, Some(plain.as_path())),
        ("mmap+munmap of code", COUNT_MAPS, "mmap", 100_000, Some(plain.as_path())),
        ("spawn of /bin/true", COUNT_EXECS, "spawn", 500, None),
        ("open+close", PRINT, "open", 60_000, Some(matching.as_path())),
    ] {
        if call == "mmap" {
            fs::write(&plain, [0; 4096])?;
        }
        let function = if script == PRINT { "printf" } else { "count()" };
        let calls = Calls { call, count, path };
        let pairs = calls.pairs(bench, || Running::start(bench, script), Running::end)?;
        rows.push(pairs.row(format!("bpftrace {function}: {what}"))?);
    }
    rows.push(start_time(bench)?);
    rows.extend(load(bench, &matching)?);
    Ok(rows.into())
}

fn start_time(bench: &Bench) -> Result<Row> {
    let mut times = Vec::new();
    for _ in 0..bench.rounds.min(3) {
        let begun = Instant::now();
        let running = Running::start(bench, PRINT)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        running.end()?;
    }
    Row::median("bpftrace printf: start until it is attached", times, "ms")
}

/// Memory, and processor time at 5 000 opens a second.
fn load(bench: &Bench, file: &Path) -> Result<Vec<Row>> {
    const RATE: u64 = 5000;
    let (rate, count) = (RATE.to_string(), (RATE * bench.seconds(5)).to_string());
    let running = Running::start(bench, PRINT)?;
    let mut call_loop = bench.call_loop(&["open", "--rate", &rate, "--count", &count], &[file])?;
    let before = (usage(running.child.id())?, Instant::now());
    call_loop.go()?;
    call_loop.end()?;
    let after = usage(running.child.id())?;
    let share = (after.cpu_seconds - before.0.cpu_seconds) / before.1.elapsed().as_secs_f64();
    running.end()?;
    Ok(vec![
        Row::new("bpftrace printf: processor, 5 000 events/s", share * 100.0, "% of a core"),
        Row::new("bpftrace printf: resident memory", after.rss_mb, "MB"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_probes_is_not_attached() {
        assert!(!is_attached(std::process::id()));
    }
}
