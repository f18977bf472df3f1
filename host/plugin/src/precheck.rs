//! Checks of a component before it is compiled: its imports and exports, and bounds on the cost of compilation.
//!
//! The compiler's time and memory grow faster than a function's length and the number of its locals. A function of 4 MB,
//! the default limit for a plugin's file, would take a minute and a gigabyte. So each part is bounded too, far above the
//! output of compilers for typical plugins: those of this repository have up to 520 functions of up to 13 kB and 30
//! locals. A higher limit for the file, as for plugins that contain an interpreter, raises these bounds in proportion.

use wasmparser::{BinaryReaderError, ComponentExternName, Parser, Payload};

use super::failure::Problem;
use super::limits::DEFAULT_COMPONENT;

/// Maximum number of functions of a component, in all its modules.
const MAX_FUNCTIONS: u32 = 20_000;
/// Maximum size of one function in bytes.
const MAX_BODY: usize = 128 << 10;
/// Maximum number of locals of one function. Unoptimised builds have some hundred.
const MAX_LOCALS: u32 = 2000;
/// Maximum number of modules and components within the component. A typical plugin has five.
const MAX_PARTS: u32 = 100;
/// Maximum number of imports, and of exports.
const MAX_NAMES: usize = 1000;

/// Names of the imports and exports of the outermost component.
#[derive(Debug, Default)]
pub(super) struct Precheck {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

impl Precheck {
    /// Parses a whole component and checks the bounds. `max_bytes`: the limit for the component's size, which scales them.
    pub(super) fn read(component: &[u8], max_bytes: usize) -> Result<Precheck, Problem> {
        let mut precheck = Precheck::default();
        let mut totals = Totals { factor: size_factor(max_bytes), ..Totals::default() };
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.map_err(damaged)?;
            // Imports and exports of nested components are irrelevant.
            match (&payload, totals.depth) {
                (Payload::ComponentImportSection(section), 1) => {
                    for import in section.clone() {
                        add(&mut precheck.imports, import.map_err(damaged)?.name)?;
                    }
                }
                (Payload::ComponentExportSection(section), 1) => {
                    for export in section.clone() {
                        add(&mut precheck.exports, export.map_err(damaged)?.name)?;
                    }
                }
                _ => {}
            }
            totals.add(&payload)?;
        }
        Ok(precheck)
    }
}

/// Ratio of the limit for a component's size to its default, from 1 to 100.
pub(super) fn size_factor(max_bytes: usize) -> u32 {
    u32::try_from(max_bytes.div_ceil(DEFAULT_COMPONENT)).unwrap_or(u32::MAX).clamp(1, 100)
}

fn add(names: &mut Vec<String>, name: ComponentExternName<'_>) -> Result<(), Problem> {
    names.push(name.name.to_owned());
    ensure(names.len() <= MAX_NAMES, || format!("more than {MAX_NAMES} imports or exports"))
}

/// Counters of the parts.
#[derive(Default)]
struct Totals {
    factor: u32,
    depth: u32,
    parts: u32,
    functions: u32,
}

impl Totals {
    fn add(&mut self, payload: &Payload<'_>) -> Result<(), Problem> {
        match payload {
            Payload::Version { .. } => {
                self.depth += 1;
                self.parts += 1;
                ensure(self.parts <= MAX_PARTS, || format!("more than {MAX_PARTS} parts"))
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::CodeSectionStart { count, .. } => {
                self.functions = self.functions.saturating_add(*count);
                let max = MAX_FUNCTIONS * self.factor;
                ensure(self.functions <= max, || format!("more than {max} functions"))
            }
            Payload::CodeSectionEntry(body) => {
                let (bytes, max) = (body.range().len(), MAX_BODY * self.factor as usize);
                ensure(bytes <= max, || {
                    format!("a function of {bytes} bytes, at most {max} are allowed")
                })?;
                let mut locals = 0_u32;
                for group in body.get_locals_reader().map_err(damaged)? {
                    locals = locals.saturating_add(group.map_err(damaged)?.0);
                }
                let max = MAX_LOCALS * self.factor;
                ensure(locals <= max, || {
                    format!("a function of {locals} locals, at most {max} are allowed")
                })
            }
            _ => Ok(()),
        }
    }
}

fn ensure(within: bool, what: impl FnOnce() -> String) -> Result<(), Problem> {
    if within { Ok(()) } else { Err(Problem::TooComplex(what())) }
}

fn damaged(error: BinaryReaderError) -> Problem {
    Problem::Damaged(super::text::one_line(error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with one module of `functions`, each with `locals` and with `bytes` of `nop`.
    fn component(functions: usize, locals: usize, bytes: usize) -> Vec<u8> {
        let local =
            if locals > 0 { format!("(local {})", "i32 ".repeat(locals)) } else { "".into() };
        let function = format!("(func {local} {})", "nop ".repeat(bytes));
        let module = format!("(component (core module {}))", function.repeat(functions));
        wat::parse_str(module).unwrap()
    }

    fn read(component: &[u8]) -> Result<Precheck, Problem> {
        Precheck::read(component, DEFAULT_COMPONENT)
    }

    fn refused(component: &[u8]) -> String {
        read(component).unwrap_err().to_string()
    }

    #[test]
    fn each_part_has_a_bound() {
        let max = MAX_LOCALS as usize;
        assert!(read(&component(2, max, 100)).is_ok());
        let problem = refused(&component(1, max + 1, 1));
        assert!(
            problem.contains("a function of 2001 locals, at most 2000 are allowed"),
            "{problem}"
        );
        // The `end` opcode and the number of groups of locals take one byte each.
        assert!(read(&component(1, 0, MAX_BODY - 2)).is_ok());
        let problem = refused(&component(1, 0, MAX_BODY - 1));
        assert!(problem.contains("a function of 131073 bytes"), "{problem}");
        assert!(read(&component(MAX_FUNCTIONS as usize, 0, 0)).is_ok());
        let problem = refused(&component(MAX_FUNCTIONS as usize + 1, 0, 0));
        assert!(problem.contains("more than 20000 functions"), "{problem}");
        let larger = Precheck::read(&component(1, 3 * max, 1), 3 * DEFAULT_COMPONENT);
        assert!(larger.is_ok(), "the bounds scale with the size limit");
        let modules = "(core module)".repeat(MAX_PARTS as usize);
        let problem = refused(&wat::parse_str(format!("(component {modules})")).unwrap());
        assert!(problem.contains("more than 100 parts"), "{problem}");
    }

    #[test]
    fn only_names_of_the_outermost_component_are_listed() {
        let text = r#"(component
            (import "acme:a/b" (instance))
            (component (import "acme:inner/x" (instance)))
            (instance $i (export "acme:c/d")))"#;
        let precheck = read(&wat::parse_str(text).unwrap()).unwrap();
        assert_eq!(
            (precheck.imports, precheck.exports),
            (vec!["acme:a/b".to_owned()], vec!["acme:c/d".to_owned()])
        );
    }

    #[test]
    fn a_truncated_component_is_damaged() {
        let whole = component(3, 3, 3);
        for len in 8..whole.len() {
            assert!(matches!(read(&whole[..len]), Err(Problem::Damaged(_)) | Ok(_)), "{len}");
        }
        let problem = refused(&whole[..whole.len() - 3]);
        assert!(problem.contains("is damaged or cut short"), "{problem}");
    }

    /// The fixtures and the bundled plugins stay below a fifth of the bound for a function, which the parser of certificates
    /// needs, and below a tenth of the others.
    #[test]
    fn typical_plugins_are_far_below_the_bounds() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let mut count = 0;
        for folder in ["artifacts", "tests/fixtures/plugins", "tests/fixtures/plugins/0.1.0"] {
            for entry in std::fs::read_dir(format!("{root}/{folder}")).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|extension| extension != "wasm") {
                    continue;
                }
                count += 1;
                let (mut functions, bytes) = (0, std::fs::read(&path).unwrap());
                for payload in Parser::new(0).parse_all(&bytes) {
                    if let Payload::CodeSectionEntry(body) = payload.unwrap() {
                        functions += 1;
                        assert!(body.range().len() * 5 <= MAX_BODY, "{}", path.display());
                        let locals = body.get_locals_reader().unwrap().into_iter();
                        let locals: u32 = locals.map(|group| group.unwrap().0).sum();
                        assert!(locals * 10 <= MAX_LOCALS, "{}", path.display());
                    }
                }
                assert!(functions * 10 <= MAX_FUNCTIONS && functions > 0, "{}", path.display());
            }
        }
        assert!(count >= 9, "{count}");
    }
}
