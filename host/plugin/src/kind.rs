//! What differs between the kinds of plugins.

use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

use super::bundled::Bundled;
use super::contract::{Configured, Contract, Factory};
use super::state::State;
use crypto_tracer_event::PluginKind;

/// A kind of plugin: the interface that it exports and what a failed call means.
pub(super) trait GuestKind: 'static {
    /// The kind. Its name is also the interface that the component exports.
    const KIND: PluginKind;
    /// What the host does after a failed call, as events name it.
    const ACTION: &'static str;
    /// The bundled plugin of this kind.
    const BUNDLED: Option<&'static Bundled>;
    /// An instance, through the contract's trait for this kind.
    type Guest: ?Sized + Send;

    fn factory(contract: &dyn Contract, pre: InstancePre<State>) -> Result<Factory<Self::Guest>>;
    fn configure(guest: &Self::Guest, store: &mut Store<State>, config: &str)
    -> Result<Configured>;
}
