//! Identifies the process of an event, and decides whether it is reported.

use aya_ebpf::helpers::generated as helper;
use crypto_tracer_common::{
    filter::{OWN_MAX, TICK_NS, family_key},
    loss,
};

use crate::{
    fixed::{offset, setting},
    kernel::{current, load, read},
    maps::{FAMILY, control, count_loss},
};

/// `PF_KTHREAD`
const KERNEL_THREAD: u32 = 0x0020_0000;
/// Maximum nesting of pid namespaces: the kernel's `MAX_PID_NS_LEVEL`.
const PID_NS_LEVELS: u32 = 32;

/// `PROT_READ` and `PROT_EXEC` of mmap(2).
const PROT_READ: u64 = 1;
pub(crate) const PROT_EXEC: u64 = 4;
/// `READ_IMPLIES_EXEC` of personality(2).
const READ_IMPLIES_EXEC: u32 = 0x0040_0000;

/// Ids in the tracer's pid namespace.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub(crate) tgid: u32,
    pub(crate) tid: u32,
    pub(crate) ppid: u32,
}

/// Returns the id of a `struct pid` in the tracer's pid namespace; 0 if it is outside.
#[inline(never)]
unsafe extern "C" fn number(pid: u64) -> u32 {
    unsafe {
        let level: u32 = read(pid, offset!(pid_level));
        for at in 0..=PID_NS_LEVELS {
            if at > level {
                break;
            }
            let upid = pid + offset!(pid_numbers) as u64 + 16 * at as u64;
            let namespace: u64 = read(upid, offset!(upid_ns));
            if read::<u32>(namespace, offset!(pid_namespace_inum)) == setting!(pid_ns) {
                return read(upid, offset!(upid_nr));
            }
        }
        0
    }
}

/// A cheap check before the file name is read: false if the process is certainly not reported.
#[inline(always)]
pub(crate) unsafe fn may_be_wanted() -> bool {
    unsafe { control!(check) != 0 || (may_be_its_process() && has_name()) }
}

/// Like [`may_be_wanted`], for process events, without the name check: the process may take the name later, or its
/// descendants may have it. These hooks run rarely, and user space checks the name as well.
#[inline(always)]
pub(crate) unsafe fn process_may_be_wanted() -> bool {
    unsafe { control!(check) != 0 || may_be_its_process() }
}

#[inline(always)]
unsafe fn may_be_its_process() -> bool {
    let pid = setting!(pid);
    if setting!(pid_ns) != 0 || pid == 0 || setting!(follow) != 0 {
        return true;
    }
    (unsafe { helper::bpf_get_current_pid_tgid() } >> 32) as u32 == pid
}

/// Whether a mapping that the process requests with `prot` can be executable.
#[inline(always)]
pub(crate) unsafe fn makes_executable(prot: u64) -> bool {
    let implied =
        || unsafe { load::<u32>(current(), offset!(task_personality)) } & READ_IMPLIES_EXEC != 0;
    prot & PROT_EXEC != 0 || (prot & PROT_READ != 0 && implied())
}

/// Returns whether the leader's name contains the pattern of the settings.
#[inline(always)]
unsafe fn has_name() -> bool {
    let (mask_low, mask_high) = (setting!(comm_mask[0]), setting!(comm_mask[1]));
    if mask_low == 0 {
        return true;
    }
    let (want_low, want_high) = (setting!(comm_pattern[0]), setting!(comm_pattern[1]));
    let leader: *const u8 = unsafe { load(current(), offset!(task_group_leader)) };
    let low: u64 = unsafe { load(leader, offset!(task_comm)) };
    let high: u64 = unsafe { load(leader, offset!(task_comm) + 8) };
    macro_rules! try_places {
        ($($at:literal)*) => { $(
            let shift = 8 * ($at % 8);
            let (first, second) = if $at == 0 {
                (low, high)
            } else if $at < 8 {
                ((low >> shift) | (high << ((64 - shift) & 63)), high >> shift)
            } else {
                (high >> shift, 0)
            };
            if first & mask_low == want_low && second & mask_high == want_high {
                return true;
            }
        )* };
    }
    try_places!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    false
}

/// Returns the current process if it is reported.
#[inline(always)]
pub(crate) unsafe fn wanted() -> Option<Task> {
    unsafe {
        let task = current();
        if load::<u32>(task, offset!(task_flags)) & KERNEL_THREAD != 0 {
            return None;
        }
        let ids = numbers(task);
        if ids.tgid == 0 {
            return None;
        }
        let check = control!(check);
        if check != 0 {
            return if ids.tgid == check { Some(ids) } else { None };
        }
        let pid = setting!(pid);
        let is_target = pid == 0 || (pid == ids.tgid && started_as_set(task));
        if is_own(ids.tgid) || (!is_target && !is_followed(task, ids)) {
            return None;
        }
        Some(ids)
    }
}

/// Whether the process started when the process of the settings did: its PID may have been reused.
#[inline(always)]
unsafe fn started_as_set(task: *const u8) -> bool {
    if setting!(pid_started[0]) == 0 {
        return true;
    }
    let leader: *const u8 = unsafe { load(task, offset!(task_group_leader)) };
    let started: u64 = unsafe { load(leader, offset!(task_start_boottime)) };
    let tick = started / TICK_NS;
    tick == setting!(pid_started[0]) || tick == setting!(pid_started[1])
}

/// Returns the ids of a thread, its process and the process's parent.
#[inline(always)]
pub(crate) unsafe fn numbers(task: *const u8) -> Task {
    unsafe {
        let parent: *const u8 = load(task, offset!(task_real_parent));
        if setting!(pid_ns) == 0 {
            return Task {
                tgid: load(task, offset!(task_tgid)),
                tid: load(task, offset!(task_pid)),
                ppid: load(parent, offset!(task_tgid)),
            };
        }
        let leader: *const u8 = load(task, offset!(task_group_leader));
        let parent: *const u8 = load(parent, offset!(task_group_leader));
        Task {
            tgid: number(load(leader, offset!(task_thread_pid))),
            tid: number(load(task, offset!(task_thread_pid))),
            ppid: number(load(parent, offset!(task_thread_pid))),
        }
    }
}

/// Returns the key of a thread's process in [`FAMILY`].
#[inline(always)]
unsafe fn key(task: *const u8, ids: Task) -> [u64; 2] {
    unsafe {
        let leader: *const u8 = load(task, offset!(task_group_leader));
        family_key(ids.tgid, load(leader, offset!(task_start_boottime)))
    }
}

#[inline(always)]
unsafe fn is_followed(task: *const u8, ids: Task) -> bool {
    setting!(follow) != 0 && FAMILY.get_ptr(unsafe { key(task, ids) }).is_some()
}

/// Adds the process to the followed ones.
#[inline(always)]
pub(crate) unsafe fn follow(task: *const u8, ids: Task) {
    let key = unsafe { key(task, ids) };
    if setting!(follow) != 0 && FAMILY.insert(key, 0, 0).is_err() {
        count_loss(loss::FAMILY_FULL);
    }
}

/// Removes the process from the followed ones.
#[inline(always)]
pub(crate) unsafe fn forget(task: *const u8, ids: Task) {
    if setting!(follow) != 0 {
        let _ = FAMILY.remove(unsafe { key(task, ids) });
    }
}

#[inline(always)]
fn is_own(tgid: u32) -> bool {
    const { assert!(OWN_MAX == 8) };
    macro_rules! try_own {
        ($($at:literal)*) => { $(
            if control!(own[$at]) == tgid {
                return true;
            }
        )* };
    }
    try_own!(0 1 2 3 4 5 6 7);
    false
}
