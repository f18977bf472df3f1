//! Meaning of the options of each program: the tables and the lookup in them.
//!
//! To add a program, add a line to its table in `programs/`: its names, separated by commas (`mysql*` is a prefix), then
//! its options by form (see `forms.rs`), separated by spaces. A subcommand has its own line (`docker login`).

mod cloud;
mod containers;
mod crypto;
mod databases;
mod developer;
mod network;
mod system;
mod wrappers;

use crate::forms::{self, FormRow, Rules};

const TABLES: [&[FormRow]; 8] = [
    cloud::TABLE,
    containers::TABLE,
    crypto::TABLE,
    databases::TABLE,
    developer::TABLE,
    network::TABLE,
    system::TABLE,
    wrappers::TABLE,
];

/// Slots of the index: one and a half times the number of names.
const SLOTS: usize = 1024;
/// Precedes each line of the packed tables, and follows the last one.
const LINE: u8 = 0xff;

/// The tables in one piece, a fraction of their size: [`LINE`], the names, the rules ([`Rules`]), and so on.
static PACKED: [u8; SIZE] = pack();
const SIZE: usize = size();

/// Offset of each name in [`PACKED`], in the slot of the name's hash or in the next free one. 0: the slot is free.
static INDEX: [u16; SLOTS] = index();

/// Lengths of the families' names, by first letter: bit N if a name has N + 1 bytes before its `*`.
static FAMILIES: [u32; 32] = families();
/// Bytes of the longest of these names, at most.
const LONGEST: usize = 32;

const fn step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

const fn slot(hash: u32) -> usize {
    (hash ^ hash >> 15) as usize % SLOTS
}

const SEED: u32 = 0x811c_9dc5;

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which checks it")]
const fn size() -> usize {
    let (mut size, mut table) = (1, 0);
    while table < TABLES.len() {
        let mut line = 0;
        while line < TABLES[table].len() {
            let (names, groups) = TABLES[table][line];
            size += 1 + names.len();
            let mut group = 0;
            while group < groups.len() {
                size += 1 + groups[group].1.len();
                group += 1;
            }
            line += 1;
        }
        table += 1;
    }
    size
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which checks it")]
const fn put(packed: &mut [u8; SIZE], at: usize, text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut offset = 0;
    while offset < bytes.len() {
        assert!(bytes[offset].is_ascii(), "the tables are ASCII");
        packed[at + offset] = bytes[offset];
        offset += 1;
    }
    at + offset
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which checks it")]
const fn pack() -> [u8; SIZE] {
    let mut packed = [LINE; SIZE];
    let (mut at, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut line = 0;
        while line < TABLES[table].len() {
            let (names, groups) = TABLES[table][line];
            at = put(&mut packed, at + 1, names);
            let mut group = 0;
            while group < groups.len() {
                let (form, options) = groups[group];
                packed[at] = forms::PACKED + form as u8;
                at = put(&mut packed, at + 1, options);
                group += 1;
            }
            line += 1;
        }
        table += 1;
    }
    packed
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which checks it")]
#[expect(clippy::cast_possible_truncation, reason = "asserted before")]
const fn index() -> [u16; SLOTS] {
    assert!(SIZE < u16::MAX as usize, "the index has 16 bits");
    let mut index = [0; SLOTS];
    let mut at = 0;
    while at < SIZE {
        // The byte before a name.
        let (mut end, mut hash) = (at + 1, SEED);
        while end < SIZE && PACKED[end] < forms::PACKED && PACKED[end] != b',' {
            hash = step(hash, PACKED[end]);
            end += 1;
        }
        if end < SIZE {
            let mut free = slot(hash);
            while index[free] != 0 {
                free = (free + 1) % SLOTS;
            }
            index[free] = at as u16 + 1;
        }
        if end < SIZE && PACKED[end] != b',' {
            while PACKED[end] != LINE {
                end += 1;
            }
        }
        at = end;
    }
    index
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which checks it")]
const fn families() -> [u32; 32] {
    let mut lengths = [0; 32];
    let mut slot = 0;
    while slot < SLOTS {
        let begin = INDEX[slot] as usize;
        let mut end = begin;
        while begin > 0 && PACKED[end] != b',' && PACKED[end] < forms::PACKED {
            end += 1;
        }
        if end > begin && PACKED[end - 1] == b'*' {
            let len = end - 1 - begin;
            assert!(len > 1 && len <= LONGEST, "a family has two letters or more");
            lengths[PACKED[begin] as usize % 32] |= 1 << (len - 1);
        }
        slot += 1;
    }
    lengths
}

/// A program or subcommand of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) rules: Rules,
    name: &'static [u8],
    /// The name under which its subcommands are listed: `docker` for `podman`.
    first: &'static [u8],
}

/// Whether a name ends before this byte.
fn ends_name(byte: u8) -> bool {
    byte == b',' || byte >= forms::PACKED
}

/// The name at this offset.
fn name_at(text: &'static [u8]) -> &'static [u8] {
    let end = text.iter().position(|&byte| ends_name(byte));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// A program, or a subcommand of one.
fn lookup(program: &[u8], sub: Option<&str>) -> Option<Program> {
    let bytes = program.iter().copied();
    let hash = match sub {
        None => bytes.fold(SEED, step),
        Some(sub) => bytes.chain([b' ']).chain(sub.bytes()).fold(SEED, step),
    };
    match sub {
        None => find(hash, [program, b"", b""]),
        Some(sub) => find(hash, [program, b" ", sub.as_bytes()]),
    }
}

/// The line of the name with this hash. `parts`: the name.
fn find(hash: u32, parts: [&[u8]; 3]) -> Option<Program> {
    let mut at = slot(hash);
    for _ in 0..SLOTS {
        let begin = usize::from(*INDEX.get(at)?);
        if begin == 0 {
            return None;
        }
        let text = PACKED.get(begin..)?;
        let rest = parts.iter().try_fold(text, |text, part| text.strip_prefix(*part));
        if rest.is_some_and(|rest| rest.first().is_some_and(|&end| ends_name(end))) {
            return line_of(begin, name_at(text));
        }
        at = (at + 1) % SLOTS;
    }
    None
}

/// The line with a name at this offset.
fn line_of(begin: usize, name: &'static [u8]) -> Option<Program> {
    let start = PACKED.get(..begin)?.iter().rposition(|&byte| byte == LINE)? + 1;
    let line = PACKED.get(start..)?;
    let end = line.iter().position(|&byte| byte == LINE)?;
    let rules = line.get(..end)?.iter().position(|&byte| byte >= forms::PACKED).unwrap_or(end);
    Some(Program { rules: Rules(line.get(rules..end)?), name, first: name_at(line) })
}

/// The program that a word names: by path, with a version suffix, or as a login shell.
pub(crate) fn program(word: &str) -> Option<Program> {
    let name = word.rsplit('/').next().unwrap_or(word);
    if name.is_empty()
        || name.len() > 40
        || name.bytes().any(|byte| matches!(byte, b' ' | b'=' | b'@' | b':'))
    {
        return None;
    }
    let name = name.strip_prefix('-').unwrap_or(name);
    lookup(name.as_bytes(), None).or_else(|| {
        let ends = [".sh", ".py", ".exe", ".pl", ".real", ".bin"];
        let bare = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let plain = bare.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        let bare = if bare.len() < name.len() { lookup(bare.as_bytes(), None) } else { None };
        let versioned = plain.len() > 1 && plain.len() < name.len();
        let exact = bare.or_else(|| if versioned { lookup(plain.as_bytes(), None) } else { None });
        exact.or_else(|| family(name))
    })
}

/// `mysqldump` matches `mysql*`: the longest prefix wins.
fn family(name: &str) -> Option<Program> {
    let (mut longest, mut hash) = (None, SEED);
    let lengths = name.bytes().next().and_then(|first| FAMILIES.get(usize::from(first % 32)))?;
    for (at, &byte) in name.as_bytes().iter().take(LONGEST).enumerate() {
        hash = step(hash, byte);
        if lengths >> at & 1 == 1
            && let Some(found) = find(step(hash, b'*'), [name.as_bytes().get(..=at)?, b"*", b""])
        {
            longest = Some(found);
        }
    }
    longest
}

/// A subcommand.
pub(crate) fn subcommand(of: Program, word: &str) -> Option<Program> {
    lookup(of.name, Some(word)).or_else(|| lookup(of.first, Some(word)))
}

#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static FormRow> {
    TABLES.iter().flat_map(|table| table.iter())
}
