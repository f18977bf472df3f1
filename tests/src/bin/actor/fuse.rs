//! A FUSE file system that answers until its file is open, and then never again: every later access blocks forever. The
//! mount is in a mount namespace of this process, and ends with the process.
//!
//! Modes:
//!
//! - `user`: an unprivileged user mounts it in a user namespace;
//! - `overlay`: like `user`, below an overlay in that user namespace;
//! - `bind`: like `user`, with a file of another file system mounted over its file, so the path crosses the file
//!   system;
//! - `root`: root mounts it with `allow_other`, like a system service;
//! - `through`: like `root`, with a file mounted over its file as in `bind`, which is closed immediately;
//! - `before`: like `user`, and a later descriptor is a local file, `wanted.pem`, that was deleted;
//! - `arguments`: like `user`, and this process's command line is a mapping of that file.
//!
//! [`in_exec`] starts a process that blocks in `execve` while it closes such a file. Every process that reads its
//! memory blocks too.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Error, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Name of the only file; the overlay shows it too.
const NAME: &str = "hang.pem";
const ROOT: u64 = 1;
const FILE: u64 = 2;
/// `FOPEN_NOFLUSH`. Without it, this process would wait forever when it is killed, because the flush needs its own
/// answer.
const NO_FLUSH: u64 = 1 << 5;

/// Operations, as `linux/fuse.h` numbers them.
mod operation {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const OPEN: u32 = 14;
    pub(super) const STATFS: u32 = 17;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const OPENDIR: u32 = 27;
    pub(super) const READDIR: u32 = 28;
    pub(super) const RELEASEDIR: u32 = 29;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// Mounts the file system below `dir`, opens the file, and answers no request from then on. Returns the files that the
/// caller must keep open.
pub(crate) fn open(mode: &str, device: &str, dir: &str) -> io::Result<Vec<File>> {
    let dir = Path::new(dir);
    let by_root = matches!(mode, "root" | "through");
    enter_namespaces(!by_root)?;
    let device = File::options().read(true).write(true).open(device)?;
    let server = Server { device, is_blocked: Arc::default(), flushed: None };
    let is_blocked = server.is_blocked.clone();
    let mount_point = serve_mount(server, dir, by_root)?;
    let (plain, over, empty) = (dir.join("plain.pem"), dir.join("over"), dir.join("empty"));
    for folder in [&over, &empty] {
        fs::create_dir(folder)?;
    }
    let file = mount_point.join(NAME);
    match mode {
        "overlay" => {
            let lower = format!("lowerdir={}:{}", mount_point.display(), empty.display());
            mount("over", &over, "overlay", 0, &lower)?;
            Ok(vec![File::open(over.join(NAME))?])
        }
        "bind" | "through" => {
            fs::write(&plain, "no certificate")?;
            mount(utf8(&plain)?, &file, "", libc::MS_BIND, "")?;
            let held = File::options().read(true).custom_flags(libc::O_PATH).open(&file)?;
            is_blocked.store(true, SeqCst);
            let opened = File::open(format!("/proc/self/fd/{}", held.as_raw_fd()))?;
            Ok(if mode == "bind" { vec![opened] } else { Vec::new() })
        }
        "before" => {
            let (wanted, first) = (dir.join("wanted.pem"), File::open(file)?);
            fs::write(&wanted, "no certificate")?;
            let second = File::open(&wanted)?;
            fs::remove_file(&wanted)?;
            Ok(vec![first, second])
        }
        "arguments" => {
            let file = File::open(file)?;
            map_over_arguments(&file)?;
            Ok(vec![file])
        }
        _ => Ok(vec![File::open(file)?]),
    }
}

/// Starts a child in a user namespace that opens a file and then blocks in `execve` until this process ends. Returns
/// its process id.
pub(crate) fn in_exec(device: &str, dir: &str, opens: &str) -> io::Result<i32> {
    enter_namespaces(true)?;
    let device = File::options().read(true).write(true).open(device)?;
    let number = device.as_raw_fd();
    let (flushed, is_flushing) = sync_channel(1);
    let server = Server { device, is_blocked: Arc::default(), flushed: Some(flushed) };
    let file = serve_mount(server, Path::new(dir), false)?.join(NAME);
    let (file, program) = (CString::new(utf8(&file)?)?, c"/bin/true".as_ptr());
    let opens = CString::new(opens)?;
    let arguments = [program, std::ptr::null()];
    // SAFETY: the child makes only system calls, on data that was prepared before.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above; the strings end with NUL, the list with null, and both outlive the calls.
        unsafe {
            // The mount must end with the parent.
            libc::close(number);
            libc::open(opens.as_ptr(), libc::O_RDONLY);
            libc::open(file.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            libc::execv(program, arguments.as_ptr());
            libc::_exit(1)
        }
    }
    is_flushing.recv().map_err(Error::other)?;
    Ok(child)
}

/// Mounts the file system, serves it in a thread, and returns the mount point.
fn serve_mount(server: Server, dir: &Path, by_root: bool) -> io::Result<PathBuf> {
    let mount_point = dir.join("mnt");
    fs::create_dir(&mount_point)?;
    let allow_other = if by_root { ",allow_other" } else { "" };
    let number = server.device.as_raw_fd();
    let options = format!("fd={number},rootmode=40000,user_id=0,group_id=0{allow_other}");
    mount("hang", &mount_point, "fuse", 0, &options)?;
    std::thread::spawn(move || server.serve());
    Ok(mount_point)
}

/// Maps a file over this process's command line. The command line must be two pages long, because the used part of the
/// stack may share its first page. This process does not read the command line again: its arguments are copies.
fn map_over_arguments(file: &File) -> io::Result<()> {
    /// Index of field 48 of proc(5), counted after the name; field 49 follows.
    const ARG_START: usize = 45;
    const PAGE: usize = 4096;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let mut ends = fields.split_ascii_whitespace().skip(ARG_START).map_while(|at| at.parse().ok());
    let (Some(start), Some(end)) = (ends.next(), ends.next()) else {
        return Err(Error::other("no arguments"));
    };
    let (start, end): (usize, usize) = (start, end);
    let page = start.next_multiple_of(PAGE);
    if page + PAGE > end {
        return Err(Error::other("too few arguments"));
    }
    let at = std::ptr::without_provenance_mut(page);
    let how = libc::MAP_PRIVATE | libc::MAP_FIXED;
    // SAFETY: the page holds only arguments of this process, and no code reads them from now on.
    let mapped = unsafe { libc::mmap(at, PAGE, libc::PROT_READ, how, file.as_raw_fd(), 0) };
    if mapped == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(()) }
}

fn utf8(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| Error::other("path is not UTF-8"))
}

/// Enters a new mount namespace, and with `users` also a new user namespace in which this user is root.
pub(super) fn enter_namespaces(users: bool) -> io::Result<()> {
    // SAFETY: the calls access no memory.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let flags = libc::CLONE_NEWNS | if users { libc::CLONE_NEWUSER } else { 0 };
    // SAFETY: as above; this process has one thread.
    if unsafe { libc::unshare(flags) } != 0 {
        return Err(Error::last_os_error());
    }
    if users {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    mount("none", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "")
}

pub(super) fn mount(
    what: &str,
    at: &Path,
    kind: &str,
    flags: u64,
    options: &str,
) -> io::Result<()> {
    let [what, at_text, kind, options] = [what, utf8(at)?, kind, options].map(CString::new);
    let (what, at_text, kind, options) = (what?, at_text?, kind?, options?);
    // SAFETY: the strings end with NUL and outlive the call.
    let done = unsafe {
        libc::mount(what.as_ptr(), at_text.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    };
    if done == 0 {
        return Ok(());
    }
    let error = Error::last_os_error();
    Err(Error::new(error.kind(), format!("mount on {}: {error}", at.display())))
}

struct Server {
    device: File,
    is_blocked: Arc<AtomicBool>,
    /// If set, closing a file blocks forever too, and each flush sends a message here.
    flushed: Option<SyncSender<()>>,
}

/// The used fields of `struct fuse_in_header`.
struct FuseRequest<'a> {
    operation: u32,
    unique: u64,
    node: u64,
    body: &'a [u8],
}

impl<'a> FuseRequest<'a> {
    fn of(bytes: &'a [u8]) -> Option<FuseRequest<'a>> {
        let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let (operation, unique, node) = (word(4)?, long(8)?, long(16)?);
        Some(FuseRequest { operation, unique, node, body: bytes.get(40..)? })
    }
}

impl Server {
    fn serve(mut self) {
        let mut buffer = vec![0; 256 << 10];
        while let Ok(length) = self.device.read(&mut buffer) {
            let Some(request) = buffer.get(..length).and_then(FuseRequest::of) else { return };
            if let Some(answer) = self.answer(&request) {
                let (error, body) = match answer {
                    Ok(body) => (0, body),
                    Err(error) => (-error, Vec::new()),
                };
                // An error means that the request was interrupted; later requests may still need an answer.
                let _ = self.device.write(&reply(request.unique, error, &body));
            }
        }
    }

    /// Returns the answer to a request; None: no answer is ever sent.
    fn answer(&self, request: &FuseRequest<'_>) -> Option<Result<Vec<u8>, i32>> {
        let ends = matches!(
            request.operation,
            operation::RELEASE | operation::RELEASEDIR | operation::FLUSH
        );
        if let (operation::FLUSH, Some(flushed)) = (request.operation, &self.flushed) {
            let _ = flushed.try_send(());
            return None;
        }
        if self.is_blocked.load(SeqCst) && !ends {
            return None;
        }
        Some(match request.operation {
            operation::FORGET | operation::BATCH_FORGET => return None,
            operation::INIT => Ok(init()),
            operation::LOOKUP if request.body.strip_suffix(b"\0") == Some(NAME.as_bytes()) => {
                // The entry has no validity time, so every lookup sends a request.
                Ok([words(&[FILE, 0, 0, 0, 0]), attributes(FILE)].concat())
            }
            operation::LOOKUP => Err(libc::ENOENT),
            operation::GETATTR => Ok([words(&[0, 0]), attributes(request.node)].concat()),
            operation::OPEN => {
                self.is_blocked.store(true, SeqCst);
                Ok(words(&[0, if self.flushed.is_some() { 0 } else { NO_FLUSH }]))
            }
            operation::OPENDIR => Ok(words(&[0, 0])),
            operation::READDIR => Ok(Vec::new()),
            operation::STATFS => Ok(words(&[0; 10])),
            _ if ends => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        })
    }
}

/// `struct fuse_out_header` and what follows.
fn reply(unique: u64, error: i32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap_or_default();
    [&length.to_ne_bytes()[..], &error.to_ne_bytes(), &unique.to_ne_bytes(), body].concat()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// `struct fuse_init_out` of version 7.31 without optional features.
fn init() -> Vec<u8> {
    const MAX_WRITE: u32 = 4096;
    let mut bytes: Vec<u8> = [7, 31, 0, 0, 0, MAX_WRITE, 1].map(u32::to_ne_bytes).concat();
    bytes.resize(64, 0);
    bytes
}

/// `struct fuse_attr`
fn attributes(node: u64) -> Vec<u8> {
    const SIZE: u64 = 4096;
    let (mode, links): (u32, u32) =
        if node == ROOT { (libc::S_IFDIR | 0o755, 2) } else { (libc::S_IFREG | 0o644, 1) };
    let times = 1_700_000_000;
    let mut bytes = words(&[node, SIZE, 8, times, times, times]);
    for word in [0, 0, 0, mode, links, 0, 0, 0, 4096, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}
