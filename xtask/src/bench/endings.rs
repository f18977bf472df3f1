//! Measures the shutdown time of a run, and the time of a snapshot of many processes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::row::{Measured, Row};
use super::run::Bench;

/// Documented limit of the shutdown time, in milliseconds.
const MOST_MS: f64 = 100.0;
/// More opens than a run can last: the tracer always ends before the call loop.
const ENDLESS: &str = "100000000";
/// Number of opens that fills a pipe, the writer's buffer and the ring.
const ENOUGH: &str = "400000";
/// Number of processes for the snapshot.
const MANY: usize = 1000;

/// Starts a tracer, and waits until it is ready. `to` is the output file; `-` is a pipe that is not read.
fn ready(bench: &Bench, options: &[&str], to: &Path) -> Result<Child> {
    let mut command = bench.command(options);
    if to == Path::new("-") {
        command.stdout(Stdio::piped());
    } else {
        fs::write(to, "")?;
        command.arg("--output").arg(to);
    }
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(child.stderr.take().context("a pipe")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.contains("ready"), "the tracer says {line:?}");
    // Standard error must be drained, otherwise the final messages could block the tracer.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    Ok(child)
}

/// Waits for the process to end. Returns the time from `since` to its end in milliseconds.
fn end(mut child: Child, since: Instant, codes: &[i32]) -> Result<f64> {
    let status = child.wait()?;
    let ms = since.elapsed().as_secs_f64() * 1e3;
    ensure!(status.code().is_some_and(|code| codes.contains(&code)), "it ended with {status}");
    Ok(ms)
}

fn ask(child: &Child, signal: Signal) -> Result<Instant> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("a process id")?;
    let now = Instant::now();
    kill_process(pid, signal)?;
    Ok(now)
}

fn idle(bench: &Bench) -> Result<f64> {
    let child = ready(bench, &["--pid", "1"], &bench.file("out.json")?)?;
    let since = ask(&child, Signal::TERM)?;
    end(child, since, &[0])
}

/// Shutdown time under full load, with output to a file. Without a `signal`, `--duration` ends the run.
fn loaded(bench: &Bench, signal: Option<Signal>) -> Result<f64> {
    let (key, out) = (bench.file("endings.key")?, bench.file("out.json")?);
    let mut call_loop = bench.call_loop(&["open", "--count", ENDLESS], &[&key])?;
    let pid = call_loop.pid().to_string();
    let duration = if signal.is_some() { "0" } else { "1" };
    let child = ready(bench, &["--pid", &pid, "--duration", duration], &out)?;
    let begun = Instant::now();
    call_loop.go()?;
    crypto_tracer_tests::until("the load", || {
        fs::metadata(&out).is_ok_and(|found| found.len() > 1 << 20).then_some(())
    });
    let ms = match signal {
        Some(signal) => {
            let since = ask(&child, signal)?;
            end(child, since, &[0])?
        }
        None => end(child, begun, &[0])? - 1000.0,
    };
    call_loop.kill()?;
    Ok(ms)
}

/// Shutdown time while no process reads the output: the tracer reports the events that it could not write.
fn unread(bench: &Bench) -> Result<f64> {
    let key = bench.file("endings.key")?;
    let call_loop = bench.call_loop(&["open", "--count", ENOUGH], &[&key])?;
    let pid = call_loop.pid().to_string();
    let child = ready(bench, &["--pid", &pid], Path::new("-"))?;
    call_loop.end()?;
    let since = ask(&child, Signal::TERM)?;
    end(child, since, &[1])
}

/// Time from the shutdown request to the end of the process.
pub(super) fn endings(bench: &Bench) -> Result<Measured> {
    let ways: [(&str, &dyn Fn() -> Result<f64>); 5] = [
        ("SIGTERM to the end, idle", &|| idle(bench)),
        ("SIGTERM to the end, flat-out", &|| loaded(bench, Some(Signal::TERM))),
        ("SIGINT to the end, flat-out", &|| loaded(bench, Some(Signal::INT))),
        ("--duration to the end, flat-out", &|| loaded(bench, None)),
        ("SIGTERM to the end, output not read", &|| unread(bench)),
    ];
    let mut rows = Vec::new();
    for (what, way) in ways {
        let times = (0..bench.rounds).map(|_| way()).collect::<Result<Vec<f64>>>()?;
        rows.push(
            Row::median(what, times, "ms")?
                .at_most(MOST_MS)
                .because("with both processors busy, the process waits for one"),
        );
    }
    Ok(rows.into())
}

/// Many processes that have a key file open; ended on drop.
struct Many(Child);

impl Many {
    fn start(key: &Path) -> Result<Many> {
        let script = format!(
            "exec 7<\"$0\"; for i in $(seq {MANY}); do sleep 600 & done; echo there; \
             cat >/dev/null; kill $(jobs -p)"
        );
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).arg(key).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut many = Many(shell.stderr(Stdio::null()).spawn()?);
        let mut there = [0; 6];
        many.0.stdout.as_mut().context("a pipe")?.read_exact(&mut there)?;
        Ok(many)
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        // The shell kills the processes when its standard input is closed.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Time of a snapshot of many processes.
pub(super) fn snapshot(bench: &Bench) -> Result<Measured> {
    let (key, out) = (bench.file("many.key")?, bench.file("snapshot.json")?);
    let _many = Many::start(&key)?;
    let mut times = Vec::new();
    for _ in 0..bench.rounds {
        let begun = Instant::now();
        let status =
            Command::new(&bench.program).args(["snapshot", "-q", "-o"]).arg(&out).status()?;
        times.push(begun.elapsed());
        ensure!(status.success(), "snapshot ended with {status}");
        let held = fs::read_to_string(&out)?.matches("/many.key").count();
        ensure!(held >= MANY, "only {held} processes have the key open");
    }
    let seconds = times.iter().map(Duration::as_secs_f64).collect();
    Ok(Row::median("snapshot of 1 000 processes", seconds, "s")?.at_most(0.5).into())
}
