//! Values that the host sets before it loads the BPF programs. They are in read-only memory, so the verifier treats
//! every field as a constant and removes code that is switched off.

#![expect(
    missing_debug_implementations,
    reason = "zerocopy's derive makes a type of its own for each field"
)]

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// In place of an offset: this kernel has no such field.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Where the running kernel keeps what the programs read: bytes from the beginning of the struct that the
        /// field's first word names. [`ABSENT`] where it has no such field.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are the kernel's: struct, then field")]
        pub struct Offsets { $($(#[$doc])* pub $field: u32,)* }

        impl Offsets {
            /// No offset is known yet.
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
    pid_level,
    pid_numbers,
    upid_nr,
    upid_ns,
    pid_namespace_inum,
    nsproxy_mnt_ns,
    mnt_namespace_inum,
    files_fdt,
    fdtable_fd,
    fdtable_max_fds,
    file_path,
    file_mode,
    file_flags,
    path_mnt,
    path_dentry,
    /// `d_hash.pprev`: null once the name is gone.
    dentry_hash_pprev,
    dentry_parent,
    dentry_name,
    dentry_inode,
    /// `mount.mnt`, which a `vfsmount` pointer points to.
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
    task_cgroups,
    css_set_subsys,
    css_cgroup,
    cgroup_kn,
    kernfs_node_id,
}

/// Bits of [`Settings::kinds`].
pub mod kinds {
    /// Opens are wanted.
    pub const OPEN: u32 = 1;
    /// Library loads are wanted.
    pub const LOAD: u32 = 1 << 1;
    /// Execs are wanted.
    pub const EXEC: u32 = 1 << 2;
    /// Exits are wanted.
    pub const EXIT: u32 = 1 << 3;
    /// Forks are wanted.
    pub const FORK: u32 = 1 << 4;
}

/// What does not change during a run.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, PartialEq, Eq)]
pub struct Settings {
    /// A name that the leader's must contain: its bytes from the lowest on.
    pub comm_pattern: [u64; 2],
    /// The bytes of the pattern that count; all zero: any name.
    pub comm_mask: [u64; 2],
    /// Bits of [`kinds`].
    pub kinds: u32,
    /// The only process that is wanted, in the tracer's pid namespace; 0: all.
    pub pid: u32,
    /// The inode number of the tracer's pid namespace; 0: it is the initial one.
    pub pid_ns: u32,
    /// Not 0: the second argument of `sched_process_exit` is true when the last thread ends.
    pub exit_tells_group_dead: u32,
    /// Not 0: descendants of `pid` are wanted too.
    pub follow: u32,
    /// The controller whose hierarchy (version 1) identifies containers, by its index in `css_set.subsys`; [`ABSENT`]: the
    /// unified hierarchy does so.
    pub controller: u32,
}

/// All of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, PartialEq, Eq)]
pub struct Fixed {
    /// What does not change during a run.
    pub settings: Settings,
    /// Field offsets of the running kernel.
    pub offsets: Offsets,
}

impl Fixed {
    /// What the object file holds until the host puts the running kernel's values in its place.
    pub const UNSET: Fixed = Fixed {
        settings: Settings {
            comm_pattern: [0; 2],
            comm_mask: [0; 2],
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
