//! The only place that knows all steps, and the order they come in.

mod clock;
mod coverage;
pub mod enrich;
mod existing_processes;
mod family;
pub mod glob;
mod head_recording;
mod heads;
mod live;
mod losses;
mod profile_collector;
#[cfg(test)]
mod recorded_tests;
mod recorder;
pub mod recording;
mod reload;
mod replay;
pub mod select;
mod sink;
pub mod stats;
mod status;

pub use clock::wall_now;
pub use coverage::RecordingCoverage;
pub use existing_processes::{details_facts, judge_existing};
pub use family::Family;
pub use head_recording::{HeadExchange, HeadLog, MissingHeads, RecordedHeads, RecordingHeads};
pub use heads::{HeadReader, Inspected, ReaderHeads};
pub use live::{EndReason, LiveRun, RunOutcome, register_reader};
pub use losses::LossReporter;
pub use profile_collector::{ProfileCollector, ProfileTarget};
pub use recorder::Recorder;
pub use reload::{OutputSettings, Reload, Reloaded, Reloader, Reopen};
pub use replay::{Replayed, replay};
pub use sink::{Sink, Stream};
pub use status::StatusSchedule;

use std::time::Instant;

use crate::enrich::Enrich;
use crate::select::Select;
use crate::stats::Stats;
use clock::wall_of;
use crypto_tracer_capture::decode::decode;
use crypto_tracer_event::{
    ClassifiedEvent, EnrichedEvent, EnrichedWhat, Field, KernelEvent, KernelWhat, Notice,
    RawRecord, Redact, RedactedEvent, Timestamp,
};
use crypto_tracer_plugin::{Decision, Level, Plugins};
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;
use heads::BatchHeads;

/// Shows every text as it is: `--no-redact`.
struct NoRedaction;

impl Redact for NoRedaction {
    fn redact(&mut self, _: Field<'_>, _: &str, _: &[String]) -> Option<String> {
        None
    }
}

/// Who hides what must not be shown of what belongs to this user; nobody with `--no-redact`.
pub fn redactor(plugins: &mut Plugins, uid: u32, redact: bool) -> Box<dyn Redact + '_> {
    if redact { Box::new(plugins.redactor(uid)) } else { Box::new(NoRedaction) }
}

/// The steps behind the kernel, for live records and recorded ones alike.
pub struct Pipeline<S> {
    /// What is remembered of processes.
    pub enrich: Enrich,
    /// The host's filters.
    pub select: Select,
    /// The process of `--follow-children` and its descendants.
    pub family: Family,
    /// Classifiers, redactors, filters.
    pub plugins: Plugins,
    /// Who reads the beginnings of files.
    pub heads: Box<dyn HeadReader>,
    /// Where events go.
    pub sink: S,
    /// What was counted.
    pub stats: Stats,
    /// The wish to end.
    pub shutdown: Shutdown,
    /// Where plugins' lines go.
    pub console: Console,
}

impl<S> std::fmt::Debug for Pipeline<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl<S: Sink> Pipeline<S> {
    /// Decodes a record into `batch`; one that is none is counted.
    pub fn decode(&mut self, record: RawRecord<'_>, batch: &mut Vec<KernelEvent>) {
        self.stats.received += 1;
        match decode(record) {
            Ok(event) => batch.push(event),
            Err(_) => self.stats.add_loss("malformed_record", 1),
        }
    }

    /// Sends the events of one drain through all steps, in the order of their time.
    ///
    /// What it shows is pending in the output then. Waits where the output is slow. Dropped while it waits, or stopped,
    /// it has counted what it did not show.
    pub async fn process(&mut self, batch: &mut Vec<KernelEvent>) {
        batch.sort_by_key(|event| event.ts_ns);
        self.learn_cgroups(batch);
        let mut selected = Vec::with_capacity(batch.len());
        for event in batch.drain(..) {
            self.sink.on_kernel_event(&event);
            if matches!(event.what, KernelWhat::Fork) {
                self.family.fork(event.ppid, event.process.tgid);
                self.enrich.enrich(event);
                continue;
            }
            match self.enrich.enrich(event) {
                Some(event)
                    if self.family.has(event.process.key.tgid)
                        && self.select.keeps(&event, self.plugins.interest()) =>
                {
                    self.sink.selected(&event);
                    selected.push(event);
                }
                Some(_) | None => self.stats.filtered += 1,
            }
        }
        self.sink.all_selected(&mut *self.heads, &mut self.plugins);
        let mut heads = BatchHeads::fetch(&mut *self.heads, &self.plugins, &selected);
        let mut unshown = Unshown { left: selected.len() as u64, stats: &mut self.stats };
        for (at, event) in selected.into_iter().enumerate() {
            match judge(&mut self.plugins, event, &mut heads, at) {
                Some(event) => {
                    self.sink.event(event, &mut self.plugins);
                    unshown.stats.shown += 1;
                }
                None => unshown.stats.filtered += 1,
            }
            unshown.left -= 1;
            if self.sink.is_full() {
                self.sink.flush().await;
            }
        }
    }
}

impl<S: Sink> Pipeline<S> {
    /// Tells what failed since the last time, and what plugins say; whether anything failed.
    pub fn tell_failures(&mut self, at: Timestamp) -> bool {
        let failures = self.plugins.take_failures();
        let any = !failures.is_empty();
        for failure in failures {
            self.stats.attribute(&failure);
            self.sink.notice(&Notice::PluginFailed(at, failure));
        }
        for line in self.plugins.take_log() {
            let text = format!("plugin {}: {}", line.plugin, line.message);
            match line.level {
                Level::Debug => self.console.detail(text),
                Level::Error | Level::Warn | Level::Info => self.console.info(text),
            }
        }
        any
    }
}

impl<S> Pipeline<S> {
    fn learn_cgroups(&mut self, batch: &[KernelEvent]) {
        let unknown = self.enrich.unknown_cgroups(batch);
        if unknown.is_empty() {
            return;
        }
        let ts_ns = batch.last().map_or(0, |event| event.ts_ns);
        let paths = self.heads.cgroups(&unknown, Instant::now() + heads::WAIT);
        for (at, (id, _)) in unknown.into_iter().enumerate() {
            match paths.get(at) {
                Some(path) => self.enrich.insert_cgroup(id, path.as_deref()),
                None => self.enrich.cgroup_unanswered(id, ts_ns),
            }
        }
    }
}

/// Events of a drain that did not reach the output: counted when the run ends in the middle.
struct Unshown<'a> {
    left: u64,
    stats: &'a mut Stats,
}

impl Drop for Unshown<'_> {
    fn drop(&mut self) {
        self.stats.add_loss("output_stalled", self.left);
    }
}

/// Classify and filter. None: a plugin's filter dropped it.
fn judge(
    plugins: &mut Plugins,
    event: EnrichedEvent,
    heads: &mut BatchHeads<'_>,
    at: usize,
) -> Option<ClassifiedEvent> {
    let verdict = match &event.what {
        EnrichedWhat::FileOpen { file, flags } => {
            let mut head = heads.of(at, &event.process, file, *flags);
            Some(plugins.classify(event.process.uid, file, *flags, &mut head))
        }
        _ => None,
    };
    let mut event = ClassifiedEvent { event, verdict, labels: Vec::new() };
    match plugins.decide(&event) {
        Decision::Keep => Some(event),
        Decision::Label(labels) => {
            event.labels = labels;
            Some(event)
        }
        Decision::Drop => None,
    }
}

fn hide(
    plugins: &mut Plugins,
    event: ClassifiedEvent,
    redact: bool,
    extended: bool,
) -> RedactedEvent {
    if !redact {
        return RedactedEvent::new(event, &mut NoRedaction, extended);
    }
    let uid = event.event.process.uid;
    RedactedEvent::new(event, &mut plugins.redactor(uid), extended)
}
