//! Processor time and memory of the tracer's processes.

use std::fmt::{self, Display};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// Processor time and the most memory that a process used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceUsage {
    /// User and system time in seconds.
    pub cpu_seconds: f64,
    /// Peak resident set in KiB.
    pub peak_rss_kib: i64,
}

/// A process and the processor time that it had used before it became this program: a program that executes this one, as
/// `cargo run` does, leaves it its own.
static BEFORE: OnceLock<(u32, f64)> = OnceLock::new();

impl ResourceUsage {
    /// What was used up to now is another program's. To be called first.
    pub fn begin() {
        let _ = BEFORE.set((std::process::id(), ResourceUsage::of_process().cpu_seconds));
    }

    /// This process's, up to now.
    pub fn own() -> ResourceUsage {
        let usage = ResourceUsage::of_process();
        // A forked one has used nothing before.
        let before = BEFORE.get().filter(|(pid, _)| *pid == std::process::id());
        let before = before.map_or(0.0, |(_, seconds)| *seconds);
        ResourceUsage {
            cpu_seconds: (usage.cpu_seconds - before).max(0.0),
            // The peak that getrusage tells of may be that of the program that executed this one.
            peak_rss_kib: peak_kib().unwrap_or(usage.peak_rss_kib),
        }
    }

    fn of_process() -> ResourceUsage {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: getrusage writes the struct it is given; zeroes are a valid one if it does not.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
            usage.assume_init()
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        ResourceUsage {
            cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            peak_rss_kib: usage.ru_maxrss,
        }
    }
}

/// The most memory that this program had, not what executed it.
fn peak_kib() -> Option<i64> {
    peak_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_in(status: &str) -> Option<i64> {
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// What all processes of the tracer used.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// This process.
    pub own: ResourceUsage,
    /// The reader; None: there is none, or it did not say.
    pub reader: Option<ResourceUsage>,
}

impl Used {
    /// This process's up to now, and the reader's.
    pub fn with(reader: Option<ResourceUsage>) -> Used {
        Used { own: ResourceUsage::own(), reader }
    }
}

impl Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.own)?;
        self.reader.map_or(Ok(()), |reader| write!(f, "; its reader: {reader}"))
    }
}

impl Display for ResourceUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peak_mb = self.peak_rss_kib as f64 / 1024.0;
        write!(f, "{:.2} s of processor time, peak {peak_mb:.0} MiB", self.cpu_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_is_told_beside_this_process() {
        let usage = |cpu_seconds, peak_rss_kib| ResourceUsage { cpu_seconds, peak_rss_kib };
        let used = Used { own: usage(1.5, 60 << 10), reader: None };
        assert_eq!(used.to_string(), "1.50 s of processor time, peak 60 MiB");
        let used = Used { reader: Some(usage(0.25, 5 << 10)), ..used };
        assert_eq!(
            used.to_string(),
            "1.50 s of processor time, peak 60 MiB; its reader: 0.25 s of processor time, peak 5 MiB"
        );
    }

    #[test]
    fn the_peak_is_that_of_this_programs_memory() {
        let status = "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t   61440 kB\nVmRSS:\t 5 kB\n";
        assert_eq!(peak_in(status), Some(61_440));
        for other in ["", "VmHWM:", "VmHWM:\t1 MB\n", "VmHWM:\tx kB\n", "VmRSS:\t1 kB\n"] {
            assert_eq!(peak_in(other), None, "{other:?}");
        }
        assert!(peak_kib().is_some_and(|peak| peak > 0));
    }
}
