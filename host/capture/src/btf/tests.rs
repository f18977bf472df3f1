use super::*;
use proptest::prelude::*;

/// Writes BTF.
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

    /// Adds a type; `trailing`: the words that follow its `struct btf_type`.
    fn add(&mut self, name: &str, kind: u8, vlen: u32, size_or_type: u32, trailing: &[u32]) {
        let name = self.name(name);
        self.types.extend([name, (kind as u32) << 24 | vlen, size_or_type]);
        self.types.extend(trailing);
    }

    fn members(&mut self, name: &str, kind: u8, size: u32, members: &[(&str, u32, u32)]) {
        let mut trailing = Vec::new();
        for &(name, type_id, bits) in members {
            trailing.extend([self.name(name), type_id, bits]);
        }
        self.add(name, kind, members.len() as u32, size, &trailing);
    }

    pub(crate) fn enumeration(&mut self, name: &str, values: &[(String, u32)]) {
        let mut trailing = Vec::new();
        for (name, value) in values {
            trailing.extend([self.name(name), *value]);
        }
        self.add(name, kind::ENUM, values.len() as u32, 4, &trailing);
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

/// BTF with an int, a struct that contains an anonymous union, a pointer and a function. The comments are type ids.
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
fn members_of_anonymous_members_are_found() {
    let btf = Btf::parse(sample(), NAMES).unwrap();
    let member = |name| btf.member("outer", name);
    assert_eq!(member("first"), Some(Member { offset: 0, size: Some(4) }));
    assert_eq!(member("in_union"), Some(Member { offset: 8, size: Some(4) }));
    assert_eq!(member("other"), Some(Member { offset: 8, size: Some(8) }));
    assert_eq!(member("list"), Some(Member { offset: 16, size: Some(12) }));
    assert_eq!(member("missing"), None);
    assert_eq!(btf.member("unknown", "first"), None);
    assert_eq!(btf.struct_size("outer"), Some(40));
}

#[test]
fn parameters_of_functions_and_of_function_pointers() {
    let btf = Btf::parse(sample(), NAMES).unwrap();
    assert_eq!(btf.parameter_count("do_it"), Some(2));
    assert_eq!(btf.parameter_count("hook_t"), Some(2));
    assert_eq!(btf.parameter_count("outer"), None);
    let pointers = [0, 1, 2, u32::MAX].map(|index| btf.is_pointer_parameter("hook_t", index));
    assert_eq!(pointers, [false, true, false, false]);
    assert!(!btf.is_pointer_parameter("outer", 0) && !btf.is_pointer_parameter("unknown", 0));
}

#[test]
fn enum_values() {
    let mut writer = BtfWriter::default();
    let values = [writer.name("first_id"), 0, writer.name("second_id"), 7];
    writer.add("outer", kind::ENUM, 2, 4, &values);
    let btf = Btf::parse(writer.finish(), NAMES).unwrap();
    assert_eq!(btf.enum_value("outer", "second_id"), Some(7));
    assert_eq!(btf.enum_value("outer", "third_id"), None);
    assert_eq!(btf.enum_value("int", "first_id"), None);
}

#[test]
fn look_up_in_a_recursive_type_terminates() {
    let mut writer = BtfWriter::default();
    writer.members("outer", kind::STRUCT, 8, &[("", 1, 0); 600]);
    writer.add("hook_t", kind::TYPEDEF, 0, 2, &[]);
    let btf = Btf::parse(writer.finish(), NAMES).unwrap();
    assert_eq!(btf.member("outer", "first"), None);
    assert_eq!(btf.parameter_count("hook_t"), None);
}

#[test]
fn minimal_btf_keeps_the_type_id() {
    let btf = Btf::parse(sample(), NAMES).unwrap();
    for name in ["do_it", "hook_t"] {
        let found = btf.attach_type(name).unwrap();
        let minimal = found.minimal_btf();
        assert_eq!(Btf::parse(minimal.clone(), NAMES).unwrap().attach_type(name), Some(found));
        assert!(aya::Btf::parse(&minimal, aya::Endianness::default()).is_ok());
    }
    assert_eq!(btf.attach_type("outer"), None, "a struct");
    assert_eq!(btf.attach_type("unknown"), None);
}

#[test]
fn invalid_btf_is_rejected() {
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
    fn corrupted_btf_does_not_panic(changes in proptest::collection::vec((0_usize..400, any::<u8>()), 0..12)) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(btf) = Btf::parse(bytes, NAMES) {
            for name in ["first", "in_union", "list", "missing"] {
                let _ = btf.member("outer", name);
            }
            let _ = btf.attach_type("do_it").map(|it| it.minimal_btf());
            let _ = btf.enum_value("outer", "first");
            let _ = (btf.parameter_count("do_it"), btf.parameter_count("hook_t"), btf.struct_size("int"));
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if bytes.len() > 24 {
            bytes[..4].copy_from_slice(&[0x9f, 0xeb, 1, 0]);
            bytes[4..8].copy_from_slice(&24_u32.to_le_bytes());
        }
        let _ = Btf::parse(bytes, NAMES);
    }
}
