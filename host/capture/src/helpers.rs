//! The BPF helpers that the programs call.
//!
//! Distributions backport helpers to older kernels, so the kernel's BTF decides whether a helper exists, not its
//! release.

use super::btf::Btf;

/// The enum of helper ids.
pub(super) const HELPER_ENUM: &str = "bpf_func_id";
/// The first enumerator. If it is missing, BTF does not describe the helpers.
const FIRST_ENUMERATOR: &str = "BPF_FUNC_unspec";

/// The helpers that the programs call, with their ids, which are the same on every kernel.
const REQUIRED: [(&str, u32); 16] = [
    ("bpf_map_lookup_elem", 1),
    ("bpf_map_update_elem", 2),
    ("bpf_map_delete_elem", 3),
    ("bpf_get_current_pid_tgid", 14),
    ("bpf_get_current_uid_gid", 15),
    ("bpf_get_current_cgroup_id", 80),
    ("bpf_probe_read_user", 112),
    ("bpf_probe_read_kernel", 113),
    ("bpf_ktime_get_boot_ns", 125),
    ("bpf_ringbuf_reserve", 131),
    ("bpf_ringbuf_submit", 132),
    ("bpf_ringbuf_discard", 133),
    ("bpf_ringbuf_query", 134),
    ("bpf_get_current_task_btf", 158),
    ("bpf_find_vma", 180),
    ("bpf_loop", 181),
];

/// Returns the required helpers that the kernel lacks. Empty if BTF does not describe the helpers: then the verifier
/// rejects the programs.
pub(super) fn missing(btf: &Btf) -> Vec<&'static str> {
    if btf.enum_value(HELPER_ENUM, FIRST_ENUMERATOR).is_none() {
        return Vec::new();
    }
    let exists = |name: &str, id| btf.enum_value(HELPER_ENUM, &enumerator(name)) == Some(id);
    REQUIRED.iter().filter(|(name, id)| !exists(name, *id)).map(|(name, _)| *name).collect()
}

fn enumerator(helper: &str) -> String {
    helper.replacen("bpf_", "BPF_FUNC_", 1)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::super::btf::tests::BtfWriter;
    use super::super::object::OBJECT;
    use super::*;

    /// BTF of a kernel that has all required helpers except these.
    pub(crate) fn kernel_without(names: &[&str]) -> Vec<u8> {
        let present = REQUIRED.iter().filter(|(name, _)| !names.contains(name));
        let values: Vec<(String, u32)> = present
            .map(|(name, id)| (enumerator(name), *id))
            .chain([(FIRST_ENUMERATOR.to_owned(), 0), ("BPF_FUNC_trace_printk".to_owned(), 6)])
            .collect();
        let mut writer = BtfWriter::default();
        writer.enumeration(HELPER_ENUM, &values);
        writer.finish()
    }

    fn missing_in(bytes: Vec<u8>) -> Vec<&'static str> {
        missing(&Btf::parse(bytes, &[HELPER_ENUM]).unwrap())
    }

    #[test]
    fn missing_helpers_are_returned() {
        assert_eq!(missing_in(kernel_without(&[])), [""; 0]);
        for (name, _) in REQUIRED {
            assert_eq!(missing_in(kernel_without(&[name])), [name]);
        }
        let both = ["bpf_ktime_get_boot_ns", "bpf_loop"];
        assert_eq!(missing_in(kernel_without(&both)), both);
    }

    #[test]
    fn without_helper_ids_in_btf_no_helper_is_missing() {
        assert_eq!(missing_in(super::super::btf::tests::sample()), [""; 0]);
        let mut writer = BtfWriter::default();
        writer.enumeration("another", &[("BPF_FUNC_unspec".to_owned(), 0)]);
        assert_eq!(missing_in(writer.finish()), [""; 0]);
    }

    /// A helper with the same name and another id is a vendor's own.
    #[test]
    fn a_helper_with_another_id_is_missing() {
        let mut writer = BtfWriter::default();
        let all = REQUIRED.iter().map(|(name, id)| {
            let id = if *name == "bpf_loop" { 999 } else { *id };
            (enumerator(name), id)
        });
        let all: Vec<_> = all.chain([(FIRST_ENUMERATOR.to_owned(), 0)]).collect();
        writer.enumeration(HELPER_ENUM, &all);
        assert_eq!(missing_in(writer.finish()), ["bpf_loop"]);
    }

    /// Returns the ids of the helpers that an ELF object's executable sections call.
    fn called_helpers(object: &[u8]) -> BTreeSet<u32> {
        const SHT_PROGBITS: u32 = 1;
        const SHF_EXECINSTR: usize = 4;
        const CALL: u8 = 0x85;
        const LOAD_IMM64: u8 = 0x18;
        let bytes = |at: usize, len: usize| object.get(at..at + len).unwrap();
        let read_u64 = |at: usize| u64::from_le_bytes(bytes(at, 8).try_into().unwrap()) as usize;
        let read_u32 = |at: usize| u32::from_le_bytes(bytes(at, 4).try_into().unwrap());
        let (headers, count) = (read_u64(0x28), bytes(0x3c, 2));
        let count = u16::from_le_bytes([count[0], count[1]]) as usize;
        let mut ids = BTreeSet::new();
        for header in (0..count).map(|section| headers + 64 * section) {
            let (kind, flags) = (read_u32(header + 4), read_u64(header + 8));
            if kind != SHT_PROGBITS || flags & SHF_EXECINSTR == 0 {
                continue;
            }
            let (start, size) = (read_u64(header + 24), read_u64(header + 32));
            let mut at = start;
            while at < start + size {
                let [code, registers] = bytes(at, 2).try_into().unwrap();
                // The source register of a helper call is 0; that of a call to a function of the object is not.
                if code == CALL && registers >> 4 == 0 {
                    ids.insert(read_u32(at + 4));
                }
                at += if code == LOAD_IMM64 { 16 } else { 8 };
            }
        }
        ids
    }

    #[test]
    fn the_object_calls_exactly_the_required_helpers() {
        let required: BTreeSet<u32> = REQUIRED.iter().map(|(_, id)| *id).collect();
        assert_eq!(called_helpers(OBJECT), required);
    }
}
