//! Whether what the programs tell of this process is true. The offsets come from what the kernel says about itself; if
//! that is wrong, nothing is told rather than something made up.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use crypto_tracer_common::record::{Header, kind};
use rustix::mm::{MapFlags, ProtFlags};
use zerocopy::FromBytes;

use super::{EventKinds, error::Error, object::BpfObject};
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::boot;

/// A file that is everywhere, and its name.
const FILE: (&str, &str) = ("/proc/self/status", "status");
/// The name that is asked of memfd_create, and the name that the kernel makes of it.
const LIBRARY: (&str, &str) = ("crypto-tracer", "memfd:crypto-tracer");

/// A record of this process: header and path, leaf first.
type CapturedRecord = (Header, Vec<u8>);

/// Opens a file, maps another, and compares what is told of it.
pub(super) fn check(object: &mut BpfObject, kinds: EventKinds) -> Result<(), String> {
    let mut interest = Interest::default();
    let words = interest.add_name(FILE.1).and_then(|()| interest.add_library(LIBRARY.1));
    words.map_err(|error| error.to_string())?;
    begin(object, &interest).map_err(|error| error.to_string())?;
    let compared = compare_all(object, kinds);
    let ended = object.set_check(0).map_err(|error| error.to_string());
    compared.and(ended)
}

fn begin(object: &mut BpfObject, interest: &Interest) -> Result<(), Error> {
    object.set_interest(interest)?;
    object.set_check(std::process::id())
}

fn compare_all(object: &mut BpfObject, kinds: EventKinds) -> Result<(), String> {
    told(object);
    let parent = std::os::unix::process::parent_id();
    if kinds.open {
        let file = fs::File::open(FILE.0).map_err(|error| format!("{}: {error}", FILE.0))?;
        let (header, path) = only(told(object), kind::FILE_OPEN, "an open")?;
        compare_process(&header, parent)?;
        compare_path(&path, &file)?;
        compare_file(&header, &file)?;
    }
    if kinds.load
        && let Some(file) = map_memory()
    {
        let (header, path) = only(told(object), kind::LIB_LOAD, "a mapping")?;
        compare_process(&header, parent)?;
        same("the library's name", &path, &[LIBRARY.1.as_bytes(), b"\0"].concat())?;
        compare_file(&header, &file)?;
    }
    Ok(())
}

/// Maps code of a file of our own; None where that is not permitted, which says nothing about the programs.
fn map_memory() -> Option<fs::File> {
    let file = rustix::fs::memfd_create(LIBRARY.0, rustix::fs::MemfdFlags::CLOEXEC).ok()?;
    let page = rustix::param::page_size();
    rustix::fs::ftruncate(&file, page as u64).ok()?;
    let prot = ProtFlags::READ | ProtFlags::EXEC;
    // SAFETY: a new mapping at a place that the kernel chooses. Nobody reads or runs it.
    let mapped = unsafe {
        rustix::mm::mmap(std::ptr::null_mut(), page, prot, MapFlags::PRIVATE, file.as_fd(), 0)
    };
    // SAFETY: what was just mapped, and nobody knows of it.
    let _ = unsafe { rustix::mm::munmap(mapped.ok()?, page) };
    Some(file.into())
}

/// All that the ring holds.
fn told(object: &mut BpfObject) -> Vec<CapturedRecord> {
    let mut all = Vec::new();
    while let Some(record) = object.ring.next() {
        let Ok((header, rest)) = Header::read_from_prefix(&record) else { continue };
        let path = rest.get(..header.path_len.into()).unwrap_or_default().to_vec();
        all.push((header, path));
    }
    all
}

fn only(mut told: Vec<CapturedRecord>, kind: u16, what: &str) -> Result<CapturedRecord, String> {
    match (told.pop(), told.len()) {
        (Some(one), 0) if one.0.kind == kind => Ok(one),
        (None, _) => Err(format!("it is attached, but was not called for {what} of this process")),
        (Some(_), others) => {
            let times = counted(others.saturating_add(1), "time");
            Err(format!("{what} of this process was told {times}"))
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, told: T, true_one: T) -> Result<(), String> {
    if told == true_one {
        return Ok(());
    }
    Err(format!("{what} was told as {told:?} and is {true_one:?}: this kernel's data is elsewhere"))
}

/// `parent`: as it was before.
fn compare_process(header: &Header, parent: u32) -> Result<(), String> {
    let tid = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or_default();
    same("the process", header.tgid, std::process::id())?;
    same("the thread", header.tid, tid)?;
    // The parent may have ended in between.
    if parent == std::os::unix::process::parent_id() {
        same("the parent", header.ppid, parent)?;
    }
    let comm = fs::read("/proc/self/comm").unwrap_or_default();
    let told = header.comm.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = comm.strip_suffix(b"\n").unwrap_or(&comm);
    same("the name", String::from_utf8_lossy(told), String::from_utf8_lossy(name))?;
    if let Some(ticks) = start_ticks() {
        let told = header.start_ns.saturating_add_signed(boot::ahead_ns());
        same("the start time", told / boot::TICK_NS, ticks)?;
    }
    if let Ok(namespace) = fs::metadata("/proc/self/ns/mnt") {
        same("the mount namespace", u64::from(header.mount_ns), namespace.ino())?;
    }
    Ok(())
}

/// When this process started, in ticks of its own boot clock.
fn start_ticks() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may contain anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn compare_path(path: &[u8], file: &fs::File) -> Result<(), String> {
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let link = fs::read_link(link).map_err(|error| error.to_string())?;
    let name = link.as_os_str().as_bytes();
    let parts = name.strip_prefix(b"/").unwrap_or(name).rsplit(|&byte| byte == b'/');
    let leaf_first: Vec<u8> = parts.flat_map(|part| part.iter().copied().chain([0])).collect();
    same("the path", String::from_utf8_lossy(path), String::from_utf8_lossy(&leaf_first))
}

fn compare_file(header: &Header, file: &fs::File) -> Result<(), String> {
    let stat = file.metadata().map_err(|error| error.to_string())?;
    same("the inode", header.inode, stat.ino())?;
    same("the size", header.size, stat.size())?;
    let told = (header.ctime_sec, i64::from(header.ctime_nsec));
    same("the change time", told, (stat.ctime(), stat.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_common::fixed::Offsets;

    fn of_kind(kind: u16) -> CapturedRecord {
        let mut header = Header::read_from_bytes(&[0; size_of::<Header>()]).unwrap();
        header.kind = kind;
        (header, Vec::new())
    }

    #[test]
    fn one_record_of_the_right_kind_is_right() {
        let open = || of_kind(kind::FILE_OPEN);
        assert!(only(vec![open()], kind::FILE_OPEN, "an open").is_ok());
        let silent = only(Vec::new(), kind::FILE_OPEN, "an open").unwrap_err();
        assert!(silent.contains("not called"), "{silent}");
        let twice = only(vec![open(), open()], kind::FILE_OPEN, "an open").unwrap_err();
        assert!(twice.contains("2 times"), "{twice}");
        assert!(only(vec![open()], kind::LIB_LOAD, "a mapping").is_err());
    }

    #[test]
    fn a_process_that_is_not_this_one_is_noticed() {
        let (header, _) = of_kind(kind::FILE_OPEN);
        let error = compare_process(&header, 1).unwrap_err();
        assert!(error.contains("the process was told as 0"), "{error}");
        let file = fs::File::open(FILE.0).unwrap();
        let error = compare_path(b"", &file).unwrap_err();
        assert!(error.contains("the path"), "{error}");
        let error = compare_file(&header, &file).unwrap_err();
        assert!(error.contains("the inode was told as 0"), "{error}");
    }

    /// Every offset that the check looks at, one after the other moved by a word: never taken for the truth.
    #[test]
    fn fields_that_are_elsewhere_are_noticed() {
        use crate::{CaptureOptions, ladder, machine, machine::Machine, object};

        type KernelField = fn(&mut Offsets) -> &mut u32;
        const LOADS_TOO: [&str; 4] = ["task_tgid", "inode_ino", "inode_ctime_sec", "inode_size"];
        let moved: [(&str, KernelField); 9] = [
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
            follow_children: false,
            comm: None,
            ring_bytes: 64 << 10,
            probe: None,
            own: Vec::new(),
        };
        let (known, machine) =
            (object::read_layout(&ladder::attached_types()).unwrap(), Machine::detect());
        let by_loads = moved.iter().filter(|(name, _)| LOADS_TOO.contains(name));
        let tries = moved.iter().map(|it| (it, opens)).chain(by_loads.map(|it| (it, loads)));
        for ((name, place), kinds) in tries {
            let mut layout = known.clone();
            *place(&mut layout.offsets) += 8;
            let mut object = BpfObject::load(&options, &layout).unwrap();
            let (layout, machine) = (&layout, &machine);
            let ground = super::super::probe::AttachContext { layout, machine, kinds };
            let error = ladder::attach(&mut object, &ground, None).unwrap_err();
            assert_eq!(error.exit_code(), 5, "{name}: {error}");
            println!("{name}: {error}");
        }
    }
}
