//! Opens files through io_uring with raw system calls.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use super::sys;

/// How io_uring processes the open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Inline,
    Async,
    Polled,
    Direct,
    /// Without a completion event on success.
    Silent,
}

const SETUP_SQPOLL: u32 = 2;
const ENTER_GETEVENTS: usize = 1;
const ENTER_SQ_WAKEUP: usize = 2;
const SQE_LINK: u8 = 4;
const SQE_ASYNC: u8 = 16;
const SQE_SKIP_SUCCESS: u8 = 64;
const OP_OPENAT: u8 = 18;
const REGISTER_FILES: usize = 2;
const OFF_SQ_RING: i64 = 0;
const OFF_CQ_RING: i64 = 0x800_0000;
const OFF_SQES: i64 = 0x1000_0000;

/// `struct io_uring_params` as 32-bit words.
type Params = [u32; 30];

/// Opens a file through a new ring. `None` if the kernel does not support io_uring.
pub(crate) fn open(path: &std::path::Path, flags: u32, mode: Mode) -> Option<OwnedFd> {
    let (result, _ring) = submit(path, flags, mode)?;
    // SAFETY: the descriptor is new, so no other value owns it.
    Some(unsafe { OwnedFd::from_raw_fd(result) })
}

/// Opens a file as a direct descriptor of the returned ring. It is closed with the ring.
pub(crate) fn open_direct(path: &std::path::Path, flags: u32) -> Option<OwnedFd> {
    let (result, ring) = submit(path, flags, Mode::Direct)?;
    assert_eq!(result, 0, "a direct open returns 0, not a descriptor");
    Some(ring)
}

/// Opens a file without a completion event. The file must not be open already, because its descriptor is found by path.
pub(crate) fn open_silent(path: &std::path::Path, flags: u32) -> Option<OwnedFd> {
    let (result, _ring) = submit(path, flags, Mode::Silent)?;
    assert_eq!(result, 0, "the linked NOP returns 0");
    let opened = std::fs::read_dir("/proc/self/fd").unwrap().find_map(|entry| {
        let entry = entry.unwrap();
        let matches = std::fs::read_link(entry.path()).is_ok_and(|link| link == path);
        matches.then(|| entry.file_name().to_str().unwrap().parse().unwrap())
    });
    // SAFETY: the kernel opened this descriptor for us, so no other value owns it.
    Some(unsafe { OwnedFd::from_raw_fd(opened.expect("an open descriptor")) })
}

/// Submits the open and waits for a completion. Returns its result and the ring.
fn submit(path: &std::path::Path, flags: u32, mode: Mode) -> Option<(i32, OwnedFd)> {
    let name = sys::path(path);
    let mut params: Params = [0; 30];
    if mode == Mode::Polled {
        params[2] = SETUP_SQPOLL;
        params[4] = 1000;
    }
    let setup =
        sys::open_call(libc::SYS_io_uring_setup, [4, params.as_mut_ptr() as usize, 0, 0, 0]);
    let ring = match setup {
        Ok(ring) => ring,
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => return None,
        Err(error) => panic!("io_uring_setup: {error}"),
    };
    if mode == Mode::Direct {
        let slots = [-1_i32];
        let args = [ring.as_raw_fd() as usize, REGISTER_FILES, slots.as_ptr() as usize, 1, 0];
        sys::call(libc::SYS_io_uring_register, args).unwrap();
    }
    // sq_off: head 10, tail 11, ring_mask 12, entries 13, flags 14, dropped 15, array 16; cq_off: head 20 … cqes 25.
    let submissions = map(&ring, OFF_SQ_RING, 4096);
    let completions = map(&ring, OFF_CQ_RING, 4096);
    let entries = map(&ring, OFF_SQES, 4096);
    let mut entry = [0_u8; 64];
    entry[0] = OP_OPENAT;
    entry[1] = match mode {
        Mode::Async => SQE_ASYNC,
        Mode::Silent => SQE_SKIP_SUCCESS | SQE_LINK,
        Mode::Inline | Mode::Polled | Mode::Direct => 0,
    };
    // A linked NOP (all zeros) after a silent open signals the completion.
    let count = if mode == Mode::Silent { 2 } else { 1 };
    entry[4..8].copy_from_slice(&libc::AT_FDCWD.to_le_bytes());
    entry[16..24].copy_from_slice(&(name.as_ptr() as u64).to_le_bytes());
    entry[24..28].copy_from_slice(&0o600_u32.to_le_bytes());
    entry[28..32].copy_from_slice(&flags.to_le_bytes());
    if mode == Mode::Direct {
        // The slot's index plus one.
        entry[44..48].copy_from_slice(&1_u32.to_le_bytes());
    }
    // SAFETY: the three mappings have a page each, and the offsets come from the kernel.
    let result = unsafe {
        std::ptr::copy_nonoverlapping(entry.as_ptr(), entries, 64);
        std::ptr::write_bytes(entries.add(64), 0, 64);
        submissions.add(params[16] as usize).cast::<[u32; 2]>().write([0, 1]);
        let tail = &*submissions.add(params[11] as usize).cast::<AtomicU32>();
        tail.store(count, Ordering::Release);
        let wake = if mode == Mode::Polled { ENTER_SQ_WAKEUP } else { 0 };
        let fd = ring.as_raw_fd() as usize;
        sys::call(libc::SYS_io_uring_enter, [fd, count as usize, 1, ENTER_GETEVENTS | wake, 0])
            .unwrap();
        completions.add(params[25] as usize + 8).cast::<i32>().read()
    };
    assert!(result >= 0, "open by io_uring: {}", io::Error::from_raw_os_error(-result));
    Some((result, ring))
}

/// Maps a part of the ring. It is never unmapped.
fn map(ring: &OwnedFd, offset: i64, len: usize) -> *mut u8 {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    // SAFETY: a new mapping has no preconditions.
    let page =
        unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, ring.as_raw_fd(), offset) };
    assert_ne!(page, libc::MAP_FAILED, "{}", io::Error::last_os_error());
    page.cast()
}
