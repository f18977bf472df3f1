//! Values that depend on the processor architecture. The BPF programs support x86-64 only.
//!
//! The programs themselves keep their system call numbers and flags in `host-ebpf/src/hook/sys_exit.rs`.

use crate::kernel_field::kernel_fields;

/// Name of the supported processor in messages.
pub(crate) const NAME: &str = "x86-64";

/// Remedy for a kernel that cannot be traced.
pub(crate) const KERNEL_REMEDY: &str = "trace on x86-64 with CONFIG_DEBUG_INFO_BTF and the BPF features of \
     Linux 5.17, which RHEL 9.2 and later have too";

/// Fails with the name of this processor if it is not supported.
pub(crate) fn check() -> Result<(), &'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok(()),
        other => Err(other),
    }
}

kernel_fields! {
    /// The registers of a system call, and the flag that marks a 32-bit call.
    SYSTEM_CALL_FIELDS:
    SystemCall {
        task_thread_info_status: Is(4), ["task_struct"."thread_info" / "thread_info"."status"];
        regs_orig_ax: Is(8), ["pt_regs"."orig_ax"];
        regs_di: Is(8), ["pt_regs"."di"];
        regs_si: Is(8), ["pt_regs"."si"];
        regs_dx: Is(8), ["pt_regs"."dx"];
        regs_r10: Is(8), ["pt_regs"."r10"];
        regs_r8: Is(8), ["pt_regs"."r8"];
        regs_bx: Is(8), ["pt_regs"."bx"];
        regs_cx: Is(8), ["pt_regs"."cx"];
    }
}
