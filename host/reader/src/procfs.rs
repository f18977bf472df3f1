//! One look at `/proc`: the processes that were there before the tracer.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use super::paging;
use super::proc_probe::{ProbePool, Timeouts};
use super::protocol::{ExistingProcess, MappedFile};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::boot;
use crypto_tracer_system::cgroup::Hierarchy;

/// Bytes of one file below `/proc` that are read: a process may have a million mappings.
const MOST_BYTES: u64 = 4 << 20;
/// Libraries of one process that are remembered from before the start: there are some dozens that are interesting.
const MOST_LIBRARIES: usize = 1024;
/// Room for the beginning: the kernel hands out a page at once.
const FIRST_BYTES: usize = 8 << 10;

/// The ids of all processes that can be seen, in their order.
pub(super) fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// These processes with the libraries that somebody is interested in, and the last one that was looked into, if that was
/// enough for one answer. Nobody interested: whoever makes wait is left out.
pub(super) fn these(
    pids: &[u32],
    interest: Option<&Interest>,
    aside: &ProbePool,
) -> (Vec<ExistingProcess>, Option<u32>) {
    if interest.is_some() {
        return until_enough(pids, interest, paging::BYTES);
    }
    let hierarchy = Hierarchy::of_this_system();
    let look = move |pid| process(pid, hierarchy, None);
    let (found, _) = aside.each(pids.iter().copied(), Timeouts::FOR_AN_ANSWER, look);
    (found.into_iter().flatten().collect(), None)
}

fn until_enough(
    pids: &[u32],
    interest: Option<&Interest>,
    most_bytes: usize,
) -> (Vec<ExistingProcess>, Option<u32>) {
    let hierarchy = Hierarchy::of_this_system();
    paging::each(pids, most_bytes, |pid| {
        let process = process(pid, hierarchy, interest)?;
        let mapped = process.mapped.iter().map(|file| file.path.len() + paging::ENTRY_BYTES);
        let size = mapped.sum::<usize>() + paging::ENTRY_BYTES;
        Some((process, size))
    })
}

fn process(pid: u32, hierarchy: Hierarchy, interest: Option<&Interest>) -> Option<ExistingProcess> {
    let (ppid, start_ns) = stat(&text(pid, "stat")?)?;
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    // A kernel thread has no executable and maps nothing.
    let mapped = match interest.filter(|_| exe.is_some()) {
        Some(interest) => names(libraries(&text(pid, "maps").unwrap_or_default(), interest)),
        None => Vec::new(),
    };
    Some(ExistingProcess {
        pid,
        start_ns,
        ppid,
        exe: exe.map(|exe| named(exe.into_os_string().into_vec()).0),
        cgroup: cgroup_of(pid, hierarchy),
        mapped,
    })
}

/// Some of them, by their names alone: which files they are tell device and inode number, and paths may be long.
fn names(mut libraries: Vec<MappedFile>) -> Vec<MappedFile> {
    libraries.truncate(MOST_LIBRARIES);
    for library in &mut libraries {
        library.path = file_name(&library.path).to_vec();
    }
    libraries
}

/// The mapped files that somebody is interested in.
pub(super) fn libraries(maps: &[u8], interest: &Interest) -> Vec<MappedFile> {
    let mut libraries = mapped(maps);
    libraries.retain(|file| interest.wants_library(file_name(&file.path)));
    libraries
}

pub(super) fn text(pid: u32, name: &str) -> Option<Vec<u8>> {
    read(pid, name).ok()
}

pub(super) fn read(pid: u32, name: &str) -> io::Result<Vec<u8>> {
    // Most files fit, and an empty buffer would begin with small steps.
    let mut bytes = Vec::with_capacity(FIRST_BYTES);
    fs::File::open(format!("/proc/{pid}/{name}"))?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Field 9 of proc(5), the flags, counted behind the name.
pub(super) const FLAGS: usize = 6;

/// Parent and start time.
pub(super) fn stat(stat: &[u8]) -> Option<(u32, u64)> {
    /// Fields 4 and 22 of proc(5), counted behind the name.
    const PPID: usize = 1;
    const START: usize = 19;
    let ticks = field(stat, START)?;
    Some((field(stat, PPID)?.try_into().ok()?, boot::start_ns(ticks)?))
}

/// A field that is a number. The name stands in parentheses and may hold any byte, so what counts begins behind the
/// last one.
pub(super) fn field(stat: &[u8], at: usize) -> Option<u64> {
    let behind = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(stat.get(behind + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(at)?.parse().ok()
}

/// The path without the mark of a file that has no name any more, and whether it had it.
pub(super) fn named(mut path: Vec<u8>) -> (Vec<u8>, bool) {
    const MARK: &[u8] = b" (deleted)";
    let deleted = path.ends_with(MARK);
    if deleted {
        path.truncate(path.len() - MARK.len());
    }
    (path, deleted)
}

/// What follows the last slash.
pub(super) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// The first number that stands behind this key in `/proc/PID/status`.
pub(super) fn value(status: &[u8], key: &str) -> Option<u32> {
    let status = String::from_utf8_lossy(status);
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The path of a process's cgroup.
pub(super) fn cgroup_of(pid: u32, hierarchy: Hierarchy) -> Option<String> {
    hierarchy.path(&String::from_utf8_lossy(&text(pid, "cgroup")?))
}

/// Each file of which code is mapped, once.
fn mapped(maps: &[u8]) -> Vec<MappedFile> {
    // A process may have as many mappings as it likes: none is compared with all others.
    let mut known = HashSet::new();
    maps.split(|&byte| byte == b'\n')
        .filter_map(mapping)
        .filter(|file| known.insert((file.dev, file.inode)))
        .collect()
}

/// `address perms offset major:minor inode path`
fn mapping(line: &[u8]) -> Option<MappedFile> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let permissions = fields.nth(1)?;
    if permissions.get(2) != Some(&b'x') {
        return None;
    }
    let device = std::str::from_utf8(fields.nth(1)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let dev = u32::from_str_radix(major, 16).ok()? << 20 | u32::from_str_radix(minor, 16).ok()?;
    let inode = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let path = fields.next()?.trim_ascii_start();
    (inode != 0).then(|| MappedFile { dev, inode, path: path.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces() {
        let line = b"12 (a) R 1 (b) S 7 12 12 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 345 6 7";
        assert_eq!(stat(line), Some((7, boot::start_ns(345).unwrap())));
        assert_eq!(stat(b"12 (a"), None);
        assert_eq!(stat(b"12 (a) S"), None);
    }

    #[test]
    fn mapped_code_once_for_each_file() {
        let maps = b"7f00-7f01 r--p 00000000 08:01 99                         /lib/libssl.so.3\n\
            7f01-7f02 r-xp 00001000 08:01 99                         /lib/libssl.so.3\n\
            7f02-7f03 r-xp 00001000 08:01 99                         /lib/libssl.so.3\n\
            7f03-7f04 r-xp 00001000 fe:02 5  /a b/libx.so (deleted)\n\
            7f05-7f06 r-xp 00000000 00:00 0                          [vdso]\n\
            rubbish\n";
        let found = mapped(maps);
        let paths: Vec<_> = found.iter().map(|file| file.path.as_slice()).collect();
        assert_eq!(paths, [&b"/lib/libssl.so.3"[..], b"/a b/libx.so (deleted)"]);
        assert_eq!((found[0].dev, found[0].inode), (8 << 20 | 1, 99));
        assert_eq!(found[1].dev, 0xfe << 20 | 2);
    }

    #[test]
    fn an_executable_that_is_gone_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sleep");
        fs::copy(fs::canonicalize("/bin/sleep").unwrap(), &path).unwrap();
        let mut child = std::process::Command::new(&path).arg("60").spawn().unwrap();
        fs::remove_file(&path).unwrap();
        let found = process(child.id(), Hierarchy::of_this_system(), None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.unwrap().exe, Some(path.into_os_string().into_vec()));
    }

    fn interest(libraries: &[&str]) -> Interest {
        let mut interest = Interest::default();
        libraries.iter().for_each(|library| interest.add_library(library).unwrap());
        interest
    }

    #[test]
    fn this_process_is_found_with_the_libraries_that_are_wanted() {
        let hierarchy = Hierarchy::of_this_system();
        let own = std::process::id();
        let seen = process(own, hierarchy, Some(&interest(&["libc"]))).unwrap();
        let exe = fs::read_link("/proc/self/exe").unwrap().into_os_string().into_vec();
        assert_eq!(seen.exe, Some(exe));
        let names: Vec<_> = seen.mapped.iter().map(|file| file_name(&file.path)).collect();
        assert!(!names.is_empty() && names.iter().all(|name| name.starts_with(b"libc")));
        assert_eq!(process(own, hierarchy, Some(&interest(&["libssl"]))).unwrap().mapped, []);
        assert_eq!(process(own, hierarchy, None).unwrap().mapped, []);
        let all = pids();
        assert!(all.is_sorted() && all.contains(&own));
        let (found, _) = these(&all, None, &ProbePool::default());
        assert!(found.iter().any(|found| found.pid == own && found.start_ns == seen.start_ns));
    }

    #[test]
    fn what_is_too_much_for_one_answer_comes_in_several() {
        let own = std::process::id();
        let wanted = interest(&["libc"]);
        let (found, next) = until_enough(&[own, own, own], Some(&wanted), 2 * paging::ENTRY_BYTES);
        assert_eq!((found.len(), next), (1, Some(own)));
        let (found, next) = until_enough(&[own, own, own], Some(&wanted), paging::BYTES);
        assert_eq!((found.len(), next), (3, None));
    }
}
