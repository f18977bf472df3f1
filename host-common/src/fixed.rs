//! Values that the host sets before it loads the BPF programs. They are in read-only memory, so the verifier treats
//! every field as a constant and removes unreachable code.

#![expect(
    missing_debug_implementations,
    reason = "zerocopy's derive generates a type for each field"
)]

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Placeholder for the offset of a field that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Offsets of the fields that the programs read, in bytes from the beginning of the struct that the name
        /// begins with. [`ABSENT`] if the running kernel does not have the field.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are the kernel's: struct, then field")]
        pub struct Offsets { $($(#[$doc])* pub $field: u32,)* }

        impl Offsets {
            /// All offsets are [`ABSENT`].
            pub const UNKNOWN: Offsets = Offsets { $($field: ABSENT,)* };
        }
    };
}

offsets! {
    task_files,
    task_flags,
    task_fs,
    task_group_leader,
    task_real_parent,
    task_nsproxy,
    task_signal,
    task_mm,
    task_tgid,
    task_pid,
    task_comm,
    task_start_boottime,
    task_self_exec_id,
    task_exit_code,
    task_thread_pid,
    task_thread_info_status,
    task_personality,
    pid_level,
    pid_numbers,
    upid_nr,
    upid_ns,
    pid_namespace_inum,
    nsproxy_mnt_ns,
    mnt_namespace_inum,
    files_fdt,
    files_fd_array,
    fdtable_fd,
    fdtable_max_fds,
    file_path,
    file_mode,
    file_flags,
    path_mnt,
    path_dentry,
    /// `d_hash.pprev`: null if the dentry is unhashed, so its name was removed.
    dentry_hash_pprev,
    dentry_parent,
    dentry_name,
    dentry_inode,
    /// `mount.mnt`: a `struct vfsmount` pointer points to this member.
    mount_mnt,
    mount_parent,
    mount_mountpoint,
    mount_ns,
    vfsmount_root,
    fs_root,
    inode_mode,
    inode_ino,
    inode_sb,
    inode_size,
    inode_ctime_sec,
    inode_ctime_nsec,
    sb_dev,
    sb_magic,
    sb_flags,
    sb_user_ns,
    user_ns_level,
    vma_flags,
    vma_file,
    signal_live,
    signal_flags,
    signal_group_exit_code,
    mm_arg_start,
    mm_arg_end,
    mm_exe_file,
    regs_orig_ax,
    regs_di,
    regs_si,
    regs_dx,
    regs_r10,
    regs_r8,
    regs_bx,
    regs_cx,
    kiocb_opcode,
    kiocb_res,
    kiocb_file_slot,
    kiocb_how_flags,
    open_flags_flag,
    task_cred,
    cred_user_ns,
    user_ns_parent,
    user_ns_owner,
    task_cgroups,
    css_set_subsys,
    css_cgroup,
    cgroup_kn,
    kernfs_node_id,
}

/// Bits of [`Settings::kinds`].
pub mod kinds {
    /// Report opens.
    pub const OPEN: u32 = 1;
    /// Report library loads.
    pub const LOAD: u32 = 1 << 1;
    /// Report execs.
    pub const EXEC: u32 = 1 << 2;
    /// Report exits.
    pub const EXIT: u32 = 1 << 3;
    /// Report forks.
    pub const FORK: u32 = 1 << 4;
}

/// Settings that do not change during a run.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, PartialEq, Eq)]
pub struct Settings {
    /// A string that the name of the thread group leader must contain; the first byte is the least significant one.
    pub comm_pattern: [u64; 2],
    /// The bits of the pattern that are compared. All zero: any name.
    pub comm_mask: [u64; 2],
    /// The ticks in which the process `pid` may have started, in units of [`crate::filter::TICK_NS`]; 0: any.
    pub pid_started: [u64; 2],
    /// Half the size of the ring buffer in bytes: above it, no user gets more than a share. 0: no limit.
    pub half_ring: u64,
    /// Bits of [`kinds`].
    pub kinds: u32,
    /// Id of the only process to report, in the tracer's pid namespace; 0: all processes.
    pub pid: u32,
    /// Inode number of the tracer's pid namespace; 0 for the initial one.
    pub pid_ns: u32,
    /// If not 0, the second argument of `sched_process_exit` is true when the last thread exits.
    pub exit_tells_group_dead: u32,
    /// If not 0, descendants of `pid` are reported too.
    pub follow: u32,
    /// Index in `css_set.subsys` of the cgroup v1 controller whose hierarchy identifies containers. [`ABSENT`]: the
    /// unified hierarchy identifies them.
    pub controller: u32,
}

/// The content of the read-only variable `FIXED`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, PartialEq, Eq)]
pub struct Fixed {
    /// The settings of the run.
    pub settings: Settings,
    /// The field offsets of the running kernel.
    pub offsets: Offsets,
}

impl Fixed {
    /// The value in the object file, which the host replaces at load.
    pub const UNSET: Fixed = Fixed {
        settings: Settings {
            comm_pattern: [0; 2],
            comm_mask: [0; 2],
            pid_started: [0; 2],
            half_ring: 0,
            kinds: 0,
            pid: 0,
            pid_ns: 0,
            exit_tells_group_dead: 0,
            follow: 0,
            controller: ABSENT,
        },
        offsets: Offsets::UNKNOWN,
    };
}
