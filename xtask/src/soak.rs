//! `cargo xtask soak`: a run under mixed load for a long time. Memory, descriptors, threads and mappings must stay flat.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// Rows of the table.
const SAMPLES: u32 = 20;
/// Growth from the second to the last quarter that is noise, by column.
const NOISE: [u64; 4] = [3 * 1024, 3, 3, 40];
/// Columns of the table.
const COLUMNS: [&str; 4] = ["resident KiB", "descriptors", "threads", "mappings"];
/// Time limit for the start and the end of the run.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Options of `soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct SoakOptions {
    /// Length of the run
    #[arg(long, default_value = "30")]
    minutes: u32,
    /// The program; by default, the one that the tests build
    #[arg(long)]
    program: Option<PathBuf>,
}

/// Runs the tracer under load, prints the table, and fails if something grew.
pub(crate) fn run(root: &Path, options: &SoakOptions) -> Result<()> {
    ensure!(geteuid().is_root(), "the soak test traces this machine, which needs root");
    let program =
        options.program.clone().unwrap_or_else(|| crypto_tracer_tests::program().to_owned());
    // Only root may write the configuration of a privileged tracer and the folders above it.
    let dir = tempfile::Builder::new().prefix("crypto-tracer-soak-").tempdir_in("/var/lib")?;
    let mut tracer = Tracer::start(root, &program, dir.path())?;
    let load = Load::default();
    let pid = tracer.pid();
    let interval = Duration::from_secs(60) * options.minutes.max(1) / SAMPLES;
    let samples = thread::scope(|scope| {
        scope.spawn(|| load.open_files(dir.path()));
        scope.spawn(|| load.churn_files(dir.path()));
        scope.spawn(|| load.start_processes());
        let disturber = scope.spawn(|| load.disturb(pid, dir.path()));
        let samples = sample_all(&mut tracer, interval);
        load.stop.store(true, Relaxed);
        let disturbed = disturber.join().map_err(|_panic| anyhow::anyhow!("the load panicked"))?;
        println!("{disturbed}");
        samples
    })?;
    let last = tracer.finish(dir.path())?;
    println!("{} opens, {} processes", load.opens.load(Relaxed), load.processes.load(Relaxed));
    println!("{last}");
    check(&samples)
}

/// The traced load. Every loop is paced.
#[derive(Debug, Default)]
struct Load {
    stop: AtomicBool,
    opens: AtomicU64,
    processes: AtomicU64,
}

impl Load {
    fn repeat(&self, per_second: u32, mut task: impl FnMut(u64)) {
        let mut number = 0;
        while !self.stop.load(Relaxed) {
            task(number);
            number += 1;
            thread::sleep(Duration::from_secs(1) / per_second);
        }
    }

    /// Opens the same files. The plugin fails for some of them.
    fn open_files(&self, dir: &Path) {
        let names = ["a.pem", "b.key", "evil.crt", "evil.pem"].map(|name| dir.join(name));
        for name in &names {
            let _ = fs::write(name, "-----BEGIN CERTIFICATE-----\n");
        }
        self.repeat(500, |number| {
            if let Some(name) = names.get((number % 4) as usize) {
                self.opens.fetch_add(u64::from(File::open(name).is_ok()), Relaxed);
            }
        });
    }

    /// Opens files that exist for a moment: no cache knows them.
    fn churn_files(&self, dir: &Path) {
        self.repeat(50, |number| {
            let name = dir.join(format!("churn-{number}.pem"));
            let _ = fs::write(&name, "x");
            self.opens.fetch_add(1 + u64::from(File::open(&name).is_ok()), Relaxed);
            let _ = fs::remove_file(&name);
        });
    }

    fn start_processes(&self) {
        self.repeat(20, |_| {
            let ended = Command::new("true").stdin(Stdio::null()).status();
            self.processes.fetch_add(u64::from(ended.is_ok()), Relaxed);
        });
    }

    /// Reloads, rotates the output, asks for a status, and stops the reader so that it is replaced.
    fn disturb(&self, pid: u32, dir: &Path) -> String {
        let (mut reloads, mut hangs) = (0, 0);
        self.repeat(1, |second| {
            if second % 10 == 5 {
                let _ = fs::rename(dir.join("events"), dir.join("events.1"));
                send(pid, Signal::HUP);
                reloads += 1;
            }
            if second % 7 == 3 {
                send(pid, Signal::USR1);
            }
            if second % 60 == 40 {
                for reader in children(pid).into_iter().flat_map(children) {
                    send(reader, Signal::STOP);
                    hangs += 1;
                }
            }
        });
        format!("{reloads} reloads, {hangs} readers that hung")
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// A running tracer, killed when dropped.
#[derive(Debug)]
struct Tracer(Child);

impl Tracer {
    fn start(root: &Path, program: &Path, dir: &Path) -> Result<Tracer> {
        let plugin = dir.join("hostile.wasm");
        fs::copy(root.join("tests/fixtures/plugins/0.1.0/hostile.wasm"), &plugin)?;
        let config = dir.join("config.toml");
        fs::write(
            &config,
            format!(
                "[[classifier]]\npath = {plugin:?}\nallow = [\"file-head\"]\nconfig = {{ way = \"only-panic\" }}\n\
                 [[classifier]]\nbundled = true\n"
            ),
        )?;
        let mut command = Command::new("setsid");
        command.arg(program).args(["monitor", "--config"]).arg(&config);
        command.arg("--output").arg(dir.join("events"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(dir.join("messages"))?).spawn();
        let mut tracer = Tracer(child.context("cannot start the tracer")?);
        let end = Instant::now() + TIMEOUT;
        while !messages(dir).contains("ready: ") {
            ensure!(tracer.0.try_wait()?.is_none(), "the tracer ended: {}", messages(dir));
            ensure!(Instant::now() < end, "the tracer is not ready: {}", messages(dir));
            thread::sleep(Duration::from_millis(50));
        }
        Ok(tracer)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends the run. Returns its last line.
    fn finish(mut self, dir: &Path) -> Result<String> {
        send(self.pid(), Signal::INT);
        let end = Instant::now() + TIMEOUT;
        let status = loop {
            match self.0.try_wait()? {
                Some(status) => break status,
                None => ensure!(Instant::now() < end, "the tracer does not end"),
            }
            thread::sleep(Duration::from_millis(10));
        };
        let messages = messages(dir);
        ensure!(status.success(), "the tracer ended with {status}: {messages}");
        let last = messages.lines().rfind(|line| line.contains(" shown, "));
        Ok(last.context("the tracer did not count its events")?.to_owned())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Both calls have no effect on a process that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn messages(dir: &Path) -> String {
    fs::read_to_string(dir.join("messages")).unwrap_or_default()
}

fn sample_all(tracer: &mut Tracer, interval: Duration) -> Result<Vec<[u64; 4]>> {
    println!("| minute | {} |\n|---|---|---|---|---|", COLUMNS.join(" | "));
    let begun = Instant::now();
    let mut samples = Vec::new();
    for number in 1..=SAMPLES {
        thread::sleep((begun + interval * number).saturating_duration_since(Instant::now()));
        ensure!(tracer.0.try_wait()?.is_none(), "the tracer ended during the run");
        let sample = sample(tracer.pid());
        let minute = begun.elapsed().as_secs_f64() / 60.0;
        let values = sample.map(|value| value.to_string()).join(" | ");
        println!("| {minute:.1} | {values} |");
        samples.push(sample);
    }
    Ok(samples)
}

/// The sums of all processes of the run. A reader that was stopped is counted until it is replaced.
fn sample(pid: u32) -> [u64; 4] {
    let helpers = children(pid);
    let readers = helpers.iter().copied().flat_map(children);
    let processes: Vec<u32> =
        std::iter::once(pid).chain(helpers.iter().copied()).chain(readers).collect();
    let mut sum = [0; 4];
    for pid in processes {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let value = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let count = |name: &str| {
            fs::read_dir(format!("/proc/{pid}/{name}")).map_or(0, |dir| dir.count() as u64)
        };
        let maps =
            fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default().lines().count();
        let values = [value("VmRSS:"), count("fd"), value("Threads:"), maps as u64];
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += value;
        }
    }
    sum
}

/// Compares the medians of the second and the last quarter.
fn check(samples: &[[u64; 4]]) -> Result<()> {
    let quarter = samples.len() / 4;
    for (column, (name, noise)) in COLUMNS.iter().zip(NOISE).enumerate() {
        let median = |from: usize| {
            let mut values: Vec<u64> = samples
                .iter()
                .skip(from)
                .take(quarter)
                .filter_map(|row| row.get(column).copied())
                .collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or(0)
        };
        let (early, late) = (median(quarter), median(3 * quarter));
        let limit = early + early / 20 + noise;
        ensure!(late <= limit, "{name} grew from {early} to {late}, more than to {limit}");
    }
    println!("flat");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_found_in_each_column() {
        let flat = vec![[50_000, 40, 8, 300]; 20];
        assert!(check(&flat).is_ok());
        for (column, step) in [(0, 1000), (1, 1), (2, 1), (3, 10)] {
            let mut growing = flat.clone();
            for (number, row) in growing.iter_mut().enumerate() {
                row[column] += step * number as u64;
            }
            let error = check(&growing).unwrap_err().to_string();
            assert!(error.contains(COLUMNS[column]), "{error}");
        }
    }
}
