//! Shares of the ring buffer. One user who causes more events than the host reads must not take the room of all others.
//!
//! Up to half of the ring buffer, everybody may write. Above it, a user may have as many bytes in it in one control group as
//! are free, and twice as many in all control groups together. A single flooder thus leaves a quarter free, and each
//! further one leaves a part to those who follow.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated as helper;

use crate::{
    fixed::{offset, setting},
    kernel::{current, load, read},
    maps::{EVENTS, GROUPS, USERS, Usage},
};

/// Arguments of `bpf_ringbuf_query`.
const AVAILABLE: u64 = 0;
const CONSUMER_POSITION: u64 = 2;
const PRODUCER_POSITION: u64 = 3;
/// `BPF_NOEXIST`
const NO_EXIST: u64 = 1;
/// Maximum nesting of user namespaces.
const USER_NS_LEVELS: u32 = 32;

#[inline(always)]
fn query(what: u64) -> u64 {
    unsafe { helper::bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast::<c_void>(), what) }
}

/// Whether a record of this size is more than the current process's share. If not, adds it to the share.
#[inline(always)]
pub(crate) unsafe fn exceeds_share(bytes: u64) -> bool {
    let half = setting!(half_ring);
    if half == 0 {
        return false;
    }
    let used = query(AVAILABLE);
    used > half && unsafe { exceeds(bytes, (2 * half).saturating_sub(used)) != 0 }
}

/// `free`: bytes in the ring buffer. Exported, so that the verifier analyses it once and not for each call.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) unsafe extern "C" fn exceeds(bytes: u64, free: u64) -> u64 {
    unsafe {
        let (consumed, produced) = (query(CONSUMER_POSITION), query(PRODUCER_POSITION));
        let mut fresh = MaybeUninit::<Usage>::uninit();
        clear(fresh.as_mut_ptr(), produced);
        (*fresh.as_mut_ptr()).end = produced;
        let fresh = fresh.assume_init();
        let uid = owner();
        let key = [uid, helper::bpf_get_current_cgroup_id()];
        if GROUPS.get_ptr_mut(key).is_none() {
            let _ = GROUPS.insert(key, fresh, NO_EXIST);
        }
        let Some(group) = GROUPS.get_ptr_mut(key) else { return 0 };
        if unread(group, consumed, produced) + bytes > free {
            return 1;
        }
        // Services of the system run as root, each in a control group of its own.
        if uid != 0 {
            if USERS.get_ptr_mut(uid).is_none() {
                let _ = USERS.insert(uid, fresh, NO_EXIST);
            }
            let Some(user) = USERS.get_ptr_mut(uid) else { return 0 };
            if unread(user, consumed, produced) + bytes > 2 * free {
                return 1;
            }
            add(user, bytes, produced);
        }
        add(group, bytes, produced);
        0
    }
}

/// Returns the bytes that the host may not have read. Updates of two processors can overlap: then the bound is lower by a
/// record.
#[inline(always)]
unsafe fn unread(usage: *mut Usage, consumed: u64, produced: u64) -> u64 {
    unsafe {
        if consumed >= (*usage).end {
            clear(usage, produced);
        } else if consumed >= (*usage).mark {
            (*usage).before = (*usage).since;
            (*usage).since = 0;
            (*usage).mark = produced;
        }
        (*usage).since + (*usage).before
    }
}

/// Forgets all bytes before this position. Volatile: otherwise LLVM clears both counts in a loop over bytes.
#[inline(always)]
unsafe fn clear(usage: *mut Usage, produced: u64) {
    unsafe {
        ptr::write_volatile(&raw mut (*usage).since, 0);
        ptr::write_volatile(&raw mut (*usage).before, 0);
        (*usage).mark = produced;
    }
}

#[inline(always)]
unsafe fn add(usage: *mut Usage, bytes: u64, produced: u64) {
    unsafe {
        (*usage).since += bytes;
        (*usage).end = produced + bytes;
    }
}

/// Returns the user to charge: the real user, or the owner of the outermost user namespace, in which a user can have
/// thousands of ids.
#[inline(always)]
unsafe fn owner() -> u64 {
    unsafe {
        let cred: *const u8 = load(current(), offset!(task_cred));
        let mut namespace: u64 = load(cred, offset!(cred_user_ns));
        let mut owner = helper::bpf_get_current_uid_gid() as u32;
        for _ in 0..USER_NS_LEVELS {
            if read::<u32>(namespace, offset!(user_ns_level)) == 0 {
                break;
            }
            owner = read(namespace, offset!(user_ns_owner));
            namespace = read(namespace, offset!(user_ns_parent));
        }
        owner as u64
    }
}
