//! The chain of filters, which keeps, drops or labels events.

use std::cell::RefCell;
use std::sync::Arc;

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
    /// The event is shown with other labels.
    Label(LabelChanges),
}

/// What filters change of the labels of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelChanges {
    /// Names of the labels to remove. The event has them all.
    pub removed: Vec<Arc<str>>,
    /// The labels to add after that. None of their names is on the event then.
    pub added: Vec<Label>,
}

impl LabelChanges {
    /// Changes the labels of an event.
    pub fn apply(self, event: &mut ClassifiedEvent) {
        let LabelChanges { removed, added } = self;
        let verdict = event.verdict.iter_mut().map(|verdict| &mut verdict.labels);
        for labels in verdict.chain([&mut event.labels]) {
            labels.retain(|label| !removed.contains(&label.name));
        }
        event.labels.extend(added);
    }
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

/// The event is kept if all filters keep it. Each filter gets the event without the labels of the other filters, and without
/// those that a filter before it has removed.
pub(super) fn decide(slots: &mut [PluginSlot<Filter>], event: &ClassifiedEvent) -> Decision {
    let uid = event.event.process.uid;
    let mut added: Vec<Label> = Vec::new();
    let removed = RefCell::new(Vec::new());
    let in_scope = Scoped::Event(event, &removed);
    for slot in slots {
        let removed_before = removed.borrow().len();
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
            // After a failure the event is kept as it was.
            None => removed.borrow_mut().truncate(removed_before),
            Some(None) => {
                slot.drops += 1;
                return Decision::Drop;
            }
            Some(Some(labels)) => {
                let removed = removed.borrow();
                let remaining = event.labels().filter(|label| !removed.contains(&label.name));
                let known: Vec<&Label> = remaining.chain(&added).collect();
                let new: Vec<Label> = labels
                    .into_iter()
                    .filter(|label| known.iter().all(|known| known.name != label.name))
                    .collect();
                added.extend(new);
            }
        }
    }
    let removed = removed.into_inner();
    if added.is_empty() && removed.is_empty() {
        Decision::Keep
    } else {
        Decision::Label(LabelChanges { removed, added })
    }
}
