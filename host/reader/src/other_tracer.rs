//! Detects readers of other tracers. To read the head of a file, a reader opens the file, and every other tracer on the
//! machine reports that open. If each tracer read the head for the open of the other, the two would trigger each other
//! until the verdict is cached.
//!
//! An unprivileged process must not be mistaken for a reader, because the files that it opens would not be inspected.
//! The check therefore requires what such a process cannot have: exactly the capabilities of a reader, in this user
//! namespace. A process with these capabilities can already read every file and the memory of every process.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::fs::OFlags;
use rustix::thread::CapabilitySet;

use super::confine::READER_CAPABILITIES;
use super::procfs;
use super::protocol::MaybeReader;
use crypto_tracer_system::boot;

/// Name of every reader process. It must not change, because tracers of other versions check it too.
pub(super) const NAME: &std::ffi::CStr = c"crypto-tracer-r";
/// Maximum number of cached readers. Each tracer has one at a time.
const MAX_CACHED: usize = 64;

/// Cache of detected readers, so that a reader is known after it has exited.
#[derive(Debug, Default)]
pub(super) struct OtherTracers(VecDeque<MaybeReader>);

impl OtherTracers {
    /// Whether the process is the reader of another tracer.
    pub(super) fn contains(&mut self, process: MaybeReader) -> bool {
        if self.0.contains(&process) {
            return true;
        }
        let is_reader = is_reader(process);
        if is_reader {
            self.insert(process);
        }
        is_reader
    }

    /// Evicts the oldest entry if the cache is full.
    fn insert(&mut self, reader: MaybeReader) {
        if self.0.len() >= MAX_CACHED {
            self.0.pop_front();
        }
        self.0.push_back(reader);
    }
}

/// Whether these are the open flags of a reader. Other opens need no further check.
pub fn may_be_readers_open(flags: u32) -> bool {
    let flags = OFlags::from_bits_retain(flags);
    // The kernel does not keep the others in the flags of the open file, from which the events have them.
    let required = super::head::OPEN_FLAGS.difference(OFlags::CLOEXEC.union(OFlags::NOCTTY));
    flags & OFlags::ACCMODE == OFlags::RDONLY && flags.contains(required)
}

fn is_reader(process: MaybeReader) -> bool {
    // `status` comes first because it never blocks. The accesses that follow may block, but only a privileged process
    // passes this check.
    procfs::read(process.pid, "status").is_ok_and(|status| is_status_of_reader(&status))
        && has_start_time(process)
        && user_ns(process.pid).is_some_and(|theirs| user_ns(std::process::id()) == Some(theirs))
}

/// Guards against a reused PID.
fn has_start_time(process: MaybeReader) -> bool {
    let stat = procfs::read(process.pid, "stat").ok();
    let start_ns = stat.and_then(|stat| procfs::parse_stat(&stat)).map(|(_, start_ns)| start_ns);
    start_ns.is_some_and(|it| (it..it.saturating_add(boot::TICK_NS)).contains(&process.start_ns))
}

/// Inode number of the process's user namespace, in which its capabilities are valid.
fn user_ns(pid: u32) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/user")).ok().map(|found| found.ino())
}

/// Whether `/proc/PID/status` shows the name and privileges of a process after [`super::confine::reader`].
pub(super) fn is_status_of_reader(status: &[u8]) -> bool {
    let value = |key: &str| {
        let lines = status.split(|&byte| byte == b'\n');
        let mut values = lines.filter_map(|line| line.strip_prefix(key.as_bytes()));
        values.next().map(<[u8]>::trim_ascii)
    };
    let capabilities = |key| {
        let bits = u64::from_str_radix(std::str::from_utf8(value(key)?).ok()?, 16).ok()?;
        Some(CapabilitySet::from_bits_retain(bits))
    };
    let effective = capabilities("CapEff:");
    value("Name:") == Some(NAME.to_bytes())
        && value("NoNewPrivs:") == Some(b"1")
        && effective.is_some_and(|held| !held.is_empty() && READER_CAPABILITIES.contains(held))
        && capabilities("CapPrm:") == effective
        && capabilities("CapInh:") == Some(CapabilitySet::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: &str = "Name:\tcrypto-tracer-r\nUmask:\t0022\nPid:\t7\nUid:\t0\t0\t0\t0\n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000080004\nCapEff:\t0000000000080004\n\
        CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t0\n";

    #[test]
    fn a_reader_is_detected_by_what_an_unprivileged_process_cannot_have() {
        assert!(is_status_of_reader(READER.as_bytes()));
        let changed = |from: &str, to: &str| {
            let status = READER.replace(from, to);
            assert_ne!(status, READER, "{from} does not occur");
            is_status_of_reader(status.as_bytes())
        };
        // Only one of the file capabilities; another user; a later version with seccomp.
        assert!(changed("80004", "80000") && changed("80004", "00004"));
        assert!(changed("Uid:\t0", "Uid:\t1000") && changed("Seccomp:\t0", "Seccomp:\t2"));
        for (from, to) in [
            // The name without capabilities.
            ("0000000000080004", "0000000000000000"),
            // The capabilities with another name.
            ("crypto-tracer-r", "backup"),
            ("crypto-tracer-r", "crypto-tracer"),
            ("crypto-tracer-r", "crypto-tracer-r2"),
            ("crypto-tracer-r", "\\ncrypto-tracer-r"),
            // Root, a tracer before it drops privileges, one capability too many.
            ("80004", "1ffffffffff"),
            ("CapEff:\t0000000000080004", "CapEff:\t0000000000080006"),
            ("CapPrm:\t0000000000080004", "CapPrm:\t000001ffffffffff"),
            ("CapEff:\t0000000000080004", "CapEff:\t0000000000000000"),
            ("CapInh:\t0000000000000000", "CapInh:\t0000000000080004"),
            // May gain privileges.
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("NoNewPrivs:\t1\n", ""),
            ("CapPrm:", "CapPrm"),
            ("CapEff:\t0000000000080004", "CapEff:\tzzzz"),
        ] {
            assert!(!changed(from, to), "{from:?} -> {to:?}");
        }
        assert!(!is_status_of_reader(b"") && !is_status_of_reader(&[0xff; 99]));
    }

    #[test]
    fn only_the_open_flags_of_a_reader_match() {
        let required = OFlags::RDONLY | OFlags::NONBLOCK;
        let optional =
            [OFlags::empty(), OFlags::NOATIME, OFlags::NOCTTY, OFlags::CLOEXEC, OFlags::LARGEFILE];
        assert!(optional.iter().all(|flags| may_be_readers_open((required | *flags).bits())));
        assert!(may_be_readers_open(super::super::head::OPEN_FLAGS.bits()));
        for other in [
            OFlags::RDONLY,
            OFlags::NOCTTY,
            OFlags::NOATIME | OFlags::CLOEXEC,
            required | OFlags::WRONLY,
            required | OFlags::RDWR,
        ] {
            assert!(!may_be_readers_open(other.bits()), "{other:?}");
        }
    }

    #[test]
    fn neither_this_process_nor_an_exited_one_is_a_reader() {
        let own = std::process::id();
        let (_, start_ns) = procfs::parse_stat(&procfs::read(own, "stat").unwrap()).unwrap();
        let this = MaybeReader { pid: own, start_ns };
        assert!(has_start_time(this));
        assert!(!has_start_time(MaybeReader { start_ns: start_ns + boot::TICK_NS, ..this }));
        assert!(!has_start_time(MaybeReader { start_ns: start_ns - 1, ..this }));
        let mut readers = OtherTracers::default();
        let exited = |back: usize| MaybeReader { pid: u32::MAX - back as u32, start_ns: 1 };
        assert!(!readers.contains(this) && !readers.contains(exited(0)));
        // Detected readers are known after they have exited, and their number is bounded.
        (0..2 * MAX_CACHED).for_each(|back| readers.insert(exited(back)));
        assert!(readers.contains(exited(2 * MAX_CACHED - 1)));
        assert_eq!(readers.0.len(), MAX_CACHED);
    }
}
