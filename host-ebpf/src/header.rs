//! Fills the header of a record. Every byte must be set, because the ring buffer's memory contains old data.

use core::ptr;

use aya_ebpf::helpers::generated as helper;
use crypto_tracer_common::{
    fixed::ABSENT,
    record::{Header, flag},
};

use crate::{
    fixed::{offset, setting},
    kernel::{Access, current, load, read},
    task::Task,
};

/// The nanoseconds in `i_ctime_nsec`: newer kernels keep the flag `I_CTIME_QUERIED` in bit 31.
const NSEC_MASK: u32 = 0x7fff_ffff;

/// Sets the process (`task` is one of its threads) and the time; clears the fields for file, path and arguments.
#[inline(always)]
pub(crate) unsafe fn process(header: *mut Header, kind: u16, task: *const u8, ids: Task) {
    unsafe {
        let leader: *const u8 = load(task, offset!(task_group_leader));
        let proxy: *const u8 = load(task, offset!(task_nsproxy));
        let mounts: *const u8 = load(proxy, offset!(nsproxy_mnt_ns));
        (*header).ts_ns = helper::bpf_ktime_get_boot_ns();
        (*header).start_ns = load(leader, offset!(task_start_boottime));
        (*header).exec_id = load(task, offset!(task_self_exec_id));
        (*header).cgroup_id = cgroup();
        (*header).tgid = ids.tgid;
        (*header).tid = ids.tid;
        (*header).ppid = ids.ppid;
        (*header).uid = helper::bpf_get_current_uid_gid() as u32;
        (*header).mount_ns = load(mounts, offset!(mnt_namespace_inum));
        (*header).kind = kind;
        (*header).flags = 0;
        (*header).path_len = 0;
        (*header).args_len = 0;
        (*header).detail = 0;
        let comm = (&raw mut (*header).comm).cast::<u64>();
        ptr::write_volatile(comm, load(leader, offset!(task_comm)));
        ptr::write_volatile(comm.add(1), load(leader, offset!(task_comm) + 8));
        (*header).inode = 0;
        (*header).size = 0;
        (*header).ctime_sec = 0;
        (*header).ctime_nsec = 0;
        (*header).dev = 0;
        (*header).sb_magic = 0;
        (*header).root_dev = 0;
        (*header).root_inode = 0;
    }
}

/// Returns the id of the current process's cgroup.
#[inline(always)]
unsafe fn cgroup() -> u64 {
    unsafe {
        let controller = setting!(controller);
        if controller == ABSENT {
            return helper::bpf_get_current_cgroup_id();
        }
        let set: u64 = load(current(), offset!(task_cgroups));
        let state: u64 =
            read(set, offset!(css_set_subsys).wrapping_add(controller.wrapping_mul(8)));
        let group: u64 = read(state, offset!(css_cgroup));
        let node: u64 = read(group, offset!(cgroup_kn));
        read(node, offset!(kernfs_node_id))
    }
}

/// Sets the file with the dentry `at`, and the process's root; returns bits of [`flag`].
#[inline(always)]
pub(crate) unsafe fn file<A: Access>(header: *mut Header, at: u64) -> u16 {
    unsafe {
        let (dentry, readable) = A::dentry(at);
        let inode = dentry.inode;
        let sb: u64 = A::get(inode, offset!(inode_sb));
        (*header).inode = A::get(inode, offset!(inode_ino));
        (*header).size = A::get(inode, offset!(inode_size));
        (*header).ctime_sec = A::get(inode, offset!(inode_ctime_sec));
        (*header).ctime_nsec = A::get::<u32>(inode, offset!(inode_ctime_nsec)) & NSEC_MASK;
        (*header).dev = A::get(sb, offset!(sb_dev));
        (*header).sb_magic = A::get(sb, offset!(sb_magic));
        root(header);
        let mut flags = 0;
        let user_ns: u64 = A::get(sb, offset!(sb_user_ns));
        if A::get::<u32>(user_ns, offset!(user_ns_level)) != 0 {
            flags |= flag::FOREIGN_USER_NS;
        }
        if readable && dentry.hash_pprev == 0 && dentry.parent != at {
            flags |= flag::PATH_DELETED;
        }
        flags
    }
}

#[inline(always)]
unsafe fn root(header: *mut Header) {
    unsafe {
        let fs: *const u8 = load(current(), offset!(task_fs));
        let dentry: *const u8 = load(fs, offset!(fs_root) + offset!(path_dentry));
        let inode: *const u8 = load(dentry, offset!(dentry_inode));
        let sb: *const u8 = load(inode, offset!(inode_sb));
        (*header).root_inode = load(inode, offset!(inode_ino));
        (*header).root_dev = load(sb, offset!(sb_dev));
    }
}
