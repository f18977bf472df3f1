//! Reads `/proc`: the processes that existed before the tracer started, and parsers of its files.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use super::paging::{self, Paged};
use super::proc_probe::ProbePool;
use super::protocol::{ExistingProcess, MappedFile};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::boot;
use crypto_tracer_system::cgroup::Hierarchy;

/// Maximum bytes read of a file below `/proc`: a process may have a million mappings.
const MAX_BYTES: u64 = 4 << 20;
/// Maximum number of libraries of an existing process. A few dozen match an interest in practice.
const MAX_LIBRARIES: usize = 1024;
/// Initial capacity of a read buffer in bytes. Most files fit, and an empty buffer would grow in small steps.
const BUFFER_BYTES: usize = 8 << 10;

/// Returns the IDs of all visible processes in ascending order.
pub(super) fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// Processes of a scan.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) processes: Vec<ExistingProcess>,
    /// Number of processes that block accesses. They are omitted.
    pub(super) blocked: usize,
    /// The last process of this page if more follow.
    pub(super) next: Option<u32>,
}

/// Returns these processes with the libraries in `interest`. Without an interest the response has no libraries.
pub(super) fn page(pids: &[u32], interest: Option<Interest>, probes: &ProbePool) -> Page {
    page_of(pids, interest, paging::PAGE_BYTES, probes)
}

fn page_of(pids: &[u32], interest: Option<Interest>, max_bytes: usize, probes: &ProbePool) -> Page {
    let hierarchy = Hierarchy::of_this_system();
    let read = move |pid| {
        let process = existing_process(pid, hierarchy, interest.as_ref())?;
        let mapped = process.mapped.iter().map(|file| file.path.len() + paging::ENTRY_BYTES);
        let size = mapped.sum::<usize>() + paging::ENTRY_BYTES;
        Some((process, size))
    };
    let (found, next) = paging::collect(pids, max_bytes, probes, read);
    let mut page = Page { next, ..Page::default() };
    for (_, found) in found {
        match found {
            Paged::Read(process) => page.processes.extend(process),
            Paged::Blocked => page.blocked += 1,
        }
    }
    page
}

fn existing_process(
    pid: u32,
    hierarchy: Hierarchy,
    interest: Option<&Interest>,
) -> Option<ExistingProcess> {
    let (ppid, start_ns) = parse_stat(&read(pid, "stat").ok()?)?;
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    // A kernel thread has no executable and no mappings.
    let mapped = match interest.filter(|_| exe.is_some()) {
        Some(interest) => {
            with_file_names(wanted_libraries(&read(pid, "maps").unwrap_or_default(), interest))
        }
        None => Vec::new(),
    };
    Some(ExistingProcess {
        pid,
        start_ns,
        ppid,
        exe: exe.map(|exe| strip_deleted(exe.into_os_string().into_vec()).0),
        cgroup: cgroup_of(pid, hierarchy),
        mapped,
    })
}

/// Limits the number of libraries and reduces each path to the file name: paths may be long, and device and inode
/// number identify the file.
fn with_file_names(mut libraries: Vec<MappedFile>) -> Vec<MappedFile> {
    libraries.truncate(MAX_LIBRARIES);
    for library in &mut libraries {
        library.path = file_name(&library.path).to_vec();
    }
    libraries
}

/// Returns the executable mappings whose file names are in `interest`.
pub(super) fn wanted_libraries(maps: &[u8], interest: &Interest) -> Vec<MappedFile> {
    let mut libraries = parse_maps(maps);
    libraries.retain(|file| interest.wants_library(file_name(&file.path)));
    libraries
}

/// Reads at most [`MAX_BYTES`] of `/proc/PID/NAME`.
pub(super) fn read(pid: u32, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(BUFFER_BYTES);
    fs::File::open(format!("/proc/{pid}/{name}"))?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Index for [`stat_field`] of the flags, field 9 in proc(5).
pub(super) const STAT_FLAGS: usize = 6;

/// Parses `/proc/PID/stat`: parent PID, and start time in nanoseconds of the boot clock.
pub(super) fn parse_stat(stat: &[u8]) -> Option<(u32, u64)> {
    /// Fields 4 and 22 in proc(5).
    const PPID: usize = 1;
    const START_TIME: usize = 19;
    let ticks = stat_field(stat, START_TIME)?;
    Some((stat_field(stat, PPID)?.try_into().ok()?, boot::start_ns(ticks)?))
}

/// Returns a numeric field of `/proc/PID/stat`. Index 0 is the first field after the name (field 3 in proc(5)). The
/// name is in parentheses and may contain any byte, so it ends at the last closing parenthesis.
pub(super) fn stat_field(stat: &[u8], index: usize) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(index)?.parse().ok()
}

/// Removes the kernel's suffix for an unlinked file from the path. Also returns whether the path had the suffix.
pub(super) fn strip_deleted(mut path: Vec<u8>) -> (Vec<u8>, bool) {
    const SUFFIX: &[u8] = b" (deleted)";
    let deleted = path.ends_with(SUFFIX);
    if deleted {
        path.truncate(path.len() - SUFFIX.len());
    }
    (path, deleted)
}

/// Returns the part after the last slash.
pub(super) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// Returns the first number after this key in `/proc/PID/status`.
pub(super) fn status_value(status: &[u8], key: &str) -> Option<u32> {
    let status = String::from_utf8_lossy(status);
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the cgroup path of a process.
pub(super) fn cgroup_of(pid: u32, hierarchy: Hierarchy) -> Option<String> {
    hierarchy.path(&String::from_utf8_lossy(&read(pid, "cgroup").ok()?))
}

/// Parses `/proc/PID/maps`: the files with an executable mapping, each once.
pub(super) fn parse_maps(maps: &[u8]) -> Vec<MappedFile> {
    // A set, because a pairwise comparison of a million mappings would be quadratic.
    let mut known = HashSet::new();
    maps.split(|&byte| byte == b'\n')
        .filter_map(parse_mapping)
        .filter(|file| known.insert((file.dev, file.inode)))
        .collect()
}

/// Parses `address perms offset major:minor inode path`; `None` without an executable mapping of a file.
fn parse_mapping(line: &[u8]) -> Option<MappedFile> {
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
    fn parses_a_stat_line_whose_name_has_parentheses_and_spaces() {
        let line = b"12 (a) R 1 (b) S 7 12 12 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 345 6 7";
        assert_eq!(parse_stat(line), Some((7, boot::start_ns(345).unwrap())));
        assert_eq!(parse_stat(b"12 (a"), None);
        assert_eq!(parse_stat(b"12 (a) S"), None);
    }

    #[test]
    fn each_file_with_an_executable_mapping_is_found_once() {
        let maps = b"7f00-7f01 r--p 00000000 08:01 99                         /lib/libssl.so.3\n\
            7f01-7f02 r-xp 00001000 08:01 99                         /lib/libssl.so.3\n\
            7f02-7f03 r-xp 00001000 08:01 99                         /lib/libssl.so.3\n\
            7f03-7f04 r-xp 00001000 fe:02 5  /a b/libx.so (deleted)\n\
            7f05-7f06 r-xp 00000000 00:00 0                          [vdso]\n\
            rubbish\n";
        let found = parse_maps(maps);
        let paths: Vec<_> = found.iter().map(|file| file.path.as_slice()).collect();
        assert_eq!(paths, [&b"/lib/libssl.so.3"[..], b"/a b/libx.so (deleted)"]);
        assert_eq!((found[0].dev, found[0].inode), (8 << 20 | 1, 99));
        assert_eq!(found[1].dev, 0xfe << 20 | 2);
    }

    #[test]
    fn a_deleted_executable_keeps_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sleep");
        fs::copy(fs::canonicalize("/bin/sleep").unwrap(), &path).unwrap();
        let mut child = std::process::Command::new(&path).arg("60").spawn().unwrap();
        fs::remove_file(&path).unwrap();
        let found = existing_process(child.id(), Hierarchy::of_this_system(), None);
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
    fn finds_this_process_with_the_wanted_libraries() {
        let hierarchy = Hierarchy::of_this_system();
        let own = std::process::id();
        let this = existing_process(own, hierarchy, Some(&interest(&["libc"]))).unwrap();
        let exe = fs::read_link("/proc/self/exe").unwrap().into_os_string().into_vec();
        assert_eq!(this.exe, Some(exe));
        let names: Vec<_> = this.mapped.iter().map(|file| file_name(&file.path)).collect();
        assert!(!names.is_empty() && names.iter().all(|name| name.starts_with(b"libc")));
        assert_eq!(
            existing_process(own, hierarchy, Some(&interest(&["libssl"]))).unwrap().mapped,
            []
        );
        assert_eq!(existing_process(own, hierarchy, None).unwrap().mapped, []);
        let all = pids();
        assert!(all.is_sorted() && all.contains(&own));
        let found = page(&all, None, &ProbePool::default()).processes;
        assert!(found.iter().any(|found| found.pid == own && found.start_ns == this.start_ns));
    }

    #[test]
    fn a_large_response_is_split_into_pages() {
        let own = std::process::id();
        let wanted = interest(&["libc"]);
        let page = |max_bytes| {
            let pids = [own, own, own];
            let page = page_of(&pids, Some(wanted.clone()), max_bytes, &ProbePool::default());
            (page.processes.len(), page.next)
        };
        assert_eq!(page(2 * paging::ENTRY_BYTES), (1, Some(own)));
        assert_eq!(page(paging::PAGE_BYTES), (3, None));
    }
}
