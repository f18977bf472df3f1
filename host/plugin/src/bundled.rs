//! The bundled plugins, as components and compiled ahead of time for any x86-64.

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// A bundled plugin.
pub(super) struct Bundled {
    pub(super) name: &'static str,
    pub(super) component: &'static [u8],
    compiled: &'static [u8],
}

/// The documented classifier.
pub(super) static CLASSIFIER: Bundled = Bundled {
    name: "classify-default",
    component: include_bytes!("../../../artifacts/classify-default.wasm"),
    compiled: include_bytes!("../../../artifacts/classify-default.cwasm"),
};

/// The documented redactor.
pub(super) static REDACTOR: Bundled = Bundled {
    name: "redact-default",
    component: include_bytes!("../../../artifacts/redact-default.wasm"),
    compiled: include_bytes!("../../../artifacts/redact-default.cwasm"),
};

/// The documented inspector.
pub(super) static INSPECTOR: Bundled = Bundled {
    name: "inspect-x509",
    component: include_bytes!("../../../artifacts/inspect-x509.wasm"),
    compiled: include_bytes!("../../../artifacts/inspect-x509.cwasm"),
};

impl Bundled {
    /// The code that was compiled ahead of time. If the engine rejects it, because its configuration or the processor
    /// differs, the component is compiled now.
    pub(super) fn compiled(&self, engine: &Engine) -> Result<Component> {
        self.ahead_of_time(engine).or_else(|_| Component::new(engine, self.component))
    }

    fn ahead_of_time(&self, engine: &Engine) -> Result<Component> {
        // SAFETY: the bytes are a constant of the program, which `cargo xtask artifacts` created with `precompile`. No
        // other input reaches this function.
        unsafe { Component::deserialize(engine, self.compiled) }
    }

    /// Releases the pages of the bytes, half a megabyte. They are not read again until a reload.
    pub(super) fn release_pages(&self) {
        [self.component, self.compiled].into_iter().for_each(release_pages);
    }
}

fn release_pages(bytes: &'static [u8]) {
    let page = rustix::param::page_size();
    let offset = bytes.as_ptr().align_offset(page);
    let Some(aligned) = bytes.get(offset..) else { return };
    let len = aligned.len() / page * page;
    // SAFETY: these are whole pages of a constant, backed by the program's file. The next access reads the same bytes.
    unsafe { libc::madvise(aligned.as_ptr().cast_mut().cast(), len, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, engine};

    #[test]
    fn precompiled_plugins_load_and_are_current() {
        let engine = engine::engine(Limits::default().stack).unwrap();
        for bundled in [&CLASSIFIER, &REDACTOR, &INSPECTOR] {
            bundled.ahead_of_time(&engine).expect(bundled.name);
            let built = engine::precompile(bundled.component).unwrap();
            bundled.release_pages();
            assert!(built == bundled.compiled, "{}: cargo xtask artifacts", bundled.name);
        }
    }
}
