//! The chain of redactors: what must not be shown of this text.

use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

use super::bundled::{Bundled, REDACTOR};
use super::cache::Cache;
use super::contract::{self, Configured, Contract, Factory};
use super::kind::GuestKind;
use super::scoped::Scoped;
use super::slot::PluginSlot;
use super::state::State;
use crypto_tracer_event::{Field, PluginKind, Redact};

/// What is shown where the redactor failed.
pub const REDACTED: &str = "[REDACTED]";
/// Sets of four answers: 32 768 in all.
const SETS: usize = 8192;
/// Bytes of texts that are remembered.
const TEXT_BYTES: usize = 2 << 20;

pub(super) struct Redactor;

impl GuestKind for Redactor {
    const KIND: PluginKind = PluginKind::Redactor;
    const ACTION: &'static str = "redacted";
    const BUNDLED: Option<&'static Bundled> = Some(&REDACTOR);
    type Guest = dyn contract::Redact;

    fn maker(
        contract: &dyn Contract,
        pre: InstancePre<State>,
    ) -> Result<Factory<dyn contract::Redact>> {
        contract.redactor(pre)
    }

    fn configure(
        guest: &dyn contract::Redact,
        store: &mut Store<State>,
        config: &str,
    ) -> Result<Configured> {
        guest.configure(store, config)
    }
}

/// All redactors and their answers.
pub(super) struct Redactors {
    pub(super) slots: Vec<PluginSlot<Redactor>>,
    /// None: the text is shown as it is.
    answers: Cache<Option<Box<str>>>,
    most_text: usize,
}

impl Redactors {
    /// `remember`: whether the answers are.
    pub(super) fn new(
        slots: Vec<PluginSlot<Redactor>>,
        most_text: usize,
        remember: bool,
    ) -> Redactors {
        let answers = if remember { Cache::new(SETS, TEXT_BYTES) } else { Cache::none() };
        Redactors { slots, answers, most_text }
    }

    fn redact(
        &mut self,
        uid: u32,
        field: Field<'_>,
        value: &str,
        arguments: &[String],
    ) -> Option<String> {
        let key = self.answers.key((field, value, arguments));
        if let Some(answer) = self.answers.get(key) {
            return answer.as_deref().map(str::to_owned);
        }
        let Some(answer) = self.ask(uid, field, value, arguments) else {
            return Some(REDACTED.to_owned());
        };
        let bytes = answer.as_ref().map_or(0, |text| text.len() + 16);
        self.answers.put(key, answer.as_deref().map(Into::into), bytes);
        answer
    }

    /// None: one of them failed.
    #[expect(clippy::option_option, reason = "whether there is an answer, and what it is")]
    fn ask(
        &mut self,
        uid: u32,
        field: Field<'_>,
        value: &str,
        arguments: &[String],
    ) -> Option<Option<String>> {
        let most = self.most_text;
        let mut changed: Option<String> = None;
        for slot in &mut self.slots {
            let in_scope = match &changed {
                None => Scoped::Text { field, value, arguments },
                // The arguments are those of the text as it was.
                Some(value) => Scoped::Text { field, value, arguments: &[] },
            };
            let answer = slot.call(
                uid,
                &in_scope,
                |guest, store| guest.redact(store),
                |answer, _| match answer {
                    Some(text) if text.len() > most => {
                        Err(format!("a text of {} bytes, at most {most} are allowed", text.len()))
                    }
                    answer => Ok(answer),
                },
            )?;
            changed = answer.or(changed);
        }
        Some(changed)
    }
}

/// Redacts the texts of one user's event.
pub(super) struct ForUser<'a> {
    pub(super) redactors: &'a mut Redactors,
    pub(super) uid: u32,
}

impl Redact for ForUser<'_> {
    fn redact(&mut self, field: Field<'_>, value: &str, arguments: &[String]) -> Option<String> {
        self.redactors.redact(self.uid, field, value, arguments)
    }
}
