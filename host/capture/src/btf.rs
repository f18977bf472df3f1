//! A scanner of the kernel's type information: where a struct keeps a field.
//!
//! It reads what the kernel says about itself, but a file all the same, so it is total: whatever the bytes are, it ends
//! and never panics. It looks only at the names that it is asked for, in one pass, because looking up each field with a
//! general library took ten times as long.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// Bytes that every type has.
const TYPE: usize = 12;
/// Typedefs, qualifiers and unnamed members inside each other that are followed at most.
const DEPTH: u32 = 16;
/// Members that one look-up looks at, at most; `task_struct` has some 300.
const MOST_MEMBERS: u32 = 100_000;

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

/// Why the bytes are no type information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BtfError {
    /// The header is not one of BTF in this machine's byte order.
    #[error("it does not begin like BTF")]
    Header,
    /// A section reaches beyond the end.
    #[error("it is cut short")]
    Short,
    /// A kind of type that is newer than this program.
    #[error("it has a type of the unknown kind {0}")]
    Kind(u8),
}

/// A field of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Bytes from the struct's beginning.
    pub(crate) offset: u32,
    /// Its size in bytes, when its type has one.
    pub(crate) size: Option<u32>,
}

/// A function, or a typedef, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) name: String,
    kind: u8,
    number: u32,
}

impl Numbered {
    /// Type information that has it at its number, and nothing else: to a library that wants to know no more, all types
    /// of a kernel are work, and 20 MB.
    pub(crate) fn alone(&self) -> Vec<u8> {
        let types = (self.number as usize).saturating_mul(TYPE);
        let strings = [b"\0", self.name.as_bytes(), b"\0"].concat();
        let mut bytes = Vec::with_capacity(HEADER + types + strings.len());
        let mut words = |words: &[u32]| {
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        };
        words(&[u32::from(MAGIC) | 1 << 16, HEADER as u32, 0, types as u32]);
        words(&[types as u32, strings.len() as u32]);
        (1..self.number).for_each(|_| words(&[0, u32::from(kind::FWD) << 24, 0]));
        words(&[1, u32::from(self.kind) << 24, 0]);
        bytes.extend(strings);
        bytes
    }
}

/// The types of the running kernel.
#[derive(Debug)]
pub(crate) struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Where each type begins, by its number less one.
    starts: Vec<u32>,
    /// The numbers of the types that were asked for, by name.
    named: HashMap<String, Vec<u32>>,
}

#[derive(Clone, Copy)]
struct Type {
    at: usize,
    kind: u8,
    count: u32,
    bit_fields: bool,
    name: u32,
    /// Its size, or the number of the type that it stands for.
    size_or_type: u32,
}

impl Btf {
    /// Reads type information; only types of these names can be asked for later.
    pub(crate) fn parse(bytes: Vec<u8>, names: &[&str]) -> Result<Btf, BtfError> {
        let word = |at| word(&bytes, at).ok_or(BtfError::Header);
        let magic = word(0)?;
        if magic & 0xffff != MAGIC as u32 || magic >> 16 & 0xff != 1 {
            return Err(BtfError::Header);
        }
        let header = word(4)? as usize;
        let [types, types_len, strings, strings_len] = [word(8)?, word(12)?, word(16)?, word(20)?];
        let start = |at: u32| header.checked_add(at as usize).ok_or(BtfError::Short);
        let (types, strings) = (start(types)?, start(strings)?);
        let types_end = types.checked_add(types_len as usize).ok_or(BtfError::Short)?;
        let strings_end = strings.checked_add(strings_len as usize).ok_or(BtfError::Short)?;
        if header < HEADER || types_end > bytes.len() || strings_end > bytes.len() {
            return Err(BtfError::Short);
        }
        let mut btf = Btf { bytes, strings, starts: Vec::new(), named: HashMap::new() };
        btf.bytes.truncate(types_end.max(strings_end));
        for &name in names {
            btf.named.insert(name.to_owned(), Vec::new());
        }
        btf.scan(types, types_end)?;
        Ok(btf)
    }

    fn scan(&mut self, mut at: usize, end: usize) -> Result<(), BtfError> {
        self.starts.reserve(end.saturating_sub(at) / 24);
        while at < end {
            let Some(found) = self.read(at) else { return Err(BtfError::Short) };
            let start = u32::try_from(at).map_err(|_too_large| BtfError::Short)?;
            self.starts.push(start);
            let number = u32::try_from(self.starts.len()).map_err(|_too_many| BtfError::Short)?;
            let asked_for = [kind::STRUCT, kind::UNION, kind::TYPEDEF, kind::FUNC, kind::ENUM];
            if asked_for.contains(&found.kind) {
                let name = string(&self.bytes, self.strings, found.name);
                if let Some(numbers) = name.and_then(|name| self.named.get_mut(name)) {
                    numbers.push(number);
                }
            }
            at = at.saturating_add(12).saturating_add(tail(found)?);
        }
        Ok(())
    }

    fn read(&self, at: usize) -> Option<Type> {
        let info = word(&self.bytes, at.checked_add(4)?)?;
        Some(Type {
            at,
            kind: (info >> 24 & 0x1f) as u8,
            count: info & 0xffff,
            bit_fields: info >> 31 != 0,
            name: word(&self.bytes, at)?,
            size_or_type: word(&self.bytes, at.checked_add(8)?)?,
        })
    }

    fn by_number(&self, number: u32) -> Option<Type> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.read(*self.starts.get(index)? as usize)
    }

    fn named(&self, name: &str) -> impl Iterator<Item = Type> {
        let numbers = self.named.get(name).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(|&number| self.by_number(number))
    }

    /// The function or typedef of this name.
    pub(crate) fn numbered(&self, name: &str) -> Option<Numbered> {
        self.named.get(name)?.iter().find_map(|&number| {
            let kind = self.by_number(number)?.kind;
            let is_one = matches!(kind, kind::FUNC | kind::TYPEDEF);
            is_one.then(|| Numbered { name: name.to_owned(), kind, number })
        })
    }

    /// The field of this name, also inside unnamed members.
    pub(crate) fn member(&self, of: &str, name: &str) -> Option<Member> {
        self.named(of)
            .filter(|found| matches!(found.kind, kind::STRUCT | kind::UNION))
            .find_map(|found| self.member_of(found, name, DEPTH, &mut { MOST_MEMBERS }))
    }

    /// `left`: members that may still be looked at. Without it, structs that contain each other would take for ever.
    fn member_of(&self, of: Type, name: &str, depth: u32, left: &mut u32) -> Option<Member> {
        let depth = depth.checked_sub(1)?;
        (0..of.count).find_map(|index| {
            *left = left.checked_sub(1)?;
            let at = of.at.checked_add(12)?.checked_add(usize::try_from(index).ok()? * 12)?;
            let type_number = word(&self.bytes, at.checked_add(4)?)?;
            let place = word(&self.bytes, at.checked_add(8)?)?;
            let (bits, width) =
                if of.bit_fields { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
            let found = string(&self.bytes, self.strings, word(&self.bytes, at)?)?;
            if found == name {
                // A bit field cannot be read as bytes.
                let whole = width == 0 && bits % 8 == 0;
                return whole.then(|| Member { offset: bits / 8, size: self.size(type_number) });
            }
            if !found.is_empty() {
                return None;
            }
            let inner = self.resolve(type_number)?;
            if !matches!(inner.kind, kind::STRUCT | kind::UNION) {
                return None;
            }
            let member = self.member_of(inner, name, depth, left)?;
            Some(Member { offset: member.offset.checked_add(bits / 8)?, ..member })
        })
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut number: u32) -> Option<Type> {
        for _ in 0..DEPTH {
            let found = self.by_number(number)?;
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    number = found.size_or_type
                }
                _ => return Some(found),
            }
        }
        None
    }

    fn size(&self, mut number: u32) -> Option<u32> {
        let mut times = 1_u32;
        for _ in 0..DEPTH {
            let found = self.resolve(number)?;
            match found.kind {
                kind::INT
                | kind::STRUCT
                | kind::UNION
                | kind::ENUM
                | kind::ENUM64
                | kind::FLOAT => return found.size_or_type.checked_mul(times),
                kind::PTR => return times.checked_mul(8),
                kind::ARRAY => {
                    number = word(&self.bytes, found.at.checked_add(12)?)?;
                    times = times.checked_mul(word(&self.bytes, found.at.checked_add(20)?)?)?;
                }
                _ => return None,
            }
        }
        None
    }

    /// Size in bytes of the struct of this name.
    pub(crate) fn struct_size(&self, name: &str) -> Option<u32> {
        self.named(name)
            .find(|found| matches!(found.kind, kind::STRUCT | kind::UNION))
            .map(|found| found.size_or_type)
    }

    /// The value that the enum has for this name.
    pub(crate) fn enumerator(&self, of: &str, name: &str) -> Option<u32> {
        self.named(of).filter(|found| found.kind == kind::ENUM).find_map(|found| {
            (0..found.count).find_map(|index| {
                let at = found.at.checked_add(12)?.checked_add(usize::try_from(index).ok()? * 8)?;
                let found = string(&self.bytes, self.strings, word(&self.bytes, at)?)?;
                (found == name).then(|| word(&self.bytes, at.checked_add(4)?)).flatten()
            })
        })
    }

    /// How many parameters the function, or the function that the typedef stands for, has.
    pub(crate) fn parameters(&self, name: &str) -> Option<u32> {
        self.prototype(name).map(|found| found.count)
    }

    /// Whether its parameter at this place, from 0 on, is a pointer.
    pub(crate) fn has_pointer_at(&self, name: &str, place: u32) -> bool {
        let is_pointer = || {
            let found = self.prototype(name).filter(|found| place < found.count)?;
            let at = found.at.checked_add(16)?.checked_add(usize::try_from(place).ok()? * 8)?;
            Some(self.resolve(word(&self.bytes, at)?)?.kind == kind::PTR)
        };
        is_pointer().unwrap_or(false)
    }

    fn prototype(&self, name: &str) -> Option<Type> {
        self.named(name).find_map(|found| {
            let mut found = match found.kind {
                kind::FUNC | kind::TYPEDEF => self.resolve(found.size_or_type)?,
                _ => return None,
            };
            if found.kind == kind::PTR {
                found = self.resolve(found.size_or_type)?;
            }
            (found.kind == kind::FUNC_PROTO).then_some(found)
        })
    }
}

/// Bytes that follow the 12 that every type has.
fn tail(of: Type) -> Result<usize, BtfError> {
    let count = of.count as usize;
    Ok(match of.kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => count * 12,
        kind::ENUM | kind::FUNC_PROTO => count * 8,
        0 => return Err(BtfError::Kind(0)),
        other if other > kind::ENUM64 => return Err(BtfError::Kind(other)),
        _ => 0,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn string(bytes: &[u8], strings: usize, at: u32) -> Option<&str> {
    let rest = bytes.get(strings.checked_add(at as usize)?..)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

#[cfg(test)]
pub(super) mod tests;
