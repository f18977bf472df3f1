//! System calls that the standard library does not have.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) fn path(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap()
}

/// Any system call; arguments that are pointers must be valid for it.
pub(crate) fn call(number: libc::c_long, args: [usize; 5]) -> io::Result<usize> {
    // SAFETY: the tests hand over pointers to live memory of the size that the call expects.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4]) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}

pub(crate) fn open_call(number: libc::c_long, args: [usize; 5]) -> io::Result<OwnedFd> {
    let fd = call(number, args)?;
    // SAFETY: the kernel just gave this descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

pub(crate) fn openat(dir: i32, name: &CStr, flags: i32) -> io::Result<OwnedFd> {
    let args = [dir as isize as usize, name.as_ptr() as usize, flags as usize, 0o600, 0];
    open_call(libc::SYS_openat, args)
}

pub(crate) fn open(name: impl AsRef<Path>, flags: i32) -> io::Result<OwnedFd> {
    openat(libc::AT_FDCWD, &path(name), flags)
}

/// A whole file system or one flag of mount(2).
pub(crate) fn mount(from: &str, to: &Path, kind: &str, flags: u64, data: &str) -> io::Result<()> {
    let [from, kind, data] = [from, kind, data].map(|text| CString::new(text).unwrap());
    let to = path(to);
    // SAFETY: all are strings that end with NUL and live until the call returns.
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

/// Lets go of a mount that is still in use.
pub(crate) fn detach(at: &Path) {
    let at = path(at);
    // SAFETY: a string that ends with NUL.
    assert_eq!(unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) }, 0);
}

/// Gives this thread its own mounts, root and working directory.
pub(crate) fn own_mounts() {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_FS) };
    assert_eq!(result, 0, "unshare: {}", io::Error::last_os_error());
    mount("", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "").unwrap();
}

pub(crate) fn tid() -> u32 {
    call(libc::SYS_gettid, [0; 5]).unwrap() as u32
}

/// What the kernel itself calls the file.
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

/// A 32-bit system call of this 64-bit process, `int 0x80`: arguments must lie below 4 GiB.
pub(crate) fn call_32(number: u32, args: [u32; 3]) -> i64 {
    let result: i64;
    // SAFETY: bx is put back; the kernel touches no memory but what the arguments name.
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

/// A page below 4 GiB with these bytes; it stays until the process ends.
pub(crate) fn low_memory(bytes: &[u8]) -> u32 {
    assert!(bytes.len() < 4096);
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
    );
    // SAFETY: a new mapping, which nobody else knows of.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: the page is ours and larger than the bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), page.cast(), bytes.len()) };
    u32::try_from(page as usize).unwrap()
}
