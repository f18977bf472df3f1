//! Processor time and memory of the tracer's processes.

use std::fmt::{self, Display};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// Processor time and peak memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceUsage {
    /// User and system time in seconds.
    pub cpu_seconds: f64,
    /// Peak resident set in KiB.
    pub peak_rss_kib: i64,
}

/// Process ID, and the seconds of processor time that the process had used before it executed this program. The kernel
/// keeps the count across `execve`, for instance from `cargo run`.
static BASELINE: OnceLock<(u32, f64)> = OnceLock::new();

impl ResourceUsage {
    /// Records the processor time used so far, which belongs to the program that executed this one. Call it first in
    /// `main`.
    pub fn begin() {
        let _ = BASELINE.set((std::process::id(), ResourceUsage::of_process().cpu_seconds));
    }

    /// Returns the resource usage of this process since [`ResourceUsage::begin`].
    pub fn own() -> ResourceUsage {
        let usage = ResourceUsage::of_process();
        // A forked child starts with a processor time of zero.
        let baseline = BASELINE.get().filter(|(pid, _)| *pid == std::process::id());
        let baseline = baseline.map_or(0.0, |(_, seconds)| *seconds);
        ResourceUsage {
            cpu_seconds: (usage.cpu_seconds - baseline).max(0.0),
            // The peak of getrusage includes the program that executed this one.
            peak_rss_kib: peak_rss_kib().unwrap_or(usage.peak_rss_kib),
        }
    }

    fn of_process() -> ResourceUsage {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: getrusage writes to the struct; if it fails, the zeroed struct is valid.
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

/// Peak resident set of this program in KiB, without the program that executed it.
fn peak_rss_kib() -> Option<i64> {
    parse_peak_rss(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_peak_rss(status: &str) -> Option<i64> {
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Resource usage of the tracer's processes.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// This process.
    pub own: ResourceUsage,
    /// The reader; `None` without a reader, or if it did not respond.
    pub reader: Option<ResourceUsage>,
}

impl Used {
    /// Combines the usage of this process so far with the reader's.
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
        let peak_mib = self.peak_rss_kib as f64 / 1024.0;
        write!(f, "{:.2} s of processor time, peak {peak_mib:.0} MiB", self.cpu_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_the_reader_after_this_process() {
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
    fn parses_the_peak_resident_set() {
        let status = "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t   61440 kB\nVmRSS:\t 5 kB\n";
        assert_eq!(parse_peak_rss(status), Some(61_440));
        for other in ["", "VmHWM:", "VmHWM:\t1 MB\n", "VmHWM:\tx kB\n", "VmRSS:\t1 kB\n"] {
            assert_eq!(parse_peak_rss(other), None, "{other:?}");
        }
        assert!(peak_rss_kib().is_some_and(|peak| peak > 0));
    }
}
