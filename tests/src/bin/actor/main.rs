//! Performs the actions that the tests trace. It first waits for a line on standard input, so that a test can start it,
//! begin to trace, and then start the action.
//!
//! - `actor threads N`: starts N threads that wait for each other, then ends.
//! - `actor open N PATH...`: opens and closes each file N times, as fast as possible; prints the number of successful
//!   opens.
//! - `actor paced RATE N PATH...`: opens the files in turn, N opens in total, RATE per second; prints the same number.
//! - `actor closing PATH`: opens the file in a loop while another thread closes the descriptor, until standard input is
//!   closed.
//! - `actor like-a-reader CAPABILITIES PATH`: opens the file with the name and the flags of a tracer's reader. It keeps
//!   these of its capabilities: `all`, or a hexadecimal mask.
//! - `actor as UID ...`: performs the action that follows as another user.
//! - `actor map DIR`: maps all files of a folder as code, and waits until standard input is closed.
//! - `actor fuse MODE DEVICE DIR`: see [`fuse`]; waits until standard input is closed.
//! - `actor attack LOAD DIR ...`: see [`attack`]; runs until standard input is closed.
//! - `actor in-exec DEVICE DIR FILE`: starts a child that opens the file and then blocks in `execve`, and prints its
//!   process id; waits until standard input is closed.
#![expect(clippy::print_stdout, reason = "the test reads standard output")]

mod attack;
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
    let started = io::stdin().read_line(&mut String::new()).is_ok_and(|length| length > 0);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if !started {
        return ExitCode::FAILURE;
    }
    match perform(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn perform(words: &[&str]) -> io::Result<()> {
    match words {
        ["threads", count] => threads(number(count)?),
        ["open", count, paths @ ..] => open(number(count)?, paths),
        ["paced", rate, count, paths @ ..] => paced(number(rate)?, number(count)?, paths),
        ["closing", path] => closing(path),
        ["like-a-reader", "all", path] => like_a_reader(path),
        ["like-a-reader", capabilities, path] => {
            keep_capabilities(u64::from_str_radix(capabilities, 16).map_err(Error::other)?)?;
            like_a_reader(path)
        }
        ["as", user, rest @ ..] => {
            become_user(number(user)?)?;
            perform(rest)
        }
        ["map", dir] => {
            map_all(dir)?;
            println!("mapped");
            io::stdin().read_line(&mut String::new()).map(|_| ())
        }
        // Further arguments only make the command line longer.
        ["fuse", mode, device, dir, ..] => {
            let kept = fuse::open(mode, device, dir)?;
            println!("open");
            // The end of standard input ends the mount with this process.
            io::stdin().read_line(&mut String::new())?;
            drop(kept);
            Ok(())
        }
        ["attack", load, dir, more @ ..] => attack::run(load, dir, more),
        ["in-exec", device, dir, file] => {
            println!("{}", fuse::in_exec(device, dir, file)?);
            io::stdin().read_line(&mut String::new()).map(drop)
        }
        _ => Err(Error::other("unknown action")),
    }
}

fn number<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_ignored| Error::other(format!("not a number: {word}")))
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
        // A sleep costs more than an open, so opens come in batches.
        if ahead > Duration::from_millis(1) {
            std::thread::sleep(ahead);
        }
    }
    println!("{opened}");
    Ok(())
}

/// Two threads open and close the same descriptor number, which is far above all others in use.
fn closing(path: &str) -> io::Result<()> {
    const NUMBER: libc::c_int = 500;
    let path = std::ffi::CString::new(path)?;
    let stop = AtomicBool::new(false);
    // Occupies all numbers below, so that NUMBER is the lowest free one.
    let null = File::open("/dev/null")?;
    let mut taken = vec![null.try_clone()?];
    while taken.last().is_some_and(|last| last.as_raw_fd() < NUMBER - 1) {
        taken.push(null.try_clone()?);
    }
    // SAFETY: the string ends with NUL, and no other code owns that descriptor.
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

/// Opens a file as a reader does, but without `O_NOATIME`, which only the owner may use.
fn like_a_reader(path: &str) -> io::Result<()> {
    let name = c"crypto-tracer-r";
    // SAFETY: the string ends with NUL.
    if unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) } != 0 {
        return Err(Error::last_os_error());
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    println!("open");
    // The process stays alive while the tracer inspects it.
    io::stdin().read_line(&mut String::new())?;
    drop(file);
    Ok(())
}

/// Drops all capabilities but these permanently, and prevents the process from gaining others.
fn keep_capabilities(capabilities: u64) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two halves.
    const VERSION: u32 = 0x2008_0522;
    let (low, high) = (capabilities as u32, (capabilities >> 32) as u32);
    let header = [VERSION, 0];
    // Effective, permitted, inheritable; the lower half first.
    let data = [low, low, 0, high, high, 0];
    // SAFETY: the kernel reads two and six words, the lengths of the arrays.
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
        // SAFETY: the mapping is new, and no reference points into it.
        let mapped =
            unsafe { libc::mmap(std::ptr::null_mut(), length, code, libc::MAP_PRIVATE, fd, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
    }
    Ok(())
}

/// Changes the user and group permanently.
fn become_user(id: u32) -> io::Result<()> {
    // SAFETY: the calls access no memory.
    let done = unsafe {
        libc::setgroups(0, std::ptr::null()) == 0
            && libc::setresgid(id, id, id) == 0
            && libc::setresuid(id, id, id) == 0
            // Otherwise /proc files of a process that was root stay inaccessible to its new user.
            && libc::prctl(libc::PR_SET_DUMPABLE, 1) == 0
    };
    if done { Ok(()) } else { Err(Error::last_os_error()) }
}
