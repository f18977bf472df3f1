//! Does what the tests want to see traced. It waits for a line on standard input first, so that a test can start it,
//! begin to trace, and then let it go on.
//!
//! `actor threads N`: N threads that all wait for each other, then it ends.
//! `actor open N PATH...`: opens and closes each of the files N times, as fast as it can; prints how often it could.
//! `actor paced RATE N PATH...`: the same with the files in turn, N opens in all, RATE a second.
//! `actor closing PATH`: opens the file, again and again, while another thread closes whatever that gives; it goes on until
//! its standard input is closed.
//! `actor like-a-reader CAPABILITIES PATH`: opens the file with the name and the flags of a tracer's reader, and with these
//! of its capabilities, `all` or a hexadecimal number.
//! `actor as UID ...`: what follows, as another user.
//! `actor map DIR`: maps all files of a folder as code; it stays as well.
//! `actor fuse MODE DEVICE DIR`: see [`fuse`]; it stays until its standard input is closed.
//! `actor in-exec DEVICE DIR FILE`: has a child that opens the file and then hangs in `execve`, and prints its process id; it stays as well.
#![expect(clippy::print_stdout, reason = "its answer to the test")]

mod fuse;

use std::fs::File;
use std::io::{self, Error};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let go = io::stdin().read_line(&mut String::new()).is_ok_and(|length| length > 0);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if !go {
        return ExitCode::FAILURE;
    }
    match act(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn act(words: &[&str]) -> io::Result<()> {
    match words {
        ["threads", count] => threads(number(count)?),
        ["open", count, paths @ ..] => open(number(count)?, paths),
        ["paced", rate, count, paths @ ..] => paced(number(rate)?, number(count)?, paths),
        ["closing", path] => closing(path),
        ["like-a-reader", "all", path] => like_a_reader(path),
        ["like-a-reader", capabilities, path] => {
            keep(u64::from_str_radix(capabilities, 16).map_err(Error::other)?)?;
            like_a_reader(path)
        }
        ["as", user, rest @ ..] => {
            become_user(number(user)?)?;
            act(rest)
        }
        ["map", dir] => {
            map_all(dir)?;
            println!("mapped");
            io::stdin().read_line(&mut String::new()).map(|_| ())
        }
        // Whatever follows makes the command line longer.
        ["fuse", mode, device, dir, ..] => {
            let kept = fuse::open(mode, device, dir)?;
            println!("open");
            // The end of standard input ends the mount with this process.
            io::stdin().read_line(&mut String::new())?;
            drop(kept);
            Ok(())
        }
        ["in-exec", device, dir, file] => {
            println!("{}", fuse::in_exec(device, dir, file)?);
            io::stdin().read_line(&mut String::new()).map(drop)
        }
        _ => Err(Error::other("no such act")),
    }
}

fn number<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_ignored| Error::other(format!("no number: {word}")))
}

fn threads(count: usize) -> io::Result<()> {
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| barrier.wait());
        }
    });
    Ok(())
}

fn open(count: u64, paths: &[&str]) -> io::Result<()> {
    let opened = (0..count).flat_map(|_| paths).filter(|path| File::open(path).is_ok()).count();
    println!("{opened}");
    Ok(())
}

fn paced(rate: u32, count: u32, paths: &[&str]) -> io::Result<()> {
    let start = Instant::now();
    let mut opened = 0;
    for (done, path) in (0..count).zip(paths.iter().cycle()) {
        opened += u32::from(File::open(path).is_ok());
        let due = Duration::from_secs(1) * (done + 1) / rate;
        let ahead = due.saturating_sub(start.elapsed());
        // A sleep costs more than an open: several come together.
        if ahead > Duration::from_millis(1) {
            std::thread::sleep(ahead);
        }
    }
    println!("{opened}");
    Ok(())
}

/// Two threads that use the same number for a descriptor, far above those that anybody else uses.
fn closing(path: &str) -> io::Result<()> {
    const NUMBER: libc::c_int = 500;
    let path = std::ffi::CString::new(path)?;
    let stop = AtomicBool::new(false);
    // All below are taken, so that the lowest that is free is that one.
    let null = File::open("/dev/null")?;
    let mut taken = vec![null.try_clone()?];
    while taken.last().is_some_and(|last| last.as_raw_fd() < NUMBER - 1) {
        taken.push(null.try_clone()?);
    }
    // SAFETY: numbers, and a string that ends with NUL; nobody else has that descriptor.
    let (open, close) = (
        || unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) },
        |number| unsafe { libc::close(number) },
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                close(NUMBER);
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                close(open());
            }
        });
        let read = io::stdin().read_line(&mut String::new());
        stop.store(true, Ordering::Relaxed);
        read.map(drop)
    })
}

/// As readers open files, but for `O_NOATIME`, which the owner alone may ask for.
fn like_a_reader(path: &str) -> io::Result<()> {
    let name = c"crypto-tracer-r";
    // SAFETY: a string that ends with NUL.
    if unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) } != 0 {
        return Err(Error::last_os_error());
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    println!("open");
    // It is asked who it is: it stays.
    io::stdin().read_line(&mut String::new())?;
    drop(file);
    Ok(())
}

/// Of its capabilities it keeps these, and gains no others: for good.
fn keep(capabilities: u64) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two halves.
    const VERSION: u32 = 0x2008_0522;
    let (low, high) = (capabilities as u32, (capabilities >> 32) as u32);
    let header = [VERSION, 0];
    // Effective, permitted, inheritable; the lower half first.
    let data = [low, low, 0, high, high, 0];
    // SAFETY: the kernel reads two words and six, which is what it is given.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) == 0
    };
    if done { Ok(()) } else { Err(Error::last_os_error()) }
}

fn map_all(dir: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let file = File::open(entry?.path())?;
        let (length, code) = (1, libc::PROT_READ | libc::PROT_EXEC);
        let fd = file.as_raw_fd();
        // SAFETY: a new mapping that nothing points into.
        let mapped =
            unsafe { libc::mmap(std::ptr::null_mut(), length, code, libc::MAP_PRIVATE, fd, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
    }
    Ok(())
}

/// For good.
fn become_user(id: u32) -> io::Result<()> {
    // SAFETY: system calls on numbers.
    let done = unsafe {
        libc::setgroups(0, std::ptr::null()) == 0
            && libc::setresgid(id, id, id) == 0
            && libc::setresuid(id, id, id) == 0
            // What was root's may not be looked into by its own user otherwise.
            && libc::prctl(libc::PR_SET_DUMPABLE, 1) == 0
    };
    if done { Ok(()) } else { Err(Error::last_os_error()) }
}
