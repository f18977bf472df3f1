//! The chain of filters: is this event shown, and is there more to say about it.

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

/// The filters' word on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is shown.
    Keep,
    /// It is not.
    Drop,
    /// It is shown, with these labels besides: none that the event has already.
    Label(Vec<Label>),
}

pub(super) struct Filter;

impl GuestKind for Filter {
    const KIND: PluginKind = PluginKind::Filter;
    const ACTION: &'static str = "kept";
    const BUNDLED: Option<&'static Bundled> = None;
    type Guest = dyn Decide;

    fn maker(contract: &dyn Contract, pre: InstancePre<State>) -> Result<Factory<dyn Decide>> {
        contract.filter(pre)
    }

    fn configure(guest: &dyn Decide, store: &mut Store<State>, config: &str) -> Result<Configured> {
        guest.configure(store, config)
    }
}

/// All must keep; a filter sees the event as the classifiers left it.
pub(super) fn decide(members: &mut [PluginSlot<Filter>], event: &ClassifiedEvent) -> Decision {
    let uid = event.event.process.uid;
    let mut given: Vec<Label> = Vec::new();
    let in_scope = Scoped::Event(event);
    for member in members {
        let answer = member.call(
            uid,
            &in_scope,
            |guest, store| guest.decide(store),
            |answer, _| match answer {
                RawDecision::Keep => Ok(Some(Vec::new())),
                RawDecision::Drop => Ok(None),
                RawDecision::Label(given) => labels(given).map(Some),
            },
        );
        match answer {
            // It failed: the event is kept.
            None => {}
            Some(None) => return Decision::Drop,
            Some(Some(labels)) => {
                let verdict = event.verdict.iter().flat_map(|verdict| &verdict.labels);
                let known: Vec<&Label> = verdict.chain(&event.labels).chain(&given).collect();
                let new: Vec<Label> = labels
                    .into_iter()
                    .filter(|label| known.iter().all(|there| there.name != label.name))
                    .collect();
                given.extend(new);
            }
        }
    }
    if given.is_empty() { Decision::Keep } else { Decision::Label(given) }
}
