//! The boot clock of the initial time namespace. The kernel side's timestamps use this clock. In another time namespace
//! the boot clock has an offset, and `/proc` shows start times by that clock.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// Clock tick of `/proc` in nanoseconds: `USER_HZ` is 100 on every x86-64 kernel.
pub const TICK_NS: u64 = 10_000_000;
/// Inode number of the initial time namespace on every kernel (`PROC_TIME_INIT_INO`).
const INITIAL_TIME_NS: u64 = 0xEFFF_FFFA;

/// Offset of this process's boot clock from the initial namespace's, in nanoseconds.
pub fn ahead_ns() -> i64 {
    static OFFSET_NS: OnceLock<i64> = OnceLock::new();
    *OFFSET_NS.get_or_init(|| {
        let is_initial =
            fs::metadata("/proc/self/ns/time").map_or(true, |ns| ns.ino() == INITIAL_TIME_NS);
        if is_initial {
            return 0;
        }
        // `timens_offsets` describes the namespace of future children. It is also this process's namespace, unless the
        // process has unshared its time namespace itself.
        boottime_offset_ns(&fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default())
    })
}

/// Parses the line `boottime SECONDS NANOSECONDS`; 0 if it is missing or malformed.
fn boottime_offset_ns(offsets: &str) -> i64 {
    let line = offsets.lines().find_map(|line| line.trim_start().strip_prefix("boottime"));
    let mut numbers = line.unwrap_or_default().split_ascii_whitespace().map(str::parse::<i64>);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    next().saturating_mul(1_000_000_000).saturating_add(next())
}

/// Start time of a process in nanoseconds of the initial namespace's boot clock, from the clock ticks in
/// `/proc/PID/stat`. The process started at this time or up to one tick later. `None` on overflow.
pub fn start_ns(ticks: u64) -> Option<u64> {
    ticks.checked_mul(TICK_NS)?.checked_add_signed(ahead_ns().checked_neg()?)
}

/// Start time of a process in clock ticks, from nanoseconds of the initial namespace's boot clock: field 22 of
/// `/proc/PID/stat` in that namespace.
pub fn start_ticks(start_ns: u64) -> u64 {
    start_ns / TICK_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_boottime_offset() {
        let offsets = "monotonic           5         7\nboottime        86400  250000000\n";
        assert_eq!(boottime_offset_ns(offsets), 86_400_250_000_000);
        assert_eq!(boottime_offset_ns("boottime -3 5\n"), -2_999_999_995);
        for other in ["", "rubbish", "boottime", "boottime x y"] {
            assert_eq!(boottime_offset_ns(other), 0, "{other:?}");
        }
    }
}
