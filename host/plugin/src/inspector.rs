//! The chain of inspectors, which list what files contain.

use std::cell::RefCell;
use std::sync::Arc;

use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

use super::bundled::{Bundled, INSPECTOR};
use super::cache::{Cache, Key};
use super::contract::{Configured, Contract, Factory, Inspect};
use super::kind::GuestKind;
use super::scoped::{HeadSource, Scoped};
use super::slot::PluginSlot;
use super::state::State;
use super::validate::assets;
use crypto_tracer_event::{Asset, HeadOutcome, OpenFlags, OpenedFile, PluginKind, is_settled};
use crypto_tracer_system::clock::Clock;

/// Sets of the cache, of four entries each: 8 192 entries.
const SETS: usize = 2048;
/// Maximum bytes of assets in the cache: a few thousand certificates.
const ASSET_BYTES: usize = 8 << 20;

pub(super) struct Inspector;

impl GuestKind for Inspector {
    const KIND: PluginKind = PluginKind::Inspector;
    const ACTION: &'static str = "no_assets";
    const BUNDLED: Option<&'static Bundled> = Some(&INSPECTOR);
    // A bundle of 150 certificates takes about 20 ms, once for each content, and its assets are copied in one call.
    const TIME_FACTOR: u32 = 4;
    const COPIED_FACTOR: usize = 4;
    type Guest = dyn Inspect;

    fn factory(contract: &dyn Contract, pre: InstancePre<State>) -> Result<Factory<dyn Inspect>> {
        contract.inspector(pre)
    }

    fn configure(
        guest: &dyn Inspect,
        store: &mut Store<State>,
        config: &str,
    ) -> Result<Configured> {
        guest.configure(store, config)
    }
}

/// All inspectors and their cached answers.
pub(super) struct Inspectors {
    pub(super) slots: Vec<PluginSlot<Inspector>>,
    assets: Cache<Arc<[Asset]>>,
    clock: Clock,
}

impl Inspectors {
    /// `cached`: whether assets are cached while the file is unchanged.
    pub(super) fn new(slots: Vec<PluginSlot<Inspector>>, cached: bool, clock: Clock) -> Inspectors {
        let cached = cached && !slots.is_empty();
        let assets = if cached { Cache::new(SETS, ASSET_BYTES) } else { Cache::none() };
        Inspectors { slots, assets, clock }
    }

    /// The assets of all inspectors, in the order of the chain.
    pub(super) fn inspect(
        &mut self,
        uid: u32,
        file: &OpenedFile,
        flags: u32,
        heads: &mut dyn HeadSource,
    ) -> Arc<[Asset]> {
        if file.created || flags & OpenFlags::TRUNC != 0 {
            return Arc::default();
        }
        let key = self.key(file);
        if let Some(assets) = self.assets.get(key) {
            return assets.clone();
        }
        let Answer { assets, is_final } = self.call(uid, file, heads);
        let assets: Arc<[Asset]> = assets.into();
        if is_final && heads.holds() && is_settled(file.ctime_ns, self.clock.file_time_ns()) {
            self.assets.put(key, assets.clone(), bytes(&assets));
        }
        assets
    }

    fn call(&mut self, uid: u32, file: &OpenedFile, heads: &mut dyn HeadSource) -> Answer {
        let mut answer = Answer { assets: Vec::new(), is_final: true };
        let in_scope = Scoped::File(file, RefCell::new(heads));
        for slot in &mut self.slots {
            let found = slot.call(
                uid,
                &in_scope,
                |guest, store| guest.inspect(store),
                |given, state| Ok((assets(given)?, state.head)),
            );
            let Some((mut found, head)) = found else {
                answer.is_final = false;
                continue;
            };
            answer.assets.append(&mut found);
            answer.is_final &= matches!(head, None | Some(HeadOutcome::Read));
        }
        answer
    }

    fn key(&self, file: &OpenedFile) -> Key {
        let path = &file.path;
        let path = (&path.bytes, path.unreachable, path.deleted, path.pseudo);
        self.assets.key((file.dev, file.inode, file.ctime_ns, file.size, path))
    }
}

/// Answer of the chain.
struct Answer {
    assets: Vec<Asset>,
    /// No call failed, and each inspector that read the file got its content.
    is_final: bool,
}

/// Heap memory of cached assets.
fn bytes(assets: &[Asset]) -> usize {
    /// Counters of an `Arc`, and the allocator's own data.
    const ALLOCATION: usize = 32;
    let text = |text: &Arc<str>| text.len() + ALLOCATION;
    let fact = |(name, value): &(Arc<str>, Arc<str>)| {
        text(name) + text(value) + size_of::<(Arc<str>, Arc<str>)>()
    };
    let asset = |asset: &Asset| {
        size_of::<Asset>() + text(&asset.kind) + asset.facts.iter().map(fact).sum::<usize>()
    };
    ALLOCATION + assets.iter().map(asset).sum::<usize>()
}
