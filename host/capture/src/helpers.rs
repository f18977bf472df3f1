//! The functions of the kernel that the programs call. Distributions carry them back to older kernels, so what decides is
//! whether the kernel's types name them, never its release.

use super::btf::Btf;

/// The enum that numbers them.
pub(super) const ENUM: &str = "bpf_func_id";
/// Its first value. Without it, the types do not tell which functions there are.
const FIRST: &str = "BPF_FUNC_unspec";

/// What the programs call, with the number that it has on every kernel.
const CALLED: [(&str, u32); 14] = [
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
    ("bpf_get_current_task_btf", 158),
    ("bpf_loop", 181),
];

/// Those that the kernel does not have. None, where its types do not number them: then the verifier will tell.
pub(super) fn missing(btf: &Btf) -> Vec<&'static str> {
    if btf.enumerator(ENUM, FIRST).is_none() {
        return Vec::new();
    }
    let has = |name: &str, number| {
        let value = name.replacen("bpf_", "BPF_FUNC_", 1);
        btf.enumerator(ENUM, &value) == Some(number)
    };
    CALLED.iter().filter(|(name, number)| !has(name, *number)).map(|(name, _)| *name).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::super::btf::tests::BtfWriter;
    use super::super::object::OBJECT;
    use super::*;

    /// Type information of a kernel that has all functions but these.
    pub(crate) fn kernel_without(names: &[&str]) -> Vec<u8> {
        let there = CALLED.iter().filter(|(name, _)| !names.contains(name));
        let values: Vec<(String, u32)> = there
            .map(|(name, number)| (name.replacen("bpf_", "BPF_FUNC_", 1), *number))
            .chain([(FIRST.to_owned(), 0), ("BPF_FUNC_trace_printk".to_owned(), 6)])
            .collect();
        let mut writer = BtfWriter::default();
        writer.values(ENUM, &values);
        writer.finish()
    }

    fn missing_in(bytes: Vec<u8>) -> Vec<&'static str> {
        missing(&Btf::parse(bytes, &[ENUM]).unwrap())
    }

    #[test]
    fn each_function_that_is_missing_is_named() {
        assert_eq!(missing_in(kernel_without(&[])), [""; 0]);
        for (name, _) in CALLED {
            assert_eq!(missing_in(kernel_without(&[name])), [name]);
        }
        let both = ["bpf_ktime_get_boot_ns", "bpf_loop"];
        assert_eq!(missing_in(kernel_without(&both)), both);
    }

    #[test]
    fn types_that_number_no_functions_say_nothing() {
        assert_eq!(missing_in(super::super::btf::tests::sample()), [""; 0]);
        let mut writer = BtfWriter::default();
        writer.values("another", &[("BPF_FUNC_unspec".to_owned(), 0)]);
        assert_eq!(missing_in(writer.finish()), [""; 0]);
    }

    /// A vendor's own function in that place is another one.
    #[test]
    fn a_function_with_another_number_is_missing() {
        let mut writer = BtfWriter::default();
        let all = CALLED.iter().map(|(name, number)| {
            let number = if *name == "bpf_loop" { 999 } else { *number };
            (name.replacen("bpf_", "BPF_FUNC_", 1), number)
        });
        writer.values(ENUM, &all.chain([(FIRST.to_owned(), 0)]).collect::<Vec<_>>());
        assert_eq!(missing_in(writer.finish()), ["bpf_loop"]);
    }

    /// The numbers that the programs call, out of the instructions of the object's sections.
    fn called(object: &[u8]) -> BTreeSet<u32> {
        let bytes = |at: usize, len: usize| object.get(at..at + len).unwrap();
        let word = |at: usize| u64::from_le_bytes(bytes(at, 8).try_into().unwrap()) as usize;
        let half = |at: usize| u32::from_le_bytes(bytes(at, 4).try_into().unwrap());
        let (headers, count) = (word(0x28), bytes(0x3c, 2));
        let count = u16::from_le_bytes([count[0], count[1]]) as usize;
        let mut numbers = BTreeSet::new();
        for header in (0..count).map(|section| headers + 64 * section) {
            const PROGBITS: u32 = 1;
            const EXECUTABLE: usize = 4;
            if half(header + 4) != PROGBITS || word(header + 8) & EXECUTABLE == 0 {
                continue;
            }
            let (start, size) = (word(header + 24), word(header + 32));
            let mut at = start;
            while at < start + size {
                let [code, registers] = bytes(at, 2).try_into().unwrap();
                // A call whose source register is zero is one of the kernel; others are to functions of the object.
                if code == 0x85 && registers >> 4 == 0 {
                    numbers.insert(half(at + 4));
                }
                at += if code == 0x18 { 16 } else { 8 };
            }
        }
        numbers
    }

    #[test]
    fn they_are_what_the_programs_call() {
        let listed: BTreeSet<u32> = CALLED.iter().map(|(_, number)| *number).collect();
        assert_eq!(called(OBJECT), listed);
    }
}
