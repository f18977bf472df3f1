use super::*;
use proptest::prelude::*;

/// Writes type information as the kernel has it.
#[derive(Default)]
pub(crate) struct BtfWriter {
    types: Vec<u32>,
    strings: Vec<u8>,
}

impl BtfWriter {
    fn name(&mut self, name: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(&mut self, name: &str, kind: u8, count: u32, size: u32, tail: &[u32]) {
        let name = self.name(name);
        self.types.extend([name, (kind as u32) << 24 | count, size]);
        self.types.extend(tail);
    }

    fn members(&mut self, name: &str, kind: u8, size: u32, members: &[(&str, u32, u32)]) {
        let mut tail = Vec::new();
        for &(name, number, bits) in members {
            tail.extend([self.name(name), number, bits]);
        }
        self.add(name, kind, members.len() as u32, size, &tail);
    }

    pub(crate) fn values(&mut self, name: &str, values: &[(String, u32)]) {
        let mut tail = Vec::new();
        for (name, value) in values {
            tail.extend([self.name(name), *value]);
        }
        self.add(name, kind::ENUM, values.len() as u32, 4, &tail);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let types: Vec<u8> = self.types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let header = [
            MAGIC as u32 | 1 << 16,
            24,
            0,
            types.len() as u32,
            types.len() as u32,
            self.strings.len() as u32,
        ];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(types);
        bytes.extend(self.strings);
        bytes
    }
}

/// An int, a struct with a union without name in it, a pointer and a function.
pub(crate) fn sample() -> Vec<u8> {
    let mut writer = BtfWriter::default();
    writer.add("int", kind::INT, 0, 4, &[32]); // 1
    writer.members("", kind::UNION, 8, &[("in_union", 1, 0), ("other", 6, 0)]); // 2
    writer.members("outer", kind::STRUCT, 40, &[("first", 1, 0), ("", 2, 64), ("list", 5, 128)]); // 3
    writer.add("number", kind::TYPEDEF, 0, 1, &[]); // 4
    writer.add("", kind::ARRAY, 0, 0, &[4, 1, 3]); // 5
    writer.add("", kind::PTR, 0, 3, &[]); // 6
    writer.add("", kind::FUNC_PROTO, 2, 1, &[0, 1, 0, 6]); // 7
    writer.add("do_it", kind::FUNC, 0, 7, &[]); // 8
    writer.add("", kind::PTR, 0, 7, &[]); // 9
    writer.add("hook_t", kind::TYPEDEF, 0, 9, &[]); // 10
    writer.finish()
}

const NAMES: &[&str] = &["outer", "do_it", "hook_t", "int"];

#[test]
fn fields_are_found_also_in_unnamed_members() {
    let btf = Btf::parse(sample(), NAMES).unwrap();
    let member = |name| btf.member("outer", name);
    assert_eq!(member("first"), Some(Member { offset: 0, size: Some(4) }));
    assert_eq!(member("in_union"), Some(Member { offset: 8, size: Some(4) }));
    assert_eq!(member("other"), Some(Member { offset: 8, size: Some(8) }));
    assert_eq!(member("list"), Some(Member { offset: 16, size: Some(12) }));
    assert_eq!(member("nothing"), None);
    assert_eq!(btf.member("nobody", "first"), None);
    assert_eq!(btf.struct_size("outer"), Some(40));
}

#[test]
fn parameters_of_functions_and_of_function_pointers() {
    let btf = Btf::parse(sample(), NAMES).unwrap();
    assert_eq!(btf.parameters("do_it"), Some(2));
    assert_eq!(btf.parameters("hook_t"), Some(2));
    assert_eq!(btf.parameters("outer"), None);
    let pointers = [0, 1, 2, u32::MAX].map(|place| btf.has_pointer_at("hook_t", place));
    assert_eq!(pointers, [false, true, false, false]);
    assert!(!btf.has_pointer_at("outer", 0) && !btf.has_pointer_at("nobody", 0));
}

#[test]
fn values_of_enums() {
    let mut writer = BtfWriter::default();
    let tail = [writer.name("first_id"), 0, writer.name("second_id"), 7];
    writer.add("outer", kind::ENUM, 2, 4, &tail);
    let btf = Btf::parse(writer.finish(), NAMES).unwrap();
    assert_eq!(btf.enumerator("outer", "second_id"), Some(7));
    assert_eq!(btf.enumerator("outer", "third_id"), None);
    assert_eq!(btf.enumerator("int", "first_id"), None);
}

#[test]
fn a_struct_that_contains_itself_ends() {
    let mut writer = BtfWriter::default();
    writer.members("outer", kind::STRUCT, 8, &[("", 1, 0); 600]);
    writer.add("hook_t", kind::TYPEDEF, 0, 2, &[]);
    let btf = Btf::parse(writer.finish(), NAMES).unwrap();
    assert_eq!(btf.member("outer", "first"), None);
    assert_eq!(btf.parameters("hook_t"), None);
}

#[test]
fn alone_it_has_the_same_number() {
    let btf = Btf::parse(sample(), NAMES).unwrap();
    for name in ["do_it", "hook_t"] {
        let found = btf.numbered(name).unwrap();
        let alone = found.alone();
        assert_eq!(Btf::parse(alone.clone(), NAMES).unwrap().numbered(name), Some(found));
        // The library that attaches programs takes it.
        assert!(aya::Btf::parse(&alone, aya::Endianness::default()).is_ok());
    }
    assert_eq!(btf.numbered("outer"), None, "a struct");
    assert_eq!(btf.numbered("nobody"), None);
}

#[test]
fn damage_is_an_error() {
    let whole = sample();
    assert_eq!(Btf::parse(Vec::new(), NAMES).unwrap_err(), BtfError::Header);
    assert_eq!(Btf::parse(vec![0; 64], NAMES).unwrap_err(), BtfError::Header);
    for len in 24..whole.len() {
        assert_eq!(Btf::parse(whole[..len].to_vec(), NAMES).unwrap_err(), BtfError::Short);
    }
    let mut unknown = whole;
    unknown[24 + 7] = 0x1f;
    assert_eq!(Btf::parse(unknown, NAMES).unwrap_err(), BtfError::Kind(0x1f));
}

proptest! {
    #[test]
    fn any_damage_ends(changes in proptest::collection::vec((0_usize..400, any::<u8>()), 0..12)) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(btf) = Btf::parse(bytes, NAMES) {
            for name in ["first", "in_union", "list", "nothing"] {
                let _ = btf.member("outer", name);
            }
            let _ = btf.numbered("do_it").map(|it| it.alone());
            let _ = btf.enumerator("outer", "first");
            let _ = (btf.parameters("do_it"), btf.parameters("hook_t"), btf.struct_size("int"));
        }
    }

    #[test]
    fn any_bytes_end(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if bytes.len() > 24 {
            bytes[..4].copy_from_slice(&[0x9f, 0xeb, 1, 0]);
            bytes[4..8].copy_from_slice(&24_u32.to_le_bytes());
        }
        let _ = Btf::parse(bytes, NAMES);
    }
}
