//! Parts of WebAssembly that plugins do not get, by name: what keeps a sound component from being compiled.

use wasmparser::{Validator, WasmFeatures};

/// What the engine does not run, the most telling first: a component of garbage collected types also has typed
/// references.
const BEYOND: &[(&str, WasmFeatures)] = &[
    ("shared-everything threads", WasmFeatures::SHARED_EVERYTHING_THREADS),
    ("threads", WasmFeatures::CM_THREADING),
    ("threads", WasmFeatures::THREADS),
    ("async", WasmFeatures::CM_ASYNC),
    ("async", WasmFeatures::CM_ASYNC_STACKFUL),
    ("async", WasmFeatures::CM_MORE_ASYNC_BUILTINS),
    ("stack switching", WasmFeatures::STACK_SWITCHING),
    ("error contexts", WasmFeatures::CM_ERROR_CONTEXT),
    ("component values", WasmFeatures::CM_VALUES),
    ("GC in component functions", WasmFeatures::CM_GC),
    ("GC", WasmFeatures::GC),
    ("exceptions", WasmFeatures::LEGACY_EXCEPTIONS),
    ("exceptions", WasmFeatures::EXCEPTIONS),
    ("typed function references", WasmFeatures::FUNCTION_REFERENCES),
    ("64-bit memories", WasmFeatures::MEMORY64),
    ("wide arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("memory control", WasmFeatures::MEMORY_CONTROL),
    ("pages of other sizes", WasmFeatures::CUSTOM_PAGE_SIZES),
    ("lists of fixed length", WasmFeatures::CM_FIXED_LENGTH_LISTS),
    ("maps", WasmFeatures::CM_MAP),
];

/// What a component needs that plugins do not get. None: it is damaged, or needs nothing of the kind.
///
/// Asked only once the engine has refused it: each question reads all of it.
pub(super) fn beyond(component: &[u8]) -> Option<&'static str> {
    let fits = |features: WasmFeatures| {
        Validator::new_with_features(features).validate_all(component).is_ok()
    };
    let all = WasmFeatures::all();
    if !fits(all) {
        return None;
    }
    BEYOND.iter().find(|(_, feature)| !fits(all.difference(*feature))).map(|&(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_needs_is_named() {
        for (text, needed) in [
            ("(core module (memory 1 1 shared))", Some("threads")),
            (
                "(core module (memory 1 1 shared) (func (drop (i32.atomic.load (i32.const 0)))))",
                Some("threads"),
            ),
            ("(core module (type (struct (field i32))))", Some("GC")),
            ("(core module (type (array i8)))", Some("GC")),
            ("(core module (func (param anyref)))", Some("GC")),
            ("(core module (func (drop (ref.i31 (i32.const 1)))))", Some("GC")),
            ("(core module (tag) (func (throw 0)))", Some("exceptions")),
            ("(core module (memory i64 1))", Some("64-bit memories")),
            ("(core module (func (param (ref func))))", Some("typed function references")),
            ("(type (future u8))", Some("async")),
            ("(type (stream u8))", Some("async")),
            ("(type (func async))", Some("async")),
            ("(core func (canon task.cancel))", Some("async")),
            ("(core module (func))", None),
            ("", None),
        ] {
            let component = wat::parse_str(format!("(component {text})"))
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(beyond(&component), needed, "{text}");
        }
        assert_eq!(beyond(b"\0asm\x0d\0\x01\0damaged"), None);
    }
}
