//! What each program means by its options: the tables, and how a program is found in them.
//!
//! To add a program, add a line to the table of its field in `programs/`: its names, separated by commas, then its
//! options by form ([`Form`]), separated by blanks. A subcommand has a line of its own (`docker login`).

mod cloud;
mod containers;
mod crypto;
mod databases;
mod developer;
mod network;
mod system;
mod wrappers;

use crate::forms::{Row, Rules};

const TABLES: [&[Row]; 8] = [
    cloud::TABLE,
    containers::TABLE,
    crypto::TABLE,
    databases::TABLE,
    developer::TABLE,
    network::TABLE,
    system::TABLE,
    wrappers::TABLE,
];

/// Slots of the index: a power of two, at least twice the names.
const SLOTS: usize = 4096;

/// The line of each name plus one, at the name's hash or in the next slot that is free.
static INDEX: [u16; SLOTS] = index();

const fn step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

const fn slot(hash: u32) -> usize {
    (hash ^ hash >> 15) as usize % SLOTS
}

const SEED: u32 = 0x811c_9dc5;

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which checks it")]
const fn index() -> [u16; SLOTS] {
    let mut index = [0; SLOTS];
    let mut line = 0;
    let mut table = 0;
    while table < TABLES.len() {
        let mut row = 0;
        while row < TABLES[table].len() {
            line += 1;
            let names = TABLES[table][row].0.as_bytes();
            let (mut at, mut hash) = (0, SEED);
            while at <= names.len() {
                if at == names.len() || names[at] == b',' {
                    let mut free = slot(hash);
                    while index[free] != 0 {
                        free = (free + 1) % SLOTS;
                    }
                    index[free] = line;
                    hash = SEED;
                } else {
                    hash = step(hash, names[at]);
                }
                at += 1;
            }
            row += 1;
        }
        table += 1;
    }
    index
}

fn row(line: u16) -> Option<&'static Row> {
    let mut at = usize::from(line).checked_sub(1)?;
    for table in TABLES {
        if let Some(row) = table.get(at) {
            return Some(row);
        }
        at -= table.len();
    }
    None
}

/// A program, or a subcommand, that is in a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) rules: Rules,
    name: &'static str,
    /// The name that stands for it where its subcommands are listed: `docker` for `podman`.
    first: &'static str,
}

/// A program, or a program's subcommand.
fn lookup(program: &str, sub: Option<&str>) -> Option<Program> {
    let bytes = program.bytes();
    let hash = match sub {
        None => bytes.fold(SEED, step),
        Some(sub) => bytes.chain([b' ']).chain(sub.bytes()).fold(SEED, step),
    };
    let is = |name: &&str| match sub {
        None => *name == program,
        Some(sub) => {
            let rest = name.strip_prefix(program).and_then(|rest| rest.strip_prefix(' '));
            rest == Some(sub)
        }
    };
    let mut at = slot(hash);
    for _ in 0..SLOTS {
        let &(names, rules) = row(*INDEX.get(at)?)?;
        if let Some(name) = names.split(',').find(is) {
            let first = names.split(',').next().unwrap_or(name);
            return Some(Program { rules, name, first });
        }
        at = (at + 1) % SLOTS;
    }
    None
}

/// The program that a word names: by path, with a version, as a login shell.
pub(crate) fn program(word: &str) -> Option<Program> {
    let name = word.rsplit('/').next().unwrap_or(word);
    if name.is_empty() || name.len() > 40 || name.contains([' ', '=', '@', ':']) {
        return None;
    }
    let name = name.strip_prefix('-').unwrap_or(name);
    lookup(name, None).or_else(|| {
        let ends = [".sh", ".py", ".exe", ".pl", ".real", ".bin"];
        let bare = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let plain = bare.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        let bare = if bare.len() < name.len() { lookup(bare, None) } else { None };
        let versioned = plain.len() > 1 && plain.len() < name.len();
        bare.or_else(|| if versioned { lookup(plain, None) } else { None })
    })
}

/// A subcommand.
pub(crate) fn subcommand(of: Program, word: &str) -> Option<Program> {
    lookup(of.name, Some(word)).or_else(|| lookup(of.first, Some(word)))
}

#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().flat_map(|table| table.iter())
}
