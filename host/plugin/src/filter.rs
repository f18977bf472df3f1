//! The chain of filters, which keeps, drops or labels events.

use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

use super::bundled::Bundled;
use super::contract::{Configured, Contract, Decide, Factory, RawDecision};
use super::kind::GuestKind;
use super::scoped::Scoped;
use super::slot::PluginSlot;
use super::state::State;
use super::validate::labels;
use crypto_tracer_event::{ClassifiedEvent, Label, PluginKind};

/// Decision of the filters on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The event is shown.
    Keep,
    /// The event is not shown.
    Drop,
    /// The event is shown with these additional labels. None of their names is already on the event.
    Label(Vec<Label>),
}

pub(super) struct Filter;

impl GuestKind for Filter {
    const KIND: PluginKind = PluginKind::Filter;
    const ACTION: &'static str = "kept";
    const BUNDLED: Option<&'static Bundled> = None;
    type Guest = dyn Decide;

    fn factory(contract: &dyn Contract, pre: InstancePre<State>) -> Result<Factory<dyn Decide>> {
        contract.filter(pre)
    }

    fn configure(guest: &dyn Decide, store: &mut Store<State>, config: &str) -> Result<Configured> {
        guest.configure(store, config)
    }
}

/// The event is kept if all filters keep it. Each filter gets the event without the labels of the other filters.
pub(super) fn decide(slots: &mut [PluginSlot<Filter>], event: &ClassifiedEvent) -> Decision {
    let uid = event.event.process.uid;
    let mut added: Vec<Label> = Vec::new();
    let in_scope = Scoped::Event(event);
    for slot in slots {
        let answer = slot.call(
            uid,
            &in_scope,
            |guest, store| guest.decide(store),
            |answer, _| match answer {
                RawDecision::Keep => Ok(Some(Vec::new())),
                RawDecision::Drop => Ok(None),
                RawDecision::Label(pairs) => labels(pairs).map(Some),
            },
        );
        match answer {
            // After a failure the event is kept.
            None => {}
            Some(None) => {
                slot.drops += 1;
                return Decision::Drop;
            }
            Some(Some(labels)) => {
                let verdict = event.verdict.iter().flat_map(|verdict| &verdict.labels);
                let known: Vec<&Label> = verdict.chain(&event.labels).chain(&added).collect();
                let new: Vec<Label> = labels
                    .into_iter()
                    .filter(|label| known.iter().all(|known| known.name != label.name))
                    .collect();
                added.extend(new);
            }
        }
    }
    if added.is_empty() { Decision::Keep } else { Decision::Label(added) }
}
