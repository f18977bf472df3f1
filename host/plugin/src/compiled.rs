//! Compiled plugins in memory, kept from one load to the next: a reload compiles only what changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::engine::engine;
use super::failure::Problem;
use super::ticker::Ticker;

/// Compiled plugins that loads with the same handle share. Clones are the same handle.
#[derive(Clone, Debug, Default)]
pub struct CompiledPlugins(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    engine: Option<SharedEngine>,
    /// By the hash of the component. The flag: whether the current load uses it.
    components: BTreeMap<Arc<str>, (Component, bool)>,
    compilations: u64,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("components", &self.components.keys()).finish_non_exhaustive()
    }
}

/// An engine, with the thread that counts its epochs.
#[derive(Clone, Debug)]
pub(super) struct SharedEngine {
    stack: usize,
    pub(super) engine: Engine,
    pub(super) ticker: Arc<Ticker>,
}

impl CompiledPlugins {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine for this size of stack. Another size needs another engine, and all components anew.
    pub(super) fn engine(&self, stack: usize) -> Result<SharedEngine, String> {
        let mut kept = self.kept();
        if let Some(shared) = kept.engine.as_ref().filter(|shared| shared.stack == stack) {
            return Ok(shared.clone());
        }
        let engine = engine(stack).map_err(|error| error.to_string())?;
        let ticker = Ticker::start(&engine).map_err(|error| error.to_string())?;
        let shared = SharedEngine { stack, engine, ticker: Arc::new(ticker) };
        *kept = Kept { engine: Some(shared.clone()), ..Kept::default() };
        Ok(shared)
    }

    /// The component with this hash, compiled by `compile` unless an earlier load has done that.
    pub(super) fn component(
        &self,
        engine: &Engine,
        sha256: &str,
        compile: impl FnOnce() -> Result<Component, Problem>,
    ) -> Result<Component, Problem> {
        if let Some((component, used)) = self.kept().components.get_mut(sha256)
            && Engine::same(component.engine(), engine)
        {
            *used = true;
            return Ok(component.clone());
        }
        // Without the lock: the compilation may take seconds, and another thread may end the run.
        let component = compile()?;
        let mut kept = self.kept();
        kept.compilations += 1;
        kept.components.insert(sha256.into(), (component.clone(), true));
        Ok(component)
    }

    /// Forgets the components that were not used since the last call.
    pub(super) fn retain_used(&self) {
        let mut kept = self.kept();
        kept.components.retain(|_, (_, used)| std::mem::take(used));
    }

    /// Number of components that were compiled, or read from the disk, with this handle.
    #[cfg(test)]
    pub(super) fn compilations(&self) -> u64 {
        self.kept().compilations
    }
}
