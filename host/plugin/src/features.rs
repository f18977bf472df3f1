//! Finds the unsupported WebAssembly feature in a valid component that the engine rejected, for the error message.

use wasmparser::{Validator, WasmFeatures};

/// Features that the engine does not support. The most specific comes first: a component that uses GC types also uses
/// typed function references.
const UNSUPPORTED: &[(&str, WasmFeatures)] = &[
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

/// An unsupported feature that a component uses. None: the component is damaged, or uses no such feature.
///
/// Called only after the engine has rejected the component: each feature costs a validation of the whole component.
pub(super) fn unsupported(component: &[u8]) -> Option<&'static str> {
    let all = WasmFeatures::all();
    if !is_valid(component, all) {
        return None;
    }
    let is_used = |feature| !is_valid(component, all.difference(feature));
    UNSUPPORTED.iter().find(|&&(_, feature)| is_used(feature)).map(|&(name, _)| name)
}

/// Whether a component that the engine compiled uses GC.
///
/// Without its crate feature `gc`, wasmtime rejects only types of the GC heap. It compiles `ref.i31`, which needs no heap.
pub(super) fn uses_gc(component: &[u8]) -> bool {
    let all = WasmFeatures::all();
    !is_valid(component, all.difference(WasmFeatures::GC)) && is_valid(component, all)
}

fn is_valid(component: &[u8], features: WasmFeatures) -> bool {
    Validator::new_with_features(features).validate_all(component).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_features_are_identified() {
        for (text, feature) in [
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
            assert_eq!(unsupported(&component), feature, "{text}");
            assert_eq!(uses_gc(&component), feature == Some("GC"), "{text}");
        }
        let damaged = b"\0asm\x0d\0\x01\0damaged";
        assert_eq!(unsupported(damaged), None);
        assert!(!uses_gc(damaged));
    }
}
