//! The kinds of plugins.

use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

use super::contract::{Configured, Contract, Factory};
use super::state::State;

/// What makes a classifier differ from a redactor and a filter.
pub(super) trait GuestKind: 'static {
    /// What people call it, and the interface that it exports.
    const NAME: &'static str;
    /// What is done when it fails.
    const ACTION: &'static str;
    /// An instance.
    type Guest: ?Sized + Send;

    fn maker(contract: &dyn Contract, pre: InstancePre<State>) -> Result<Factory<Self::Guest>>;
    fn configure(guest: &Self::Guest, store: &mut Store<State>, config: &str)
    -> Result<Configured>;
}
