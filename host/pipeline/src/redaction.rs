//! Stage `redact`. Later stages receive redacted text only.

use crypto_tracer_event::{
    ClassifiedEvent, Field, ProcessSummary, Redact, RedactedEvent, RedactedProcess, RedactedText,
};
use crypto_tracer_plugin::Plugins;

/// The host belongs to root.
const HOST_UID: u32 = 0;

/// Options of the redaction stage.
#[derive(Clone, Copy, Debug)]
pub struct Redaction {
    /// `false` with `--no-redact`: every text is shown unchanged.
    pub enabled: bool,
    /// Whether to redact, and keep, the fields that only `--extended` shows.
    pub extended: bool,
}

/// The redactor of `--no-redact`.
struct NoRedaction;

impl Redact for NoRedaction {
    fn redact(&mut self, _: Field<'_>, _: &str, _: &[String]) -> Option<String> {
        None
    }
}

impl Redaction {
    /// Redacts an event, with the redactors' state for its user.
    pub(super) fn event(self, plugins: &mut Plugins, event: ClassifiedEvent) -> RedactedEvent {
        if !self.enabled {
            return RedactedEvent::new(event, &mut NoRedaction, self.extended);
        }
        let uid = event.event.process.uid;
        RedactedEvent::new(event, &mut plugins.redactor(uid), self.extended)
    }

    pub(super) fn process(self, plugins: &mut Plugins, it: ProcessSummary) -> RedactedProcess {
        if !self.enabled {
            return RedactedProcess::new(it, &mut NoRedaction);
        }
        let uid = it.uid;
        RedactedProcess::new(it, &mut plugins.redactor(uid))
    }

    pub(super) fn hostname(self, plugins: &mut Plugins, name: &[u8]) -> RedactedText {
        if !self.enabled {
            return RedactedText::of(&mut NoRedaction, Field::Hostname, name);
        }
        RedactedText::of(&mut plugins.redactor(HOST_UID), Field::Hostname, name)
    }
}
