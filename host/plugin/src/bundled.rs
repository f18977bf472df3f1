//! The plugins that are in the program: as components, and compiled ahead of time for any x86-64.

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// A plugin that is in the program.
pub(super) struct Bundled {
    pub(super) name: &'static str,
    pub(super) component: &'static [u8],
    compiled: &'static [u8],
}

/// The documented classification.
pub(super) static CLASSIFIER: Bundled = Bundled {
    name: "classify-default",
    component: include_bytes!("../../../artifacts/classify-default.wasm"),
    compiled: include_bytes!("../../../artifacts/classify-default.cwasm"),
};

/// The documented redaction.
pub(super) static REDACTOR: Bundled = Bundled {
    name: "redact-default",
    component: include_bytes!("../../../artifacts/redact-default.wasm"),
    compiled: include_bytes!("../../../artifacts/redact-default.cwasm"),
};

impl Bundled {
    /// What was compiled ahead of time; where that does not fit (another wasmtime, another machine) it is compiled now.
    pub(super) fn compiled(&self, engine: &Engine) -> Result<Component> {
        self.ahead_of_time(engine).or_else(|_| Component::new(engine, self.component))
    }

    fn ahead_of_time(&self, engine: &Engine) -> Result<Component> {
        // SAFETY: the bytes are in the program: `cargo xtask artifacts` made them with `precompile`, and a file that
        // somebody could change is never handed to this function.
        unsafe { Component::deserialize(engine, self.compiled) }
    }

    /// Once loaded, nobody reads the bytes again until a reload: their half a megabyte need not stay resident.
    pub(super) fn put_away(&self) {
        [self.component, self.compiled].into_iter().for_each(put_away);
    }
}

fn put_away(bytes: &'static [u8]) {
    let page = rustix::param::page_size();
    let before = bytes.as_ptr().align_offset(page);
    let Some(whole) = bytes.get(before..) else { return };
    let len = whole.len() / page * page;
    // SAFETY: whole pages of a constant, which is the program's file: whoever reads them has them again, the same.
    unsafe { libc::madvise(whole.as_ptr().cast_mut().cast(), len, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, engine};

    #[test]
    fn what_was_compiled_ahead_of_time_loads() {
        let engine = engine::engine(Limits::default().stack).unwrap();
        for bundled in [&CLASSIFIER, &REDACTOR] {
            bundled.ahead_of_time(&engine).expect(bundled.name);
            let built = engine::precompile(bundled.component).unwrap();
            bundled.put_away();
            assert!(built == bundled.compiled, "{}: cargo xtask artifacts", bundled.name);
        }
    }
}
