//! Loads with which one ordinary user tries to keep a tracer from reporting the events of the others. Each runs until
//! standard input is closed, and works in a folder that the user may write.
//!
//! - `flood`: opens one file as fast as possible;
//! - `touch`: like `flood`, and another thread changes the file's times, so that no verdict on it is cached;
//! - `fresh`: each open is of a new file;
//! - `links`: each open is of a new name of the same file;
//! - `deep`: like `flood`, with a path of nearly 4096 bytes;
//! - `deep-fresh`: like `fresh`, with such paths;
//! - `descriptors`: a process with as many descriptors as it may have opens files that it removes at once;
//! - `renamed`: opens files and renames them in a folder with thousands of others;
//! - `ends`: each open is of a new file in a new process, which ends at once;
//! - `namespaces`: each open is in a process with its own mount namespace, which ends at once;
//! - `cgroups CGROUP`: each open is in a process with its own control group, which ends at once, beside thousands of
//!   other groups.

use std::fs::{self, File};
use std::io::{self, Error, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::fuse;

const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
/// Interval between the changes of `touch`, and between the files of `descriptors`.
const PACE: Duration = Duration::from_millis(20);
/// Number of files that a load keeps on the disk.
const FILES: usize = 64;
/// Number of control groups, and of other files in the folder.
const MANY: usize = 2000;

/// Runs a load until standard input is closed.
pub(crate) fn run(name: &str, dir: &str, more: &[&str]) -> io::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    std::thread::spawn(move || {
        let _ = io::stdin().read_line(&mut String::new());
        asked.store(true, Ordering::Relaxed);
    });
    let running = || !stop.load(Ordering::Relaxed);
    // Several processes share a folder.
    let dir = Path::new(dir).join(std::process::id().to_string());
    fs::create_dir(&dir)?;
    match (name, more) {
        ("flood", []) => flood(&write(&dir.join("x.pem"))?, running),
        ("touch", []) => touch(&write(&dir.join("x.pem"))?, running),
        ("fresh", []) => fresh(&dir, running),
        ("links", []) => links(&dir, running),
        ("deep", []) => {
            enter_deep(&dir)?;
            flood(&write(Path::new("x.pem"))?, running)
        }
        ("deep-fresh", []) => {
            enter_deep(&dir)?;
            fresh(Path::new(""), running)
        }
        ("descriptors", []) => descriptors(&dir, running),
        ("renamed", []) => renamed(&dir, running),
        ("ends", []) => each_in_a_child(running, |n| open_new(&dir, n)),
        ("namespaces", []) => each_in_a_child(running, |n| {
            fuse::enter_namespaces(true)?;
            fuse::mount("none", &dir, "tmpfs", 0, "size=1m")?;
            open_new(&dir, n)
        }),
        ("cgroups", [cgroup]) => cgroups(&dir, Path::new(cgroup), running),
        _ => Err(Error::other("unknown load")),
    }
}

fn write(path: &Path) -> io::Result<PathBuf> {
    fs::write(path, CERTIFICATE)?;
    Ok(path.to_owned())
}

fn flood(path: &Path, running: impl Fn() -> bool) -> io::Result<()> {
    while running() {
        for _ in 0..100 {
            drop(File::open(path)?);
        }
    }
    Ok(())
}

fn touch(path: &Path, running: impl Fn() -> bool + Sync) -> io::Result<()> {
    std::thread::scope(|scope| {
        let touched = scope.spawn(|| {
            let file = File::options().append(true).open(path)?;
            while running() {
                file.set_modified(std::time::SystemTime::now())?;
                std::thread::sleep(PACE);
            }
            Ok(())
        });
        flood(path, &running)?;
        touched.join().map_err(|_panic| Error::other("the other thread panicked"))?
    })
}

/// Creates, opens and removes a file. The open that creates it is no open of a file with content.
fn open_new(dir: &Path, n: usize) -> io::Result<()> {
    let path = dir.join(format!("{n}.pem"));
    write(&path)?;
    drop(File::open(&path)?);
    // An older file: the new one can still be read by its path for a while.
    let old = n.checked_sub(FILES).map(|old| dir.join(format!("{old}.pem")));
    old.map_or(Ok(()), |old| fs::remove_file(old).or(Ok(())))
}

fn fresh(dir: &Path, running: impl Fn() -> bool) -> io::Result<()> {
    (0_usize..).take_while(|_| running()).try_for_each(|n| open_new(dir, n))
}

fn links(dir: &Path, running: impl Fn() -> bool) -> io::Result<()> {
    let file = write(&dir.join("x.pem"))?;
    for n in (0_usize..).take_while(|_| running()) {
        let link = dir.join(format!("{n}.pem"));
        fs::hard_link(&file, &link)?;
        drop(File::open(&link)?);
        if let Some(old) = n.checked_sub(FILES) {
            fs::remove_file(dir.join(format!("{old}.pem")))?;
        }
    }
    Ok(())
}

/// Creates folders with long names, each in the one before, and enters the last one.
fn enter_deep(dir: &Path) -> io::Result<()> {
    std::env::set_current_dir(dir)?;
    let name = "l".repeat(250);
    for _ in 0..15 {
        fs::create_dir(&name)?;
        std::env::set_current_dir(&name)?;
    }
    Ok(())
}

fn descriptors(dir: &Path, running: impl Fn() -> bool) -> io::Result<()> {
    // SAFETY: the value is zero or written by the kernel; both calls access only it.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    let null = File::open("/dev/null")?;
    let mut taken: Vec<File> = std::iter::from_fn(|| null.try_clone().ok()).collect();
    taken.truncate(taken.len().saturating_sub(20));
    for n in (0_usize..).take_while(|_| running()) {
        let path = dir.join(format!("{n}.pem"));
        let mut options = File::options();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        file.write_all(CERTIFICATE)?;
        let again = File::open(&path)?;
        fs::remove_file(&path)?;
        std::thread::sleep(PACE);
        drop((file, again));
    }
    Ok(())
}

fn renamed(dir: &Path, running: impl Fn() -> bool) -> io::Result<()> {
    for n in 0..MANY {
        File::create(dir.join(format!("other-{n}")))?;
    }
    for n in (0_usize..).take_while(|_| running()) {
        let (path, other) = (dir.join("x.pem"), dir.join(format!("{}.moved", n % FILES)));
        write(&path)?;
        drop(File::open(&path)?);
        fs::rename(path, other)?;
    }
    Ok(())
}

/// Calls `perform` in one child process after the other.
fn each_in_a_child(
    running: impl Fn() -> bool,
    perform: impl Fn(usize) -> io::Result<()>,
) -> io::Result<()> {
    for n in (0_usize..).take_while(|_| running()) {
        // SAFETY: the other thread of this process only waits in a system call and holds no lock of the allocator.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let done = perform(n);
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        let mut status = 0;
        // SAFETY: the kernel writes the status.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        if status != 0 {
            return Err(Error::other(format!("a child ended with status {status}")));
        }
    }
    Ok(())
}

fn cgroups(dir: &Path, cgroup: &Path, running: impl Fn() -> bool) -> io::Result<()> {
    let own = cgroup.join(std::process::id().to_string());
    fs::create_dir(&own)?;
    for n in 0..MANY {
        fs::create_dir(own.join(n.to_string()))?;
    }
    let file = write(&dir.join("x.pem"))?;
    let group = own.join("t");
    let each = |_| {
        let procs = File::options().write(true).open(group.join("cgroup.procs"))?;
        // SAFETY: the kernel reads one byte. Zero is the process itself.
        if unsafe { libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) } != 1 {
            return Err(Error::last_os_error());
        }
        File::open(&file).map(drop)
    };
    let mut done = Ok(());
    while running() && done.is_ok() {
        fs::create_dir(&group)?;
        let once = std::cell::Cell::new(true);
        done = each_in_a_child(|| once.replace(false), each);
        fs::remove_dir(&group)?;
    }
    for entry in fs::read_dir(&own)?.filter_map(Result::ok) {
        // The other entries are files of the kernel.
        let _ = fs::remove_dir(entry.path());
    }
    fs::remove_dir(&own)?;
    done
}
