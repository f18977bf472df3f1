//! Readers of other tracers. A tracer that reads the head of a file opens that file, and every other tracer on the machine
//! reports that open. If they read the head for it in turn, each would answer the other for as long as the verdict is not
//! remembered.
//!
//! An unprivileged process must not be able to pass for a reader, or nothing would look into what it opens. So what
//! decides is what such a process cannot have: a reader's capabilities, in this user namespace, for good. Whoever has them
//! reads every file, and every process's memory, already.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::fs::OFlags;
use rustix::thread::CapabilitySet;

use super::confine::KEPT;
use super::procfs;
use super::protocol::MaybeReader;
use crypto_tracer_system::boot;

/// What a reader is called. Tracers of other versions look for it too: it stays.
pub(super) const NAME: &std::ffi::CStr = c"crypto-tracer-r";
/// Readers that are remembered: each tracer has one at a time.
const MOST: usize = 64;

/// Readers that were recognised. They are remembered, so that one that has ended meanwhile is known still.
#[derive(Debug, Default)]
pub(super) struct OtherTracers(VecDeque<MaybeReader>);

impl OtherTracers {
    /// Whether the process is the reader of another tracer.
    pub(super) fn has(&mut self, process: MaybeReader) -> bool {
        if self.0.contains(&process) {
            return true;
        }
        let is_one = is_reader(process);
        if is_one {
            if self.0.len() >= MOST {
                self.0.pop_front();
            }
            self.0.push_back(process);
        }
        is_one
    }
}

/// Whether a reader could have opened a file with these flags: every other open costs nothing.
pub fn may_be_readers_open(flags: u32) -> bool {
    let flags = OFlags::from_bits_retain(flags);
    let all = super::head::READS.difference(OFlags::CLOEXEC);
    flags & OFlags::ACCMODE == OFlags::RDONLY && flags.contains(all)
}

fn is_reader(process: MaybeReader) -> bool {
    // Before anything else: nobody can make `status` wait, and only a privileged process gets past it.
    procfs::read(process.pid, "status").is_ok_and(|status| is_readers(&status))
        && started_then(process)
        && user_ns(process.pid).is_some_and(|theirs| user_ns(std::process::id()) == Some(theirs))
}

/// The process id may be another process's by now.
fn started_then(process: MaybeReader) -> bool {
    let stat = procfs::text(process.pid, "stat").and_then(|stat| procfs::stat(&stat));
    let start_ns = stat.map(|(_, start_ns)| start_ns);
    start_ns.is_some_and(|it| (it..it.saturating_add(boot::TICK_NS)).contains(&process.start_ns))
}

/// The inode number of the user namespace in which its capabilities count.
fn user_ns(pid: u32) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/user")).ok().map(|found| found.ino())
}

/// Whether `/proc/PID/status` is that of a process that holds what [`super::confine::reader`] leaves, and nothing else.
fn is_readers(status: &[u8]) -> bool {
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
        && effective.is_some_and(|held| !held.is_empty() && KEPT.contains(held))
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
    fn a_reader_is_told_by_what_no_unprivileged_process_can_have() {
        assert!(is_readers(READER.as_bytes()));
        let changed = |from: &str, to: &str| {
            let status = READER.replace(from, to);
            assert_ne!(status, READER, "{from} is not in it");
            is_readers(status.as_bytes())
        };
        // File capabilities of which one is missing; another user; a later version that is under seccomp.
        assert!(changed("80004", "80000") && changed("80004", "00004"));
        assert!(changed("Uid:\t0", "Uid:\t1000") && changed("Seccomp:\t0", "Seccomp:\t2"));
        for (from, to) in [
            // It imitates the name, and has nothing.
            ("0000000000080004", "0000000000000000"),
            // It has the capabilities and is called something else.
            ("crypto-tracer-r", "backup"),
            ("crypto-tracer-r", "crypto-tracer"),
            ("crypto-tracer-r", "crypto-tracer-r2"),
            ("crypto-tracer-r", "\\ncrypto-tracer-r"),
            // Root, a tracer before it gave anything up, one capability too many.
            ("80004", "1ffffffffff"),
            ("CapEff:\t0000000000080004", "CapEff:\t0000000000080006"),
            ("CapPrm:\t0000000000080004", "CapPrm:\t000001ffffffffff"),
            ("CapEff:\t0000000000080004", "CapEff:\t0000000000000000"),
            ("CapInh:\t0000000000000000", "CapInh:\t0000000000080004"),
            // It may gain more.
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("NoNewPrivs:\t1\n", ""),
            ("CapPrm:", "CapPrm"),
            ("CapEff:\t0000000000080004", "CapEff:\tzzzz"),
        ] {
            assert!(!changed(from, to), "{from:?} -> {to:?}");
        }
        assert!(!is_readers(b"") && !is_readers(&[0xff; 99]));
    }

    #[test]
    fn only_a_readers_flags_are_worth_a_question() {
        let reads = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let more = [OFlags::empty(), OFlags::NOATIME, OFlags::CLOEXEC, OFlags::LARGEFILE];
        assert!(more.iter().all(|more| may_be_readers_open((reads | *more).bits())));
        assert!(may_be_readers_open(super::super::head::READS.bits()));
        for other in [
            OFlags::RDONLY,
            OFlags::NONBLOCK,
            OFlags::NOCTTY,
            OFlags::NOATIME | OFlags::CLOEXEC,
            reads | OFlags::WRONLY,
            reads | OFlags::RDWR,
        ] {
            assert!(!may_be_readers_open(other.bits()), "{other:?}");
        }
    }

    #[test]
    fn neither_this_process_nor_one_that_is_gone_is_a_reader() {
        let own = std::process::id();
        let (_, start_ns) = procfs::stat(&procfs::text(own, "stat").unwrap()).unwrap();
        let this = MaybeReader { pid: own, start_ns };
        assert!(started_then(this));
        assert!(!started_then(MaybeReader { start_ns: start_ns + boot::TICK_NS, ..this }));
        assert!(!started_then(MaybeReader { start_ns: start_ns - 1, ..this }));
        let mut known = OtherTracers::default();
        assert!(!known.has(this) && !known.has(MaybeReader { pid: u32::MAX, start_ns: 1 }));
        // One that was recognised is known after its end, and how many are remembered is bounded.
        for pid in 0..2 * MOST as u32 {
            if known.0.len() >= MOST {
                known.0.pop_front();
            }
            known.0.push_back(MaybeReader { pid: u32::MAX - pid, start_ns: 1 });
        }
        assert!(known.has(MaybeReader { pid: u32::MAX - 2 * MOST as u32 + 1, start_ns: 1 }));
        assert_eq!(known.0.len(), MOST);
    }
}
