//! Properties of the kinds of plugins.

use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

use super::bundled::Bundled;
use super::contract::{Configured, Contract, Factory};
use super::state::State;
use crypto_tracer_event::PluginKind;

/// A kind of plugin: its exported interface, and the host's action after a failed call.
pub(super) trait GuestKind: 'static {
    /// The kind. Its name is also the interface that the component exports.
    const KIND: PluginKind;
    /// The host's action after a failed call, as named in events.
    const ACTION: &'static str;
    /// The bundled plugin of this kind.
    const BUNDLED: Option<&'static Bundled>;
    /// Time of a call, as a multiple of the limits `deadline` and `wall`.
    const TIME_FACTOR: u32 = 1;
    /// What a call may copy, as a multiple of the limit `copied`.
    const COPIED_FACTOR: usize = 1;
    /// An instance, through the contract's trait for this kind.
    type Guest: ?Sized + Send;

    fn factory(contract: &dyn Contract, pre: InstancePre<State>) -> Result<Factory<Self::Guest>>;
    fn configure(guest: &Self::Guest, store: &mut Store<State>, config: &str)
    -> Result<Configured>;
}
