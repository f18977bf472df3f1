//! A parser for BTF, the kernel's type information: offsets of struct members and ids of functions.
//!
//! It is total: for any bytes, it terminates and does not panic. It indexes only the requested names, in one pass,
//! which is ten times as fast as a look-up of each field with a general library.
//!
//! See <https://docs.kernel.org/bpf/btf.html> for the format.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
/// Size of `struct btf_type`, in bytes.
const TYPE_LEN: usize = 12;
/// Maximum nesting of typedefs, modifiers and anonymous members.
const MAX_DEPTH: u32 = 16;
/// Maximum number of members that one look-up visits; `task_struct` has about 300.
const MAX_MEMBERS: u32 = 100_000;

mod kind {
    pub(super) const INT: u8 = 1;
    pub(super) const PTR: u8 = 2;
    pub(super) const ARRAY: u8 = 3;
    pub(super) const STRUCT: u8 = 4;
    pub(super) const UNION: u8 = 5;
    pub(super) const ENUM: u8 = 6;
    pub(super) const FWD: u8 = 7;
    pub(super) const TYPEDEF: u8 = 8;
    pub(super) const VOLATILE: u8 = 9;
    pub(super) const CONST: u8 = 10;
    pub(super) const RESTRICT: u8 = 11;
    pub(super) const FUNC: u8 = 12;
    pub(super) const FUNC_PROTO: u8 = 13;
    pub(super) const VAR: u8 = 14;
    pub(super) const DATASEC: u8 = 15;
    pub(super) const FLOAT: u8 = 16;
    pub(super) const DECL_TAG: u8 = 17;
    pub(super) const TYPE_TAG: u8 = 18;
    pub(super) const ENUM64: u8 = 19;
}

/// Reason why bytes cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BtfError {
    /// The header is not one of BTF version 1 in this machine's byte order.
    #[error("invalid BTF header")]
    Header,
    /// A section ends after the end of the data.
    #[error("truncated BTF")]
    Short,
    /// The kind of a type is unknown, so its size is too.
    #[error("unknown BTF kind {0}")]
    Kind(u8),
}

/// A member of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Offset from the beginning of the struct, in bytes.
    pub(crate) offset: u32,
    /// Size in bytes. `None`: its type has no size.
    pub(crate) size: Option<u32>,
}

/// A function or typedef that a program attaches to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttachType {
    pub(crate) name: String,
    kind: u8,
    id: u32,
}

impl AttachType {
    /// Returns BTF in which only this type exists, with its id in the kernel. aya needs only the id to attach a
    /// program; parsing all types of the kernel would take time and 20 MB.
    pub(crate) fn minimal_btf(&self) -> Vec<u8> {
        let types_len = (self.id as usize).saturating_mul(TYPE_LEN);
        let strings = [b"\0", self.name.as_bytes(), b"\0"].concat();
        let mut bytes = Vec::with_capacity(HEADER_LEN + types_len + strings.len());
        let mut push = |words: &[u32]| {
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        };
        push(&[u32::from(MAGIC) | 1 << 16, HEADER_LEN as u32, 0, types_len as u32]);
        push(&[types_len as u32, strings.len() as u32]);
        (1..self.id).for_each(|_| push(&[0, u32::from(kind::FWD) << 24, 0]));
        push(&[1, u32::from(self.kind) << 24, 0]);
        bytes.extend(strings);
        bytes
    }
}

/// Parsed BTF.
#[derive(Debug)]
pub(crate) struct Btf {
    bytes: Vec<u8>,
    /// Offset of the string section in `bytes`.
    strings: usize,
    /// The offset in `bytes` of each type; index: type id minus 1.
    type_offsets: Vec<u32>,
    /// The ids of the requested types, by name.
    ids: HashMap<String, Vec<u32>>,
}

/// `struct btf_type`.
#[derive(Clone, Copy)]
struct Type {
    /// Offset in [`Btf::bytes`].
    offset: usize,
    kind: u8,
    vlen: u32,
    kind_flag: bool,
    name_off: u32,
    size_or_type: u32,
}

impl Type {
    fn is_composite(&self) -> bool {
        matches!(self.kind, kind::STRUCT | kind::UNION)
    }
}

impl Btf {
    /// Parses BTF. Only types with these names can be looked up later.
    pub(crate) fn parse(bytes: Vec<u8>, names: &[&str]) -> Result<Btf, BtfError> {
        let word = |at| read_u32(&bytes, at).ok_or(BtfError::Header);
        let magic = word(0)?;
        if magic & 0xffff != MAGIC as u32 || magic >> 16 & 0xff != 1 {
            return Err(BtfError::Header);
        }
        let header_len = word(4)? as usize;
        let [types, types_len, strings, strings_len] = [word(8)?, word(12)?, word(16)?, word(20)?];
        let section = |offset: u32| header_len.checked_add(offset as usize).ok_or(BtfError::Short);
        let (types, strings) = (section(types)?, section(strings)?);
        let types_end = types.checked_add(types_len as usize).ok_or(BtfError::Short)?;
        let strings_end = strings.checked_add(strings_len as usize).ok_or(BtfError::Short)?;
        if header_len < HEADER_LEN || types_end > bytes.len() || strings_end > bytes.len() {
            return Err(BtfError::Short);
        }
        let mut btf = Btf { bytes, strings, type_offsets: Vec::new(), ids: HashMap::new() };
        btf.bytes.truncate(types_end.max(strings_end));
        for &name in names {
            btf.ids.insert(name.to_owned(), Vec::new());
        }
        btf.index_types(types, types_end)?;
        Ok(btf)
    }

    fn index_types(&mut self, mut at: usize, end: usize) -> Result<(), BtfError> {
        self.type_offsets.reserve(end.saturating_sub(at) / 24);
        while at < end {
            let Some(found) = self.read_type(at) else { return Err(BtfError::Short) };
            let offset = u32::try_from(at).map_err(|_too_large| BtfError::Short)?;
            self.type_offsets.push(offset);
            let id = u32::try_from(self.type_offsets.len()).map_err(|_too_many| BtfError::Short)?;
            let indexed = [kind::STRUCT, kind::UNION, kind::TYPEDEF, kind::FUNC, kind::ENUM];
            if indexed.contains(&found.kind) {
                let name = read_string(&self.bytes, self.strings, found.name_off);
                if let Some(ids) = name.and_then(|name| self.ids.get_mut(name)) {
                    ids.push(id);
                }
            }
            at = at.saturating_add(TYPE_LEN).saturating_add(trailing_len(found)?);
        }
        Ok(())
    }

    fn read_type(&self, at: usize) -> Option<Type> {
        let info = read_u32(&self.bytes, at.checked_add(4)?)?;
        Some(Type {
            offset: at,
            kind: (info >> 24 & 0x1f) as u8,
            vlen: info & 0xffff,
            kind_flag: info >> 31 != 0,
            name_off: read_u32(&self.bytes, at)?,
            size_or_type: read_u32(&self.bytes, at.checked_add(8)?)?,
        })
    }

    fn type_by_id(&self, id: u32) -> Option<Type> {
        let index = usize::try_from(id.checked_sub(1)?).ok()?;
        self.read_type(*self.type_offsets.get(index)? as usize)
    }

    fn types_by_name(&self, name: &str) -> impl Iterator<Item = Type> {
        let ids = self.ids.get(name).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|&id| self.type_by_id(id))
    }

    /// Returns the function or typedef with this name.
    pub(crate) fn attach_type(&self, name: &str) -> Option<AttachType> {
        self.ids.get(name)?.iter().find_map(|&id| {
            let kind = self.type_by_id(id)?.kind;
            let is_attachable = matches!(kind, kind::FUNC | kind::TYPEDEF);
            is_attachable.then(|| AttachType { name: name.to_owned(), kind, id })
        })
    }

    /// Returns the member with this name of a struct or union, including those of anonymous members. Bit fields are not
    /// found, because they cannot be read as bytes.
    pub(crate) fn member(&self, of: &str, name: &str) -> Option<Member> {
        self.types_by_name(of)
            .filter(Type::is_composite)
            .find_map(|found| self.member_of(found, name, MAX_DEPTH, &mut { MAX_MEMBERS }))
    }

    /// `budget`: number of members that may still be visited. It bounds the time for structs that contain each other.
    fn member_of(&self, of: Type, name: &str, depth: u32, budget: &mut u32) -> Option<Member> {
        let depth = depth.checked_sub(1)?;
        (0..of.vlen).find_map(|index| {
            *budget = budget.checked_sub(1)?;
            let at = entry(of, index, 12)?;
            let type_id = read_u32(&self.bytes, at.checked_add(4)?)?;
            let offset = read_u32(&self.bytes, at.checked_add(8)?)?;
            let (bits, width) =
                if of.kind_flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            let found = read_string(&self.bytes, self.strings, read_u32(&self.bytes, at)?)?;
            if found == name {
                let is_bit_field = width != 0 || bits % 8 != 0;
                return (!is_bit_field)
                    .then(|| Member { offset: bits / 8, size: self.type_size(type_id) });
            }
            if !found.is_empty() {
                return None;
            }
            let inner = self.skip_modifiers(type_id).filter(Type::is_composite)?;
            let member = self.member_of(inner, name, depth, budget)?;
            Some(Member { offset: member.offset.checked_add(bits / 8)?, ..member })
        })
    }

    /// Resolves typedefs and modifiers.
    fn skip_modifiers(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            let found = self.type_by_id(id)?;
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = found.size_or_type
                }
                _ => return Some(found),
            }
        }
        None
    }

    fn type_size(&self, mut id: u32) -> Option<u32> {
        let mut count = 1_u32;
        for _ in 0..MAX_DEPTH {
            let found = self.skip_modifiers(id)?;
            match found.kind {
                kind::INT
                | kind::STRUCT
                | kind::UNION
                | kind::ENUM
                | kind::ENUM64
                | kind::FLOAT => return found.size_or_type.checked_mul(count),
                kind::PTR => return count.checked_mul(8),
                kind::ARRAY => {
                    id = read_u32(&self.bytes, found.offset.checked_add(12)?)?;
                    let len = read_u32(&self.bytes, found.offset.checked_add(20)?)?;
                    count = count.checked_mul(len)?;
                }
                _ => return None,
            }
        }
        None
    }

    /// Returns the size in bytes of the struct or union with this name.
    pub(crate) fn struct_size(&self, name: &str) -> Option<u32> {
        self.types_by_name(name).find(Type::is_composite).map(|found| found.size_or_type)
    }

    /// Returns the value of an enumerator of the enum with the name `of`.
    pub(crate) fn enum_value(&self, of: &str, name: &str) -> Option<u32> {
        self.types_by_name(of).filter(|found| found.kind == kind::ENUM).find_map(|found| {
            (0..found.vlen).find_map(|index| {
                let at = entry(found, index, 8)?;
                let found = read_string(&self.bytes, self.strings, read_u32(&self.bytes, at)?)?;
                (found == name).then(|| read_u32(&self.bytes, at.checked_add(4)?)).flatten()
            })
        })
    }

    /// Returns the number of parameters of a function, or of the function that a typedef points to.
    pub(crate) fn parameter_count(&self, name: &str) -> Option<u32> {
        self.prototype(name).map(|found| found.vlen)
    }

    /// Returns whether the parameter with this index is a pointer.
    pub(crate) fn is_pointer_parameter(&self, name: &str, index: u32) -> bool {
        let is_pointer = || {
            let found = self.prototype(name).filter(|found| index < found.vlen)?;
            let at = entry(found, index, 8)?.checked_add(4)?;
            Some(self.skip_modifiers(read_u32(&self.bytes, at)?)?.kind == kind::PTR)
        };
        is_pointer().unwrap_or(false)
    }

    fn prototype(&self, name: &str) -> Option<Type> {
        self.types_by_name(name).find_map(|found| {
            let mut found = match found.kind {
                kind::FUNC | kind::TYPEDEF => self.skip_modifiers(found.size_or_type)?,
                _ => return None,
            };
            if found.kind == kind::PTR {
                found = self.skip_modifiers(found.size_or_type)?;
            }
            (found.kind == kind::FUNC_PROTO).then_some(found)
        })
    }
}

/// Returns the offset of an entry of `len` bytes in the array that follows a `struct btf_type`.
fn entry(of: Type, index: u32, len: usize) -> Option<usize> {
    of.offset.checked_add(TYPE_LEN)?.checked_add(usize::try_from(index).ok()? * len)
}

/// Returns the number of bytes that follow the `struct btf_type` of this type.
fn trailing_len(of: Type) -> Result<usize, BtfError> {
    let vlen = of.vlen as usize;
    Ok(match of.kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => vlen * 12,
        kind::ENUM | kind::FUNC_PROTO => vlen * 8,
        0 => return Err(BtfError::Kind(0)),
        other if other > kind::ENUM64 => return Err(BtfError::Kind(other)),
        _ => 0,
    })
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn read_string(bytes: &[u8], strings: usize, offset: u32) -> Option<&str> {
    let rest = bytes.get(strings.checked_add(offset as usize)?..)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

#[cfg(test)]
pub(super) mod tests;
