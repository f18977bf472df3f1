//! `cargo xtask instructions`: counts what each BPF program of the committed object can execute.
//!
//! The counts are of the object, not of a run: a program executes a part of its instructions, and those of a function for
//! each call. They show which change made a program larger, on any machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// Bytes of an instruction.
const INSTRUCTION: usize = 8;
/// Operation codes.
const CALL: u8 = 0x85;
const LOAD_64: u8 = 0x18;
/// Ids of the helpers that read memory of any type.
const PROBE_READS: [i32; 2] = [112, 113];

/// What a function consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    instructions: usize,
    /// Calls of helpers, of which those that read memory.
    helper_calls: usize,
    probe_reads: usize,
    /// Calls of other functions of the object.
    function_calls: usize,
}

/// Prints a table of all functions, the largest first.
pub(crate) fn run(root: &Path) -> Result<()> {
    let path = root.join("artifacts/crypto-tracer.bpf.o");
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut functions: Vec<(String, Counts)> = functions(&bytes)?.into_iter().collect();
    functions.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.instructions));
    println!("| function | instructions | helper calls | of which reads | calls |");
    println!("|---|---|---|---|---|");
    for (name, counts) in functions {
        let Counts { instructions, helper_calls, probe_reads, function_calls } = counts;
        println!("| {name} | {instructions} | {helper_calls} | {probe_reads} | {function_calls} |");
    }
    Ok(())
}

fn functions(bytes: &[u8]) -> Result<BTreeMap<String, Counts>> {
    let file = object::File::parse(bytes)?;
    let mut all = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(index) = symbol.section_index() else { continue };
        let data = file.section_by_index(index)?.data()?;
        let start = usize::try_from(symbol.address())?;
        let end = start.saturating_add(usize::try_from(symbol.size())?);
        let code = data.get(start..end).context("a function outside of its section")?;
        if !code.is_empty() {
            all.insert(short(symbol.name()?), count(code));
        }
    }
    Ok(all)
}

/// The last word of a mangled name.
fn short(name: &str) -> String {
    if !name.starts_with("_R") {
        return name.to_owned();
    }
    let start = name.rfind(|c: char| c.is_ascii_digit()).map_or(0, |at| at + 1);
    name.get(start..).unwrap_or(name).to_owned()
}

fn count(code: &[u8]) -> Counts {
    let mut counts = Counts::default();
    let mut instructions = code.chunks_exact(INSTRUCTION);
    while let Some(instruction) = instructions.next() {
        counts.instructions += 1;
        let [operation, registers, _, _, a, b, c, d] = instruction else { continue };
        match (*operation, registers >> 4) {
            // Two slots.
            (LOAD_64, _) => _ = instructions.next(),
            (CALL, 0) => {
                counts.helper_calls += 1;
                let id = i32::from_le_bytes([*a, *b, *c, *d]);
                counts.probe_reads += usize::from(PROBE_READS.contains(&id));
            }
            (CALL, _) => counts.function_calls += 1,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_and_calls_are_counted() {
        let call = |registers, id: u8| [CALL, registers, 0, 0, id, 0, 0, 0];
        let code = [
            [LOAD_64, 1, 0, 0, 0, 0, 0, 0],
            // The second half of the load is no call.
            call(0, 0),
            call(0, 113),
            call(0, 131),
            call(1 << 4, 0),
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        let expected =
            Counts { instructions: 5, helper_calls: 2, probe_reads: 1, function_calls: 1 };
        assert_eq!(count(&code.concat()), expected);
        assert_eq!(short("_RNvNtCs1_5ebpf4walk10step_small"), "step_small");
        assert_eq!(short("sys_exit"), "sys_exit");
    }

    #[test]
    fn the_committed_object_has_the_programs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let bytes = fs::read(root.join("artifacts/crypto-tracer.bpf.o")).unwrap();
        let functions = functions(&bytes).unwrap();
        for program in ["sys_exit", "file_open", "do_filp_open", "sched_process_exec"] {
            assert!(functions[program].instructions > 10, "{program}");
        }
    }
}
