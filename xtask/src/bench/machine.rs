//! The circumstances of a run. Nothing in them identifies the machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::run::Bench;
use crate::run::capture;

/// The circumstances of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Machine {
    /// Release of the kernel.
    pub(super) kernel: String,
    /// Model of the processor.
    pub(super) processor: String,
    pub(super) processors: usize,
    pub(super) memory_gb: f64,
    /// In a virtual machine.
    pub(super) is_virtual: bool,
    /// The measured commit, with `, changed` if the work tree had changes.
    pub(super) commit: String,
    /// Number of pairs for each ratio.
    pub(super) rounds: usize,
    /// A smoke test with a tenth of the repetitions.
    pub(super) quick: bool,
    /// Processor time that other work took during the run, in percent of all processors.
    pub(super) other_load_percent: f64,
    /// Duration of the run.
    pub(super) seconds: f64,
}

impl Machine {
    pub(super) fn of(root: &Path, bench: &Bench) -> Result<Machine> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let git = |arguments: &[&str]| {
            capture(Command::new("git").args(arguments).current_dir(root)).unwrap_or_default()
        };
        let changed = if git(&["status", "--porcelain"]).is_empty() { "" } else { ", changed" };
        let cpuinfo = read("/proc/cpuinfo");
        let model =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Ok(Machine {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: model.map_or("unknown", |(_, model)| model).to_owned(),
            processors: std::thread::available_parallelism()?.get(),
            memory_gb: memory_gb(&read("/proc/meminfo")),
            is_virtual: cpuinfo.split_whitespace().any(|word| word == "hypervisor"),
            commit: format!("{}{changed}", git(&["rev-parse", "--short=12", "HEAD"])),
            rounds: bench.rounds,
            quick: bench.quick,
            other_load_percent: 0.0,
            seconds: 0.0,
        })
    }
}

fn memory_gb(meminfo: &str) -> f64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0 / 1e9
}

/// Processor time of the whole machine, and of this process with its ended children.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadMeter {
    busy: f64,
    own: f64,
}

impl LoadMeter {
    pub(super) fn begin() -> LoadMeter {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        LoadMeter { busy: busy_seconds(&stat), own: own_seconds() }
    }

    /// Processor time of other work since the beginning, in percent of all processors.
    pub(super) fn others_percent(self, seconds: f64, processors: usize) -> f64 {
        let now = LoadMeter::begin();
        let others = (now.busy - self.busy) - (now.own - self.own);
        (others / (seconds * processors as f64) * 100.0).max(0.0)
    }
}

/// Time of all processors in user and system mode, from `/proc/stat`.
fn busy_seconds(stat: &str) -> f64 {
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    let all: f64 = ticks.iter().take(7).sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    (all - idle) / rustix::param::clock_ticks_per_second() as f64
}

fn own_seconds() -> f64 {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].into_iter().map(super::run::rusage_seconds).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_facts_are_parsed() {
        assert_eq!(memory_gb("MemTotal:       1000000 kB\nMemFree: 1 kB\n"), 1.024);
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(busy_seconds("cpu  10 1 5 900 50 2 3 7\ncpu0 1"), 21.0 / ticks);
        assert_eq!(busy_seconds(""), 0.0);
    }
}
