//! Reports system calls that a filter refused.
//!
//! The kernel sends SIGSYS to the thread that made the call. The handler prints a message and ends the process. Helper
//! processes have no standard error, so the number of the call is also in a page that all processes of a run share.

use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

/// Largest number of a system call that was known when the lists were written. The C library tries newer ones and uses
/// others if the kernel does not have them.
const NEWEST: i32 = 470;
/// Offset of the number of the call in the signal's information (`si_syscall`).
const SI_SYSCALL: usize = 24;

/// The page that the processes share: the number of the refused call plus 1, or 0.
static SHARED: AtomicPtr<AtomicI32> = AtomicPtr::new(std::ptr::null_mut());

/// Allocates the page in which helper processes report a refused call. Call it before they are forked.
///
/// # Errors
/// There is no memory.
pub fn report_refusals() -> io::Result<()> {
    let length = rustix::param::page_size();
    let protection = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
    // SAFETY: a new anonymous mapping affects no other memory.
    let page = unsafe {
        let null = std::ptr::null_mut();
        rustix::mm::mmap_anonymous(null, length, protection, rustix::mm::MapFlags::SHARED)?
    };
    SHARED.store(page.cast(), Ordering::Release);
    Ok(())
}

fn shared() -> Option<&'static AtomicI32> {
    // SAFETY: a page that was stored is never unmapped, is zeroed and aligned, and is accessed as an atomic only.
    unsafe { SHARED.load(Ordering::Acquire).as_ref() }
}

/// Takes the number of a system call that was refused in a process of this run.
pub fn take_refused() -> Option<i32> {
    let number = shared()?.swap(0, Ordering::AcqRel);
    number.checked_sub(1).filter(|_| number > 0)
}

/// Handles SIGSYS.
pub(super) fn handle() -> io::Result<()> {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_refused;
    // SAFETY: the structure is zeroed and then filled, and the handler has the signature that SA_SIGINFO requires.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn on_refused(
    _signal: libc::c_int,
    information: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a complete structure, which is longer than this offset.
    let number = unsafe { information.cast::<u8>().add(SI_SYSCALL).cast::<i32>().read_unaligned() };
    if number > NEWEST {
        // SAFETY: the kernel passes the state of the thread to an SA_SIGINFO handler.
        unsafe { set_result(context.cast(), -i64::from(libc::ENOSYS)) };
        return;
    }
    if let Some(shared) = shared() {
        shared.store(number.saturating_add(1), Ordering::Release);
    }
    let mut message = Message::default();
    let _ = writeln!(
        message,
        "crypto-tracer: ended, because it made the system call {number} ({}), which it should never need; please report \
         this message with the output of 'crypto-tracer doctor'",
        name_of(number)
    );
    // SAFETY: the bytes are valid, and both calls are safe in a signal handler.
    unsafe {
        libc::write(2, message.bytes.as_ptr().cast(), message.length);
        libc::_exit(1);
    }
}

/// Sets the value that the interrupted system call returns.
#[cfg(target_arch = "x86_64")]
unsafe fn set_result(context: *mut libc::ucontext_t, value: i64) {
    // SAFETY: the caller passes the context of a signal handler.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    if let Some(register) = registers.get_mut(libc::REG_RAX as usize) {
        *register = value;
    }
}

/// Sets the value that the interrupted system call returns.
#[cfg(target_arch = "aarch64")]
unsafe fn set_result(context: *mut libc::ucontext_t, value: i64) {
    // SAFETY: the caller passes the context of a signal handler.
    let registers = unsafe { &mut (*context).uc_mcontext.regs };
    if let Some(register) = registers.first_mut() {
        *register = value.cast_unsigned();
    }
}

/// A text in memory of its own: a signal handler must not allocate.
struct Message {
    bytes: [u8; 256],
    length: usize,
}

impl Default for Message {
    fn default() -> Message {
        Message { bytes: [0; 256], length: 0 }
    }
}

impl std::fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for (slot, byte) in self.bytes.iter_mut().skip(self.length).zip(text.bytes()) {
            *slot = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Returns the name of a system call that a filter may refuse.
pub fn name_of(number: i32) -> &'static str {
    macro_rules! names {
        ($($name:ident = $constant:ident),+ $(,)?) => {
            match i64::from(number) {
                $(libc::$constant => stringify!($name),)+
                _ => "see 'ausyscall'",
            }
        };
    }
    names! {
        accept = SYS_accept, accept4 = SYS_accept4, acct = SYS_acct, add_key = SYS_add_key, bind = SYS_bind, bpf = SYS_bpf,
        capset = SYS_capset, chdir = SYS_chdir, chroot = SYS_chroot, clone = SYS_clone, execve = SYS_execve,
        execveat = SYS_execveat, fchdir = SYS_fchdir, fchmod = SYS_fchmod, fchmodat = SYS_fchmodat, fchown = SYS_fchown,
        fchownat = SYS_fchownat, finit_module = SYS_finit_module, flock = SYS_flock, fsopen = SYS_fsopen,
        ftruncate = SYS_ftruncate, fsync = SYS_fsync, getitimer = SYS_getitimer, init_module = SYS_init_module,
        io_uring_enter = SYS_io_uring_enter, io_uring_setup = SYS_io_uring_setup, ioctl = SYS_ioctl,
        kexec_load = SYS_kexec_load, keyctl = SYS_keyctl, landlock_restrict_self = SYS_landlock_restrict_self,
        linkat = SYS_linkat, listen = SYS_listen, memfd_create = SYS_memfd_create, mkdirat = SYS_mkdirat,
        mknodat = SYS_mknodat, mount = SYS_mount, move_mount = SYS_move_mount, name_to_handle_at = SYS_name_to_handle_at,
        open_by_handle_at = SYS_open_by_handle_at, open_tree = SYS_open_tree, perf_event_open = SYS_perf_event_open,
        personality = SYS_personality, pidfd_getfd = SYS_pidfd_getfd, pidfd_open = SYS_pidfd_open,
        pidfd_send_signal = SYS_pidfd_send_signal, pivot_root = SYS_pivot_root, prctl = SYS_prctl,
        prlimit64 = SYS_prlimit64, process_madvise = SYS_process_madvise, process_vm_readv = SYS_process_vm_readv,
        process_vm_writev = SYS_process_vm_writev, ptrace = SYS_ptrace, quotactl = SYS_quotactl, reboot = SYS_reboot,
        renameat = SYS_renameat, renameat2 = SYS_renameat2, request_key = SYS_request_key, seccomp = SYS_seccomp,
        setgid = SYS_setgid, setgroups = SYS_setgroups, sethostname = SYS_sethostname, setns = SYS_setns,
        setresgid = SYS_setresgid, setresuid = SYS_setresuid, setsid = SYS_setsid, setuid = SYS_setuid, shmat = SYS_shmat,
        splice = SYS_splice, swapon = SYS_swapon, symlinkat = SYS_symlinkat, syslog = SYS_syslog, tee = SYS_tee,
        truncate = SYS_truncate, umount2 = SYS_umount2, unlinkat = SYS_unlinkat, unshare = SYS_unshare,
        userfaultfd = SYS_userfaultfd, utimensat = SYS_utimensat, vmsplice = SYS_vmsplice,
    }
}
