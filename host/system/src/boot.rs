//! The boot clock of the first time namespace, by which the kernel side tells when something happened. A process in
//! another time namespace has one that is ahead of it or behind, and `/proc` shows start times by that one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// `/proc` counts time in hundredths of a second, on every x86-64 kernel.
pub const TICK_NS: u64 = 10_000_000;
/// The inode number that the first time namespace has on every kernel (`PROC_TIME_INIT_INO`).
const FIRST_TIME_NS: u64 = 0xEFFF_FFFA;

/// Nanoseconds by which this process's boot clock is ahead of the first namespace's.
pub fn ahead_ns() -> i64 {
    static AHEAD: OnceLock<i64> = OnceLock::new();
    *AHEAD.get_or_init(|| {
        // `timens_offsets` tells of the children's namespace: the same one, unless somebody just made it.
        let first = fs::metadata("/proc/self/ns/time").map_or(true, |ns| ns.ino() == FIRST_TIME_NS);
        let offsets = || fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        if first { 0 } else { of_offsets(&offsets()) }
    })
}

/// `boottime SECONDS NANOSECONDS` among the lines for other clocks.
fn of_offsets(offsets: &str) -> i64 {
    let line = offsets.lines().find_map(|line| line.trim_start().strip_prefix("boottime"));
    let mut numbers = line.unwrap_or_default().split_ascii_whitespace().map(str::parse::<i64>);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    next().saturating_mul(1_000_000_000).saturating_add(next())
}

/// When a process started, by the first namespace's boot clock, from the clock ticks in `/proc/PID/stat`: it was then, or
/// up to a tick later.
pub fn start_ns(ticks: u64) -> Option<u64> {
    ticks.checked_mul(TICK_NS)?.checked_add_signed(ahead_ns().checked_neg()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_the_boot_clock() {
        let offsets = "monotonic           5         7\nboottime        86400  250000000\n";
        assert_eq!(of_offsets(offsets), 86_400_250_000_000);
        assert_eq!(of_offsets("boottime -3 5\n"), -2_999_999_995);
        for other in ["", "rubbish", "boottime", "boottime x y"] {
            assert_eq!(of_offsets(other), 0, "{other:?}");
        }
    }
}
