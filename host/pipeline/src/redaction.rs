//! Stage `redact`. Later stages receive redacted text only.

use crypto_tracer_event::{
    Buffers, ClassifiedEvent, Field, ProcessSummary, Redact, RedactedEvent, RedactedProcess,
    RedactedText,
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

/// Takes the memory of texts from earlier events.
struct Recycling<'a> {
    redact: &'a mut dyn Redact,
    buffers: &'a mut Buffers,
}

impl Redact for Recycling<'_> {
    fn redact(&mut self, field: Field<'_>, value: &str, arguments: &[String]) -> Option<String> {
        self.redact.redact(field, value, arguments)
    }

    fn redact_into(
        &mut self,
        field: Field<'_>,
        value: &str,
        arguments: &[String],
        out: &mut String,
    ) -> bool {
        self.redact.redact_into(field, value, arguments, out)
    }

    fn buffer(&mut self) -> String {
        self.buffers.text()
    }
}

impl Redaction {
    /// Redacts an event, in the memory of earlier ones.
    pub(super) fn event(
        self,
        plugins: &mut Plugins,
        event: ClassifiedEvent,
        buffers: &mut Buffers,
    ) -> RedactedEvent {
        let uid = event.event.process.uid;
        let (event, unused) = self.with_redactor(plugins, uid, |redact| {
            let mut redact = Recycling { redact, buffers };
            RedactedEvent::of(event, &mut redact, self.extended)
        });
        unused.into_iter().for_each(|bytes| buffers.put_path(bytes));
        event
    }

    pub(super) fn process(self, plugins: &mut Plugins, it: ProcessSummary) -> RedactedProcess {
        self.with_redactor(plugins, it.uid, |redact| RedactedProcess::new(it, redact))
    }

    pub(super) fn hostname(self, plugins: &mut Plugins, name: &[u8]) -> RedactedText {
        self.with_redactor(plugins, HOST_UID, |redact| {
            RedactedText::of(redact, Field::Hostname, name)
        })
    }

    /// Calls `f` with the redactor for the texts of this user.
    fn with_redactor<T>(
        self,
        plugins: &mut Plugins,
        uid: u32,
        f: impl FnOnce(&mut dyn Redact) -> T,
    ) -> T {
        if self.enabled { f(&mut plugins.redactor(uid)) } else { f(&mut NoRedaction) }
    }
}
