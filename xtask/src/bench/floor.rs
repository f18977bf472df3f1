//! An empty BPF program at the end of every system call: the least that a program there costs.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Commands of bpf(2).
const PROG_LOAD: libc::c_int = 5;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const RAW_TRACEPOINT: u32 = 17;

/// The attached program. It is detached when this is dropped.
#[derive(Debug)]
pub(super) struct EmptyProgram {
    _program: OwnedFd,
    _link: OwnedFd,
}

impl EmptyProgram {
    /// Attaches the program to the tracepoint `sys_exit`.
    ///
    /// # Errors
    /// The process has no permission for BPF.
    pub(super) fn attach() -> io::Result<EmptyProgram> {
        // `r0 = 0; exit`
        let code = [0xb7_u64, 0x95];
        let license = c"GPL";
        #[repr(C)]
        struct Load {
            kind: u32,
            count: u32,
            code: u64,
            license: u64,
            rest: [u64; 12],
        }
        let load = Load {
            kind: RAW_TRACEPOINT,
            count: 2,
            code: code.as_ptr() as u64,
            license: license.as_ptr() as u64,
            rest: [0; 12],
        };
        let program = bpf(PROG_LOAD, &load)?;
        let name = CString::new("sys_exit")?;
        #[repr(C)]
        struct Open {
            name: u64,
            program: u32,
            reserved: u32,
        }
        let number = std::os::fd::AsRawFd::as_raw_fd(&program);
        let open =
            Open { name: name.as_ptr() as u64, program: number.cast_unsigned(), reserved: 0 };
        let link = bpf(RAW_TRACEPOINT_OPEN, &open)?;
        Ok(EmptyProgram { _program: program, _link: link })
    }
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    let (at, size) = (std::ptr::from_ref(attributes), size_of::<T>());
    // SAFETY: the kernel reads `size` bytes of attributes, and memory that the attributes point to, all of which is alive.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, at, size) };
    let fd = libc::c_int::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, so no other value owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
