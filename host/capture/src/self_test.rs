//! Verifies the records of this process's own open and mapping. The offsets come from the kernel's BTF; if they are
//! wrong, tracing fails instead of reporting wrong data.

use crypto_tracer_event::EventKinds;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use crypto_tracer_common::record::{Header, kind};
use rustix::mm::{MapFlags, ProtFlags};
use zerocopy::FromBytes;

use super::{error::Error, object::BpfObject};
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::boot;

/// Path and name of a file that always exists.
const FILE: (&str, &str) = ("/proc/self/status", "status");
/// The name passed to memfd_create, and the file name that the kernel derives from it.
const LIBRARY: (&str, &str) = ("crypto-tracer", "memfd:crypto-tracer");

/// Header and path of a record, leaf first.
type CapturedRecord = (Header, Vec<u8>);

/// Opens a file, maps another one as code, and compares their records with the facts. Replaces the interest.
pub(super) fn run(object: &mut BpfObject, kinds: EventKinds) -> Result<(), String> {
    let mut interest = Interest::default();
    let words = interest.add_name(FILE.1).and_then(|()| interest.add_library(LIBRARY.1));
    words.map_err(|error| error.to_string())?;
    restrict(object, &interest).map_err(|error| error.to_string())?;
    let result = compare_all(object, kinds);
    let lifted = object.set_self_test_process(0).map_err(|error| error.to_string());
    result.and(lifted)
}

fn restrict(object: &mut BpfObject, interest: &Interest) -> Result<(), Error> {
    object.set_interest(interest)?;
    object.set_self_test_process(std::process::id())
}

fn compare_all(object: &mut BpfObject, kinds: EventKinds) -> Result<(), String> {
    drain(object);
    let parent = std::os::unix::process::parent_id();
    if kinds.open {
        let file = fs::File::open(FILE.0).map_err(|error| format!("{}: {error}", FILE.0))?;
        let (header, path) = single_record(drain(object), kind::FILE_OPEN, "an open")?;
        compare_process(&header, parent)?;
        compare_path(&path, &file)?;
        compare_file(&header, &file)?;
    }
    if kinds.load
        && let Some(file) = map_memory()
    {
        let (header, path) = single_record(drain(object), kind::LIB_LOAD, "a mapping")?;
        compare_process(&header, parent)?;
        expect_eq("library name", &path, &[LIBRARY.1.as_bytes(), b"\0"].concat())?;
        compare_file(&header, &file)?;
    }
    Ok(())
}

/// Maps a memfd as code and unmaps it. `None`: not permitted, which is not a failure of the programs.
fn map_memory() -> Option<fs::File> {
    let file = rustix::fs::memfd_create(LIBRARY.0, rustix::fs::MemfdFlags::CLOEXEC).ok()?;
    let page = rustix::param::page_size();
    rustix::fs::ftruncate(&file, page as u64).ok()?;
    let prot = ProtFlags::READ | ProtFlags::EXEC;
    // SAFETY: a new mapping at an address that the kernel chooses. It is neither read nor executed.
    let mapped = unsafe {
        rustix::mm::mmap(std::ptr::null_mut(), page, prot, MapFlags::PRIVATE, file.as_fd(), 0)
    };
    // SAFETY: the new mapping, to which no reference exists.
    let _ = unsafe { rustix::mm::munmap(mapped.ok()?, page) };
    Some(file.into())
}

/// Removes all records from the ring buffer and returns those with a complete header.
fn drain(object: &mut BpfObject) -> Vec<CapturedRecord> {
    let mut all = Vec::new();
    while object.ring.take(&mut |record| {
        if let Ok((header, rest)) = Header::read_from_prefix(record) {
            let path = rest.get(..header.path_len.into()).unwrap_or_default().to_vec();
            all.push((header, path));
        }
    }) {}
    all
}

/// Returns the only record. Fails unless there is exactly one, of this kind.
fn single_record(
    mut records: Vec<CapturedRecord>,
    kind: u16,
    what: &str,
) -> Result<CapturedRecord, String> {
    match (records.pop(), records.len()) {
        (Some(record), 0) if record.0.kind == kind => Ok(record),
        (None, _) => Err(format!("attached, but not called for {what} of this process")),
        (Some(_), others) => {
            let records = counted(others.saturating_add(1), "record");
            Err(format!("{what} of this process produced {records} instead of one of its kind"))
        }
    }
}

fn expect_eq<T: PartialEq + std::fmt::Debug>(
    what: &str,
    reported: T,
    actual: T,
) -> Result<(), String> {
    if reported == actual {
        return Ok(());
    }
    Err(format!(
        "reported {what} {reported:?} instead of {actual:?}: unknown layout of kernel data"
    ))
}

/// `parent`: the parent before the event.
fn compare_process(header: &Header, parent: u32) -> Result<(), String> {
    let tid = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or_default();
    expect_eq("process", header.tgid, std::process::id())?;
    expect_eq("thread", header.tid, tid)?;
    // The parent may have exited meanwhile.
    if parent == std::os::unix::process::parent_id() {
        expect_eq("parent", header.ppid, parent)?;
    }
    let comm = fs::read("/proc/self/comm").unwrap_or_default();
    let reported = header.comm.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = comm.strip_suffix(b"\n").unwrap_or(&comm);
    expect_eq("name", String::from_utf8_lossy(reported), String::from_utf8_lossy(name))?;
    if let Some(ticks) = start_ticks() {
        let reported = header.start_ns.saturating_add_signed(boot::ahead_ns());
        expect_eq("start time", reported / boot::TICK_NS, ticks)?;
    }
    if let Ok(namespace) = fs::metadata("/proc/self/ns/mnt") {
        expect_eq("mount namespace", u64::from(header.mount_ns), namespace.ino())?;
    }
    Ok(())
}

/// Returns the start time of this process, in clock ticks of its time namespace's boot clock.
fn start_ticks() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The process name, in parentheses, may contain any character.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn compare_path(path: &[u8], file: &fs::File) -> Result<(), String> {
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let link = fs::read_link(link).map_err(|error| error.to_string())?;
    let name = link.as_os_str().as_bytes();
    let parts = name.strip_prefix(b"/").unwrap_or(name).rsplit(|&byte| byte == b'/');
    let leaf_first: Vec<u8> = parts.flat_map(|part| part.iter().copied().chain([0])).collect();
    expect_eq("path", String::from_utf8_lossy(path), String::from_utf8_lossy(&leaf_first))
}

fn compare_file(header: &Header, file: &fs::File) -> Result<(), String> {
    let stat = file.metadata().map_err(|error| error.to_string())?;
    expect_eq("inode", header.inode, stat.ino())?;
    expect_eq("size", header.size, stat.size())?;
    let reported = (header.ctime_sec, i64::from(header.ctime_nsec));
    expect_eq("ctime", reported, (stat.ctime(), stat.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_common::fixed::Offsets;

    fn record_of_kind(kind: u16) -> CapturedRecord {
        let mut header = Header::read_from_bytes(&[0; size_of::<Header>()]).unwrap();
        header.kind = kind;
        (header, Vec::new())
    }

    #[test]
    fn exactly_one_record_of_the_right_kind_is_accepted() {
        let open = || record_of_kind(kind::FILE_OPEN);
        assert!(single_record(vec![open()], kind::FILE_OPEN, "an open").is_ok());
        let missing = single_record(Vec::new(), kind::FILE_OPEN, "an open").unwrap_err();
        assert!(missing.contains("not called"), "{missing}");
        let twice = single_record(vec![open(), open()], kind::FILE_OPEN, "an open").unwrap_err();
        assert!(twice.contains("2 records"), "{twice}");
        assert!(single_record(vec![open()], kind::LIB_LOAD, "a mapping").is_err());
    }

    #[test]
    fn wrong_data_is_rejected() {
        let (header, _) = record_of_kind(kind::FILE_OPEN);
        let error = compare_process(&header, 1).unwrap_err();
        assert!(error.contains("reported process 0"), "{error}");
        let file = fs::File::open(FILE.0).unwrap();
        let error = compare_path(b"", &file).unwrap_err();
        assert!(error.contains("reported path"), "{error}");
        let error = compare_file(&header, &file).unwrap_err();
        assert!(error.contains("reported inode 0"), "{error}");
    }

    /// Each offset that the self-test depends on is shifted by one word, one at a time.
    #[test]
    fn wrong_offsets_are_detected() {
        use crate::{CaptureOptions, ladder, machine, machine::Machine, object, probe};

        type Field = fn(&mut Offsets) -> &mut u32;
        const ALSO_FOR_LOADS: [&str; 4] =
            ["task_tgid", "inode_ino", "inode_ctime_sec", "inode_size"];
        let shifted: [(&str, Field); 9] = [
            ("task_tgid", |offsets| &mut offsets.task_tgid),
            ("task_comm", |offsets| &mut offsets.task_comm),
            ("task_start_boottime", |offsets| &mut offsets.task_start_boottime),
            ("mnt_namespace_inum", |offsets| &mut offsets.mnt_namespace_inum),
            ("path_dentry", |offsets| &mut offsets.path_dentry),
            ("inode_ino", |offsets| &mut offsets.inode_ino),
            ("inode_ctime_sec", |offsets| &mut offsets.inode_ctime_sec),
            ("inode_size", |offsets| &mut offsets.inode_size),
            ("mount_parent", |offsets| &mut offsets.mount_parent),
        ];
        if machine::check_kernel().and_then(|()| machine::check_privileges()).is_err() {
            assert!(std::env::var_os("CRYPTO_TRACER_REQUIRE_BPF").is_none());
            println!("skipped: BPF is not permitted here");
            return;
        }
        let (opens, loads) = (
            EventKinds { open: true, ..EventKinds::NONE },
            EventKinds { load: true, ..EventKinds::NONE },
        );
        let interest = Interest::default();
        let options = CaptureOptions {
            interest: &interest,
            kinds: EventKinds { load: true, ..opens },
            pid: None,
            pid_started: None,
            limit_floods: true,
            follow_children: false,
            comm: None,
            ring_bytes: 64 << 10,
            probe: None,
            excluded_pids: Vec::new(),
        };
        let (layout, machine) =
            (object::read_layout(&ladder::hook_btf_names()).unwrap(), Machine::detect());
        let by_loads = shifted.iter().filter(|(name, _)| ALSO_FOR_LOADS.contains(name));
        let cases = shifted.iter().map(|it| (it, opens)).chain(by_loads.map(|it| (it, loads)));
        for ((name, field), kinds) in cases {
            let mut layout = layout.clone();
            *field(&mut layout.offsets) += 8;
            let mut object = BpfObject::load(&options, &layout).unwrap();
            let (layout, machine) = (&layout, &machine);
            let context = probe::AttachContext { layout, machine, kinds };
            let error = ladder::attach(&mut object, &context, None).unwrap_err();
            assert_eq!(error.exit_code(), 5, "{name}: {error}");
            println!("{name}: {error}");
        }
    }
}
