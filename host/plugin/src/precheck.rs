//! What can be said of a component without compiling it: what it imports and exports, and whether it can be compiled in
//! a bearable time.
//!
//! The compiler's time and memory grow faster than a function's length and the number of its locals. A function of
//! 4 MB, all that a plugin's file may have, would take a minute and a gigabyte. So the parts are bounded too, far above
//! what compilers of real plugins make: those of this repository have up to 520 functions of up to 13 kB and 30 locals.
//! Who allows larger components, as for plugins that bring an interpreter, allows as many times more of each part.

use wasmparser::{BinaryReaderError, ComponentExternName, Parser, Payload};

use super::failure::Problem;
use super::limits::DEFAULT_COMPONENT;

/// Functions of a component, in all its modules.
const MOST_FUNCTIONS: u32 = 20_000;
/// Bytes of one function.
const MOST_BODY: usize = 128 << 10;
/// Locals of one function. Compilers that are told not to optimise make some hundred.
const MOST_LOCALS: u32 = 2000;
/// Modules and components within the component; a plugin has about five.
const MOST_PARTS: u32 = 100;
/// Imports and exports that are looked at.
const MOST_NAMES: usize = 1000;

/// Names that stand on the outside of a component.
#[derive(Debug, Default)]
pub(super) struct Precheck {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

impl Precheck {
    /// Reads all of a component, and finds what nobody would wait for, where components of `most` bytes are allowed.
    pub(super) fn read(component: &[u8], most: usize) -> Result<Precheck, Problem> {
        let mut outline = Precheck::default();
        let mut seen = Totals { times: times(most), ..Totals::default() };
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.map_err(damaged)?;
            // What is nested has imports and exports of its own, which are nobody's concern.
            match (&payload, seen.depth) {
                (Payload::ComponentImportSection(section), 1) => {
                    for import in section.clone() {
                        add(&mut outline.imports, import.map_err(damaged)?.name)?;
                    }
                }
                (Payload::ComponentExportSection(section), 1) => {
                    for export in section.clone() {
                        add(&mut outline.exports, export.map_err(damaged)?.name)?;
                    }
                }
                _ => {}
            }
            seen.take(&payload)?;
        }
        Ok(outline)
    }
}

/// How many times larger components than by default are allowed.
pub(super) fn times(most: usize) -> u32 {
    u32::try_from(most.div_ceil(DEFAULT_COMPONENT)).unwrap_or(u32::MAX).clamp(1, 100)
}

fn add(names: &mut Vec<String>, name: ComponentExternName<'_>) -> Result<(), Problem> {
    names.push(name.name.to_owned());
    bound(names.len() <= MOST_NAMES, || format!("more than {MOST_NAMES} imports or exports"))
}

/// What was counted on the way.
#[derive(Default)]
struct Totals {
    times: u32,
    depth: u32,
    parts: u32,
    functions: u32,
}

impl Totals {
    fn take(&mut self, payload: &Payload<'_>) -> Result<(), Problem> {
        match payload {
            Payload::Version { .. } => {
                self.depth += 1;
                self.parts += 1;
                bound(self.parts <= MOST_PARTS, || format!("more than {MOST_PARTS} parts"))
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::CodeSectionStart { count, .. } => {
                self.functions = self.functions.saturating_add(*count);
                let most = MOST_FUNCTIONS * self.times;
                bound(self.functions <= most, || format!("more than {most} functions"))
            }
            Payload::CodeSectionEntry(body) => {
                let (bytes, most) = (body.range().len(), MOST_BODY * self.times as usize);
                bound(bytes <= most, || {
                    format!("a function of {bytes} bytes, at most {most} are allowed")
                })?;
                let mut locals = 0_u32;
                for group in body.get_locals_reader().map_err(damaged)? {
                    locals = locals.saturating_add(group.map_err(damaged)?.0);
                }
                let most = MOST_LOCALS * self.times;
                bound(locals <= most, || {
                    format!("a function of {locals} locals, at most {most} are allowed")
                })
            }
            _ => Ok(()),
        }
    }
}

fn bound(within: bool, what: impl FnOnce() -> String) -> Result<(), Problem> {
    if within { Ok(()) } else { Err(Problem::TooComplex(what())) }
}

fn damaged(error: BinaryReaderError) -> Problem {
    Problem::Damaged(super::text::one_line(error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component around a module of functions that do nothing, each with so many locals and so many bytes.
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
    fn parts_have_bounds() {
        let most = MOST_LOCALS as usize;
        assert!(read(&component(2, most, 100)).is_ok());
        let told = refused(&component(1, most + 1, 1));
        assert!(told.contains("a function of 2001 locals, at most 2000 are allowed"), "{told}");
        // The end and the number of groups of locals are two bytes.
        assert!(read(&component(1, 0, MOST_BODY - 2)).is_ok());
        let told = refused(&component(1, 0, MOST_BODY - 1));
        assert!(told.contains("a function of 131073 bytes"), "{told}");
        assert!(read(&component(MOST_FUNCTIONS as usize, 0, 0)).is_ok());
        let told = refused(&component(MOST_FUNCTIONS as usize + 1, 0, 0));
        assert!(told.contains("more than 20000 functions"), "{told}");
        let larger = Precheck::read(&component(1, 3 * most, 1), 3 * DEFAULT_COMPONENT);
        assert!(larger.is_ok(), "larger components have larger functions");
        let modules = "(core module)".repeat(MOST_PARTS as usize);
        let told = refused(&wat::parse_str(format!("(component {modules})")).unwrap());
        assert!(told.contains("more than 100 parts"), "{told}");
    }

    #[test]
    fn only_the_outer_names_count() {
        let text = r#"(component
            (import "acme:a/b" (instance))
            (component (import "acme:inner/x" (instance)))
            (instance $i (export "acme:c/d")))"#;
        let outline = read(&wat::parse_str(text).unwrap()).unwrap();
        assert_eq!(
            (outline.imports, outline.exports),
            (vec!["acme:a/b".to_owned()], vec!["acme:c/d".to_owned()])
        );
    }

    #[test]
    fn what_is_cut_or_odd_is_damaged() {
        let whole = component(3, 3, 3);
        for len in 8..whole.len() {
            assert!(matches!(read(&whole[..len]), Err(Problem::Damaged(_)) | Ok(_)), "{len}");
        }
        let told = refused(&whole[..whole.len() - 3]);
        assert!(told.contains("is damaged or cut short"), "{told}");
    }

    /// Whatever the fixtures and the bundled plugins have, a tenth of what is allowed is enough for it.
    #[test]
    fn real_plugins_are_far_below() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let mut seen = 0;
        for folder in ["artifacts", "tests/fixtures/plugins", "tests/fixtures/plugins/0.1.0"] {
            for entry in std::fs::read_dir(format!("{root}/{folder}")).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|extension| extension != "wasm") {
                    continue;
                }
                seen += 1;
                let (mut functions, bytes) = (0, std::fs::read(&path).unwrap());
                for payload in Parser::new(0).parse_all(&bytes) {
                    if let Payload::CodeSectionEntry(body) = payload.unwrap() {
                        functions += 1;
                        assert!(body.range().len() * 10 <= MOST_BODY, "{}", path.display());
                        let locals = body.get_locals_reader().unwrap().into_iter();
                        let locals: u32 = locals.map(|group| group.unwrap().0).sum();
                        assert!(locals * 10 <= MOST_LOCALS, "{}", path.display());
                    }
                }
                assert!(functions * 10 <= MOST_FUNCTIONS && functions > 0, "{}", path.display());
            }
        }
        assert!(seen >= 9, "{seen}");
    }
}
