//! The kernel fields that the programs read, and their offsets in the running kernel.

use crypto_tracer_common::fixed::{ABSENT, Offsets};

use super::arch;
use super::btf::{AttachType, Btf, BtfError};
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
        task_cred: Is(8), ["task_struct"."cred"];
        cred_user_ns: Is(8), ["cred"."user_ns"];
        user_ns_level: Is(4), ["user_namespace"."level"];
        user_ns_parent: Is(8), ["user_namespace"."parent"];
        user_ns_owner: Is(4), ["user_namespace"."owner"];
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
    }
    Descriptor {
        task_files: Is(8), ["task_struct"."files"];
        files_fdt: Is(8), ["files_struct"."fdt"];
        files_fd_array: Is(512), ["files_struct"."fd_array"];
        fdtable_fd: Is(8), ["fdtable"."fd"];
        fdtable_max_fds: Is(4), ["fdtable"."max_fds"];
    }
    Mapping {
        task_personality: Is(4), ["task_struct"."personality"];
        vma_flags: Is(8), ["vm_area_struct"."vm_flags"];
        vma_file: Is(8), ["vm_area_struct"."vm_file"];
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

/// BTF types that are looked up in addition to the types of the fields.
const EXIT_TRACEPOINT: &str = "btf_trace_sched_process_exit";
const URING_TRACEPOINT: &str = "btf_trace_io_uring_complete";
const QSTR: &str = "qstr";
const CONTROLLER_IDS: &str = "cgroup_subsys_id";
/// Functions that fexit programs attach to.
const FUNCTIONS: [&str; 3] = ["do_filp_open", "do_file_open_root", "vm_mmap_pgoff"];

fn fields() -> impl Iterator<Item = &'static KernelField> {
    COMMON_FIELDS.iter().chain(arch::SYSTEM_CALL_FIELDS)
}

/// A field or layout that this kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissingOffset {
    group: OffsetGroup,
    what: String,
}

/// Fields, functions and helpers in the kernel's BTF that the programs use.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Offsets of the fields; unknown ones are [`ABSENT`].
    pub(crate) offsets: Offsets,
    /// Whether an argument of `sched_process_exit` says that the last thread exits.
    pub(crate) exit_tells_group_dead: bool,
    missing: Vec<MissingOffset>,
    /// The required BPF helpers that the kernel lacks.
    pub(crate) missing_helpers: Vec<&'static str>,
    /// Index of each cgroup controller in `css_set.subsys`.
    controllers: Vec<(&'static str, u32)>,
    /// Number of parameters of each function of [`FUNCTIONS`] that exists.
    functions: Vec<(&'static str, u32)>,
    /// The hooks that exist.
    hooks: Vec<AttachType>,
}

impl Layout {
    /// Parses BTF and looks up every field. `hooks`: BTF names of the hooks to look up.
    pub(crate) fn parse(bytes: Vec<u8>, hooks: &[String]) -> Result<Layout, BtfError> {
        let mut names: Vec<&str> =
            vec![EXIT_TRACEPOINT, URING_TRACEPOINT, QSTR, CONTROLLER_IDS, helpers::HELPER_ENUM];
        names.extend(FUNCTIONS);
        names.extend(hooks.iter().map(String::as_str));
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
        missing.extend(unexpected_layouts(&btf, &offsets));
        let exit_tells_group_dead =
            btf.parameter_count(EXIT_TRACEPOINT).is_some_and(|count| count >= 3);
        let functions = FUNCTIONS
            .into_iter()
            .filter_map(|name| Some((name, btf.parameter_count(name)?)))
            .collect();
        let index =
            |name| Some((name, btf.enum_value(CONTROLLER_IDS, &format!("{name}_cgrp_id"))?));
        let controllers = CONTROLLERS.into_iter().filter_map(index).collect();
        let hooks = hooks.iter().filter_map(|name| btf.attach_type(name)).collect();
        let missing_helpers = helpers::missing(&btf);
        Ok(Layout {
            offsets,
            exit_tells_group_dead,
            missing,
            missing_helpers,
            controllers,
            functions,
            hooks,
        })
    }

    /// Returns the value of `Settings::controller` for this hierarchy.
    pub(crate) fn controller(&self, hierarchy: Hierarchy) -> u32 {
        let Hierarchy::Controller(name) = hierarchy else { return ABSENT };
        let index = self.controllers.iter().find(|(known, _)| *known == name);
        index
            .filter(|_| self.lacks(&[OffsetGroup::Controllers]).is_none())
            .map_or(ABSENT, |(_, index)| *index)
    }

    /// Fails if the kernel does not have this function, or has it with another number of parameters.
    pub(crate) fn check_function(&self, name: &str, parameters: u32) -> Result<(), String> {
        match self.functions.iter().find(|(known, _)| *known == name) {
            None => Err("this kernel has no such function".to_owned()),
            Some((_, count)) if *count != parameters => Err(format!(
                "this kernel's function has {} instead of {parameters}",
                counted(*count, "parameter")
            )),
            Some(_) => Ok(()),
        }
    }

    /// Returns the hook with this BTF name, if it exists and was looked up.
    pub(crate) fn hook(&self, name: &str) -> Option<&AttachType> {
        self.hooks.iter().find(|known| known.name == name)
    }

    /// Returns which fields of these groups are missing, as a sentence. `None`: none.
    pub(crate) fn lacks(&self, groups: &[OffsetGroup]) -> Option<String> {
        let lacks = self.missing.iter().filter(|missing| groups.contains(&missing.group));
        let words: Vec<&str> = lacks.map(|missing| missing.what.as_str()).collect();
        (!words.is_empty()).then(|| format!("this kernel has no {}", words.join(", ")))
    }
}

/// Returns the layouts that the programs assume and the kernel does not have: they read some adjacent fields at once.
fn unexpected_layouts(btf: &Btf, offsets: &Offsets) -> Vec<MissingOffset> {
    let offset = |of, name| btf.member(of, name).map(|member| member.offset);
    let pprev = offsets.dentry_hash_pprev;
    let follows_by = |distance: u32, offset: u32| pprev.checked_add(distance) == Some(offset);
    let dentry = follows_by(8, offsets.dentry_parent)
        && follows_by(16, offsets.dentry_name)
        && follows_by(32, offsets.dentry_inode)
        && offset(QSTR, "len") == Some(4)
        && offset(QSTR, "name") == Some(8);
    let path = offsets.path_mnt == 0 && offsets.path_dentry == 8;
    let upid = btf.struct_size("upid") == Some(16);
    // Parameter 0 is the program's context, parameter 1 the ring. Parameter 2 is the request; on older kernels, it is
    // the caller's user_data instead, an integer.
    let uring = btf.is_pointer_parameter(URING_TRACEPOINT, 2);
    let checks = [
        (dentry, OffsetGroup::File, "struct dentry with the expected layout"),
        (path, OffsetGroup::File, "struct path with the expected layout"),
        (upid, OffsetGroup::Task, "struct upid of the expected size"),
        (uring, OffsetGroup::Uring, "tracepoint io_uring_complete with a request"),
    ];
    let failed = checks.into_iter().filter(|(is_expected, ..)| !is_expected);
    failed.map(|(_, group, what)| MissingOffset { group, what: what.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_are_named() {
        let layout = Layout::parse(super::super::btf::tests::sample(), &[]).unwrap();
        let lacks = layout.lacks(&[OffsetGroup::Exec]).unwrap();
        assert!(lacks.contains("mm_struct.arg_start"), "{lacks}");
        assert!(!lacks.contains("pt_regs"), "{lacks}");
        assert!(layout.lacks(&[]).is_none());
        assert_eq!(layout.offsets, Offsets::UNKNOWN);
        assert!(layout.check_function("do_filp_open", 3).is_err());
    }

    #[test]
    fn running_kernel_has_all_fields() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            println!("skipped: this kernel has no BTF");
            return;
        };
        let layout = Layout::parse(bytes, &[]).unwrap();
        let all = [
            OffsetGroup::Task,
            OffsetGroup::File,
            OffsetGroup::Descriptor,
            OffsetGroup::Mapping,
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
