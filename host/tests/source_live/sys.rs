//! System calls without a function in the standard library.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) fn path(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap()
}

/// Makes any system call. Pointer arguments must be valid for it.
pub(crate) fn call(number: libc::c_long, args: [usize; 5]) -> io::Result<usize> {
    // SAFETY: the tests pass pointers to live memory of the size that the call expects.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4]) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}

pub(crate) fn open_call(number: libc::c_long, args: [usize; 5]) -> io::Result<OwnedFd> {
    let fd = call(number, args)?;
    // SAFETY: the descriptor is new, so no other value owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

pub(crate) fn openat(dir: i32, name: &CStr, flags: i32) -> io::Result<OwnedFd> {
    let args = [dir as isize as usize, name.as_ptr() as usize, flags as usize, 0o600, 0];
    open_call(libc::SYS_openat, args)
}

pub(crate) fn open(name: impl AsRef<Path>, flags: i32) -> io::Result<OwnedFd> {
    openat(libc::AT_FDCWD, &path(name), flags)
}

/// Calls mount(2).
pub(crate) fn mount(from: &str, to: &Path, kind: &str, flags: u64, data: &str) -> io::Result<()> {
    let [from, kind, data] = [from, kind, data].map(|text| CString::new(text).unwrap());
    let to = path(to);
    // SAFETY: all strings are NUL-terminated and live until the call returns.
    let result = unsafe {
        libc::mount(from.as_ptr(), to.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn tmpfs(to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    mount("tmpfs", to, "tmpfs", 0, "").unwrap();
}

pub(crate) fn bind(from: &Path, to: &Path) {
    mount(from.to_str().unwrap(), to, "", libc::MS_BIND, "").unwrap();
}

/// Lazily unmounts a mount that is still in use.
pub(crate) fn detach(target: &Path) {
    let target = path(target);
    // SAFETY: the string is NUL-terminated.
    assert_eq!(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }, 0);
}

/// Gives this thread its own mount namespace, root and working directory.
pub(crate) fn own_mounts() {
    // SAFETY: the call accesses no memory.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_FS) };
    assert_eq!(result, 0, "unshare: {}", io::Error::last_os_error());
    mount("", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "").unwrap();
}

pub(crate) fn tid() -> u32 {
    call(libc::SYS_gettid, [0; 5]).unwrap() as u32
}

/// Returns the kernel's name of the file.
pub(crate) fn link_of(file: &OwnedFd) -> Vec<u8> {
    let link = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
    std::fs::read_link(link).unwrap().as_os_str().as_bytes().to_vec()
}

pub(crate) fn boot_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Makes a 32-bit system call (`int 0x80`) from this 64-bit process. Pointers must be below 4 GiB.
pub(crate) fn call_32(number: u32, args: [u32; 3]) -> i64 {
    let result: i64;
    // SAFETY: rbx is restored, and the kernel accesses only the memory of the arguments.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {bx}",
            "int 0x80",
            "xchg rbx, {bx}",
            bx = inout(reg) u64::from(args[0]) => _,
            inlateout("rax") u64::from(number) => result,
            in("rcx") u64::from(args[1]),
            in("rdx") u64::from(args[2]),
            in("rsi") 0_u64,
            in("rdi") 0_u64,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    result
}

/// Maps a page below 4 GiB with these bytes. It is never unmapped.
pub(crate) fn low_memory(bytes: &[u8]) -> u32 {
    assert!(bytes.len() < 4096);
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
    );
    // SAFETY: a new anonymous mapping has no preconditions.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: the page is exclusively ours and larger than the bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), page.cast(), bytes.len()) };
    u32::try_from(page as usize).unwrap()
}
