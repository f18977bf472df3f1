//! A file system in user space that answers until its file is open, and never again: whoever looks at it then waits
//! for ever. The mount lives in a mount namespace of this process, and ends with it.
//!
//! - `user`: an unprivileged user's, in a user namespace;
//! - `overlay`: the same below an overlay in that user namespace;
//! - `bind`: the same, with a file of another file system over the one in it: the path leads through it;
//! - `root`: root's, for everybody, as a system service mounts one;
//! - `through`: the same, with a file over the one in it as in `bind`, which is closed at once;
//! - `before`: as `user`, and behind it a local file, `wanted.pem`, that has no name any more;
//! - `arguments`: as `user`, and this process's command line is in that file.
//!
//! [`in_exec`] is a process that waits for its end of such a file in the middle of `execve`: whoever looks at what is in its
//! memory waits with it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Error, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{SyncSender, sync_channel};

/// The file in it; the overlay shows it as well.
const NAME: &str = "hang.pem";
const ROOT: u64 = 1;
const FILE: u64 = 2;
/// `FOPEN_NOFLUSH`: else a process that is killed waits for ever for the answer that it would have to give itself.
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

/// Mounts it below `dir`, opens the file, and lets it hang from then on. What is to be held open.
pub(crate) fn open(mode: &str, device: &str, dir: &str) -> io::Result<Vec<File>> {
    let dir = Path::new(dir);
    let by_root = matches!(mode, "root" | "through");
    namespaces(!by_root)?;
    let device = File::options().read(true).write(true).open(device)?;
    let server = Server { device, hangs: Arc::default(), flushed: None };
    let hangs = server.hangs.clone();
    let mount_point = mounted(server, dir, by_root)?;
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
            mount(path(&plain)?, &file, "", libc::MS_BIND, "")?;
            let held = File::options().read(true).custom_flags(libc::O_PATH).open(&file)?;
            hangs.store(true, SeqCst);
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
            over_arguments(&file)?;
            Ok(vec![file])
        }
        _ => Ok(vec![File::open(file)?]),
    }
}

/// A child, an unprivileged user's, that opens a file and then hangs in the middle of `execve`, until this process ends: its
/// process id.
pub(crate) fn in_exec(device: &str, dir: &str, opens: &str) -> io::Result<i32> {
    namespaces(true)?;
    let device = File::options().read(true).write(true).open(device)?;
    let number = device.as_raw_fd();
    let (flushed, hangs) = sync_channel(1);
    let server = Server { device, hangs: Arc::default(), flushed: Some(flushed) };
    let file = mounted(server, Path::new(dir), false)?.join(NAME);
    let (file, program) = (CString::new(path(&file)?)?, c"/bin/true".as_ptr());
    let opens = CString::new(opens)?;
    let arguments = [program, std::ptr::null()];
    // SAFETY: the child makes system calls alone, on what was made before.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above; strings and the list of them end with NUL, and outlive the calls.
        unsafe {
            // The mount is to end with the parent.
            libc::close(number);
            libc::open(opens.as_ptr(), libc::O_RDONLY);
            libc::open(file.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            libc::execv(program, arguments.as_ptr());
            libc::_exit(1)
        }
    }
    hangs.recv().map_err(Error::other)?;
    Ok(child)
}

/// Serves it from a thread of its own; where it is mounted.
fn mounted(server: Server, dir: &Path, by_root: bool) -> io::Result<PathBuf> {
    let mount_point = dir.join("mnt");
    fs::create_dir(&mount_point)?;
    let everybody = if by_root { ",allow_other" } else { "" };
    let number = server.device.as_raw_fd();
    let options = format!("fd={number},rootmode=40000,user_id=0,group_id=0{everybody}");
    mount("hang", &mount_point, "fuse", 0, &options)?;
    std::thread::spawn(move || server.serve());
    Ok(mount_point)
}

/// Maps a file where the kernel put this process's command line, which has to be two pages long: what is in use of the stack
/// may begin in the page that it begins in. Nothing here reads it again: arguments are copies.
fn over_arguments(file: &File) -> io::Result<()> {
    /// Fields 48 and 49 of proc(5), counted behind the name.
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
    // SAFETY: only arguments of this process are there, which nobody looks at from now on.
    let mapped = unsafe { libc::mmap(at, PAGE, libc::PROT_READ, how, file.as_raw_fd(), 0) };
    if mapped == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(()) }
}

fn path(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| Error::other("a path that is no text"))
}

/// Own namespaces: of users too, with this user as their root, or of mounts alone.
fn namespaces(users: bool) -> io::Result<()> {
    // SAFETY: system calls on numbers.
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

fn mount(what: &str, at: &Path, kind: &str, flags: u64, options: &str) -> io::Result<()> {
    let [what, at_text, kind, options] = [what, path(at)?, kind, options].map(CString::new);
    let (what, at_text, kind, options) = (what?, at_text?, kind?, options?);
    // SAFETY: four strings that end with NUL and outlive the call.
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
    hangs: Arc<AtomicBool>,
    /// Who closes a file is let wait for ever as well, and that it does is told here.
    flushed: Option<SyncSender<()>>,
}

/// `struct fuse_in_header`, as far as it counts.
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
                // Nobody waits for an answer any more: the next one may be waited for.
                let _ = self.device.write(&reply(request.unique, error, &body));
            }
        }
    }

    /// None: nobody gets one, for ever.
    fn answer(&self, request: &FuseRequest<'_>) -> Option<Result<Vec<u8>, i32>> {
        let ends = matches!(
            request.operation,
            operation::RELEASE | operation::RELEASEDIR | operation::FLUSH
        );
        if let (operation::FLUSH, Some(flushed)) = (request.operation, &self.flushed) {
            let _ = flushed.try_send(());
            return None;
        }
        if self.hangs.load(SeqCst) && !ends {
            return None;
        }
        Some(match request.operation {
            operation::FORGET | operation::BATCH_FORGET => return None,
            operation::INIT => Ok(init()),
            operation::LOOKUP if request.body.strip_suffix(b"\0") == Some(NAME.as_bytes()) => {
                // Valid for no time: every look asks again.
                Ok([words(&[FILE, 0, 0, 0, 0]), attributes(FILE)].concat())
            }
            operation::LOOKUP => Err(libc::ENOENT),
            operation::GETATTR => Ok([words(&[0, 0]), attributes(request.node)].concat()),
            operation::OPEN => {
                self.hangs.store(true, SeqCst);
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

/// `struct fuse_init_out` of version 7.31 with nothing switched on.
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
