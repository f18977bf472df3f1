//! The chain of redactors, which removes private data from texts.

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

/// Replaces a text whose redactor failed.
pub(super) const REDACTED: &str = "[REDACTED]";
/// Sets of the cache, of four entries each: 32 768 entries.
const SETS: usize = 8192;
/// Maximum bytes of texts in the cache.
const TEXT_BYTES: usize = 2 << 20;

pub(super) struct Redactor;

impl GuestKind for Redactor {
    const KIND: PluginKind = PluginKind::Redactor;
    const ACTION: &'static str = "redacted";
    const BUNDLED: Option<&'static Bundled> = Some(&REDACTOR);
    type Guest = dyn contract::Redact;

    fn factory(
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

/// All redactors and their cached answers.
pub(super) struct Redactors {
    pub(super) slots: Vec<PluginSlot<Redactor>>,
    /// None: the text is unchanged.
    answers: Cache<Option<Box<str>>>,
    /// Maximum length of an answer in bytes.
    max_text: usize,
}

impl Redactors {
    /// `cached`: whether answers are cached.
    pub(super) fn new(
        slots: Vec<PluginSlot<Redactor>>,
        max_text: usize,
        cached: bool,
    ) -> Redactors {
        let answers = if cached { Cache::new(SETS, TEXT_BYTES) } else { Cache::none() };
        Redactors { slots, answers, max_text }
    }

    /// Appends the redacted text to `out`. Returns false if the text is unchanged.
    fn redact_into(
        &mut self,
        uid: u32,
        field: Field<'_>,
        value: &str,
        arguments: &[String],
        out: &mut String,
    ) -> bool {
        let key = self.answers.key((field, value, arguments));
        let answer = match self.answers.get(key) {
            Some(answer) => answer.as_deref(),
            None => {
                let Some(answer) = self.call(uid, field, value, arguments) else {
                    out.push_str(REDACTED);
                    return true;
                };
                let bytes = answer.as_ref().map_or(0, |text| text.len() + 16);
                self.answers.put(key, answer.as_deref().map(Into::into), bytes);
                out.push_str(answer.as_deref().unwrap_or_default());
                return answer.is_some();
            }
        };
        out.push_str(answer.unwrap_or_default());
        answer.is_some()
    }

    /// None: a redactor failed. Some(None): the text is unchanged.
    #[expect(clippy::option_option, reason = "whether there is an answer, and what it is")]
    fn call(
        &mut self,
        uid: u32,
        field: Field<'_>,
        value: &str,
        arguments: &[String],
    ) -> Option<Option<String>> {
        let max = self.max_text;
        let mut changed: Option<String> = None;
        for slot in &mut self.slots {
            let in_scope = match &changed {
                None => Scoped::Text { field, value, arguments },
                // The arguments belong to the original text.
                Some(value) => Scoped::Text { field, value, arguments: &[] },
            };
            let answer = slot.call(
                uid,
                &in_scope,
                |guest, store| guest.redact(store),
                |answer, _| match answer {
                    Some(text) if text.len() > max => {
                        Err(format!("a text of {} bytes, at most {max} are allowed", text.len()))
                    }
                    answer => Ok(answer),
                },
            )?;
            changed = answer.or(changed);
        }
        Some(changed)
    }
}

/// Redacts the texts of one event of user `uid`.
pub(super) struct UserRedactor<'a> {
    pub(super) redactors: &'a mut Redactors,
    pub(super) uid: u32,
}

impl Redact for UserRedactor<'_> {
    fn redact(&mut self, field: Field<'_>, value: &str, arguments: &[String]) -> Option<String> {
        let mut text = String::new();
        self.redact_into(field, value, arguments, &mut text).then_some(text)
    }

    fn redact_into(
        &mut self,
        field: Field<'_>,
        value: &str,
        arguments: &[String],
        out: &mut String,
    ) -> bool {
        self.redactors.redact_into(self.uid, field, value, arguments, out)
    }
}
