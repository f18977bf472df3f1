//! Which fields of the kernel the programs read, and where the running kernel has them.

use crypto_tracer_common::fixed::{ABSENT, Offsets};

use super::arch;
use super::btf::{Btf, BtfError, Numbered};
use super::helpers;
use super::kernel_field::{KernelField, OffsetGroup, kernel_fields};
use crypto_tracer_event::counted::counted;
use crypto_tracer_system::cgroup::{CONTROLLERS, Hierarchy};

kernel_fields! {
    /// The fields that exist on every processor.
    COMMON_FIELDS:
    Task {
        task_flags: Is(4), ["task_struct"."flags"];
        task_group_leader: Is(8), ["task_struct"."group_leader"];
        task_real_parent: Is(8), ["task_struct"."real_parent"];
        task_nsproxy: Is(8), ["task_struct"."nsproxy"];
        task_tgid: Is(4), ["task_struct"."tgid"];
        task_pid: Is(4), ["task_struct"."pid"];
        task_comm: Is(16), ["task_struct"."comm"];
        task_start_boottime: Is(8), ["task_struct"."start_boottime"];
        task_self_exec_id: Is(8), ["task_struct"."self_exec_id"];
        task_thread_pid: Is(8), ["task_struct"."thread_pid"];
        pid_level: Is(4), ["pid"."level"];
        pid_numbers: Any, ["pid"."numbers"];
        upid_nr: Is(4), ["upid"."nr"];
        upid_ns: Is(8), ["upid"."ns"];
        pid_namespace_inum: Is(4), ["pid_namespace"."ns" / "ns_common"."inum"];
        nsproxy_mnt_ns: Is(8), ["nsproxy"."mnt_ns"];
        mnt_namespace_inum: Is(4), ["mnt_namespace"."ns" / "ns_common"."inum"];
    }
    File {
        task_fs: Is(8), ["task_struct"."fs"];
        file_path: Is(16), ["file"."f_path"];
        file_flags: Is(4), ["file"."f_flags"];
        file_mode: Is(4), ["file"."f_mode"];
        path_mnt: Is(8), ["path"."mnt"];
        path_dentry: Is(8), ["path"."dentry"];
        dentry_hash_pprev: Is(8), ["dentry"."d_hash" / "hlist_bl_node"."pprev"];
        dentry_parent: Is(8), ["dentry"."d_parent"];
        dentry_name: Is(16), ["dentry"."d_name"];
        dentry_inode: Is(8), ["dentry"."d_inode"];
        mount_mnt: Any, ["mount"."mnt"];
        mount_parent: Is(8), ["mount"."mnt_parent"];
        mount_mountpoint: Is(8), ["mount"."mnt_mountpoint"];
        vfsmount_root: Is(8), ["vfsmount"."mnt_root"];
        fs_root: Is(16), ["fs_struct"."root"];
        inode_mode: Is(2), ["inode"."i_mode"];
        inode_ino: Is(8), ["inode"."i_ino"];
        inode_sb: Is(8), ["inode"."i_sb"];
        inode_size: Is(8), ["inode"."i_size"];
        inode_ctime_sec: Is(8), ["inode"."i_ctime_sec"] | ["inode"."__i_ctime" / "timespec64"."tv_sec"]
            | ["inode"."i_ctime" / "timespec64"."tv_sec"];
        inode_ctime_nsec: Any, ["inode"."i_ctime_nsec"] | ["inode"."__i_ctime" / "timespec64"."tv_nsec"]
            | ["inode"."i_ctime" / "timespec64"."tv_nsec"];
        sb_dev: Is(4), ["super_block"."s_dev"];
        sb_magic: Is(8), ["super_block"."s_magic"];
        sb_user_ns: Is(8), ["super_block"."s_user_ns"];
        user_ns_level: Is(4), ["user_namespace"."level"];
    }
    Descriptor {
        task_files: Is(8), ["task_struct"."files"];
        files_fdt: Is(8), ["files_struct"."fdt"];
        fdtable_fd: Is(8), ["fdtable"."fd"];
        fdtable_max_fds: Is(4), ["fdtable"."max_fds"];
    }
    Uring {
        kiocb_opcode: Is(1), ["io_kiocb"."opcode"];
        kiocb_res: Is(4), ["io_kiocb"."cqe" / "io_cqe"."res"] | ["io_kiocb"."result"];
        kiocb_file_slot: Is(4), ["io_kiocb"."cmd" / "io_open"."file_slot"]
            | ["io_kiocb"."open" / "io_open"."file_slot"];
        kiocb_how_flags: Is(8), ["io_kiocb"."cmd" / "io_open"."how" / "open_how"."flags"]
            | ["io_kiocb"."open" / "io_open"."how" / "open_how"."flags"];
    }
    Exec {
        task_mm: Is(8), ["task_struct"."mm"];
        mm_arg_start: Is(8), ["mm_struct"."arg_start"];
        mm_arg_end: Is(8), ["mm_struct"."arg_end"];
        mm_exe_file: Is(8), ["mm_struct"."exe_file"];
    }
    Exit {
        task_signal: Is(8), ["task_struct"."signal"];
        task_exit_code: Is(4), ["task_struct"."exit_code"];
        signal_live: Is(4), ["signal_struct"."live"];
        signal_flags: Is(4), ["signal_struct"."flags"];
        signal_group_exit_code: Is(4), ["signal_struct"."group_exit_code"];
    }
    Overlay {
        mount_ns: Is(8), ["mount"."mnt_ns"];
        sb_flags: Is(8), ["super_block"."s_flags"];
    }
    OpenFlags {
        open_flags_flag: Is(4), ["open_flags"."open_flag"];
    }
    Controllers {
        task_cgroups: Is(8), ["task_struct"."cgroups"];
        css_set_subsys: Any, ["css_set"."subsys"];
        css_cgroup: Is(8), ["cgroup_subsys_state"."cgroup"];
        cgroup_kn: Is(8), ["cgroup"."kn"];
        kernfs_node_id: Is(8), ["kernfs_node"."id"];
    }
}

/// Types that the fields do not name.
const EXIT_TRACEPOINT: &str = "btf_trace_sched_process_exit";
const URING_TRACEPOINT: &str = "btf_trace_io_uring_complete";
const QSTR: &str = "qstr";
const CONTROLLER_IDS: &str = "cgroup_subsys_id";
/// Functions at whose return programs may be attached.
const FUNCTIONS: [&str; 3] = ["do_filp_open", "do_file_open_root", "vm_mmap_pgoff"];

fn fields() -> impl Iterator<Item = &'static KernelField> {
    COMMON_FIELDS.iter().chain(arch::SYSTEM_CALL_FIELDS)
}

/// What this kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissingOffset {
    group: OffsetGroup,
    what: String,
}

/// What the running kernel's type information gave.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Where the fields are.
    pub(crate) offsets: Offsets,
    /// Whether `sched_process_exit` tells that the last thread ends.
    pub(crate) exit_tells_group_dead: bool,
    missing: Vec<MissingOffset>,
    /// Functions that the programs call, and that this kernel does not have.
    pub(crate) missing_helpers: Vec<&'static str>,
    /// The places of controllers in `css_set.subsys`.
    controllers: Vec<(&'static str, u32)>,
    /// How many parameters those of [`FUNCTIONS`] have that there are.
    functions: Vec<(&'static str, u32)>,
    /// Of the functions and typedefs that programs are attached to, those that there are.
    attached: Vec<Numbered>,
}

impl Layout {
    /// Looks up every field, and these functions and typedefs.
    pub(crate) fn of(bytes: Vec<u8>, attached: &[String]) -> Result<Layout, BtfError> {
        let mut names: Vec<&str> =
            vec![EXIT_TRACEPOINT, URING_TRACEPOINT, QSTR, CONTROLLER_IDS, helpers::ENUM];
        names.extend(FUNCTIONS);
        names.extend(attached.iter().map(String::as_str));
        for (of, _) in fields().flat_map(|field| field.chains).copied().flatten() {
            names.push(of);
        }
        let btf = Btf::parse(bytes, &names)?;
        let mut offsets = Offsets::UNKNOWN;
        let mut missing = Vec::new();
        for field in fields() {
            match field.resolve(&btf) {
                Some(offset) => *(field.slot)(&mut offsets) = offset,
                None => missing.push(MissingOffset { group: field.group, what: field.name() }),
            }
        }
        missing.extend(unexpected(&btf, &offsets));
        let exit_tells_group_dead = btf.parameters(EXIT_TRACEPOINT).is_some_and(|count| count >= 3);
        let functions =
            FUNCTIONS.into_iter().filter_map(|name| Some((name, btf.parameters(name)?))).collect();
        let place =
            |name| Some((name, btf.enumerator(CONTROLLER_IDS, &format!("{name}_cgrp_id"))?));
        let controllers = CONTROLLERS.into_iter().filter_map(place).collect();
        let attached = attached.iter().filter_map(|name| btf.numbered(name)).collect();
        let missing_helpers = helpers::missing(&btf);
        Ok(Layout {
            offsets,
            exit_tells_group_dead,
            missing,
            missing_helpers,
            controllers,
            functions,
            attached,
        })
    }

    /// What the programs are told of the hierarchy whose ids they tell.
    pub(crate) fn controller(&self, hierarchy: Hierarchy) -> u32 {
        let Hierarchy::Controller(name) = hierarchy else { return ABSENT };
        let place = self.controllers.iter().find(|(known, _)| *known == name);
        place
            .filter(|_| self.lacks(&[OffsetGroup::Controllers]).is_none())
            .map_or(ABSENT, |(_, at)| *at)
    }

    /// Why a program cannot be attached to this function, if it cannot.
    pub(crate) fn has_function(&self, name: &str, parameters: u32) -> Result<(), String> {
        match self.functions.iter().find(|(known, _)| *known == name) {
            None => Err("this kernel has no such function".to_owned()),
            Some((_, count)) if *count != parameters => Err(format!(
                "this kernel's function has {} instead of {parameters}",
                counted(*count, "parameter")
            )),
            Some(_) => Ok(()),
        }
    }

    /// The function or typedef of this name, if there is one and it was asked for.
    pub(crate) fn attached(&self, name: &str) -> Option<&Numbered> {
        self.attached.iter().find(|known| known.name == name)
    }

    /// What is missing for these groups, in words; None: nothing.
    pub(crate) fn lacks(&self, groups: &[OffsetGroup]) -> Option<String> {
        let lacks = self.missing.iter().filter(|missing| groups.contains(&missing.group));
        let words: Vec<&str> = lacks.map(|missing| missing.what.as_str()).collect();
        (!words.is_empty()).then(|| format!("this kernel has no {}", words.join(", ")))
    }
}

/// The programs read some fields together and so rely on their order.
fn unexpected(btf: &Btf, offsets: &Offsets) -> Vec<MissingOffset> {
    let at = |of, name| btf.member(of, name).map(|member| member.offset);
    let pprev = offsets.dentry_hash_pprev;
    let follows = |offset: u32, distance: u32| pprev.checked_add(distance) == Some(offset);
    let dentry = follows(offsets.dentry_parent, 8)
        && follows(offsets.dentry_name, 16)
        && follows(offsets.dentry_inode, 32)
        && at(QSTR, "len") == Some(4)
        && at(QSTR, "name") == Some(8);
    let path = offsets.path_mnt == 0 && offsets.path_dentry == 8;
    let upid = btf.struct_size("upid") == Some(16);
    // The first parameter is the program's own, the second one the ring. Where the request comes third, older kernels
    // have what the caller wrote into it, a number.
    let uring = btf.has_pointer_at(URING_TRACEPOINT, 2);
    let checks = [
        (dentry, OffsetGroup::File, "struct dentry in the known order"),
        (path, OffsetGroup::File, "struct path in the known order"),
        (upid, OffsetGroup::Task, "struct upid of the known size"),
        (uring, OffsetGroup::Uring, "tracepoint io_uring_complete with a request"),
    ];
    let wrong = checks.into_iter().filter(|(right, ..)| !right);
    wrong.map(|(_, group, what)| MissingOffset { group, what: what.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_fields_lacks_every_group_and_says_what() {
        let layout = Layout::of(super::super::btf::tests::sample(), &[]).unwrap();
        let lacks = layout.lacks(&[OffsetGroup::Exec]).unwrap();
        assert!(lacks.contains("mm_struct.arg_start"), "{lacks}");
        assert!(!lacks.contains("pt_regs"), "{lacks}");
        assert!(layout.lacks(&[]).is_none());
        assert_eq!(layout.offsets, Offsets::UNKNOWN);
        assert!(layout.has_function("do_filp_open", 3).is_err());
    }

    #[test]
    fn the_running_kernel_has_every_field() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            println!("skipped: this kernel has no type information");
            return;
        };
        let layout = Layout::of(bytes, &[]).unwrap();
        let all = [
            OffsetGroup::Task,
            OffsetGroup::File,
            OffsetGroup::Descriptor,
            OffsetGroup::SystemCall,
            OffsetGroup::Exec,
            OffsetGroup::Exit,
            OffsetGroup::Controllers,
        ];
        assert_eq!(layout.lacks(&all), None);
        assert_eq!(layout.controller(Hierarchy::Unified), ABSENT);
        assert!(layout.controller(Hierarchy::Controller("cpu")) < 32);
    }
}
