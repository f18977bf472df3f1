//! The only place that knows all steps, and the order they come in.

mod clock;
mod coverage;
mod family;
mod hangup;
mod heads;
mod kept_heads;
mod live;
mod looked;
mod losses;
mod profiler;
#[cfg(test)]
mod recorded;
mod recorder;
mod replay;
mod sink;
mod status;

pub use clock::wall_now;
pub use coverage::Coverage;
pub use family::Family;
pub use hangup::{Hangup, OutputSettings, Reload, Reloaded, Reopen};
pub use heads::{AskHeads, Looked, ReaderHeads};
pub use kept_heads::{Asked, Kept, KeptHeads, Missing, RecordedHeads};
pub use live::{Live, Outcome, Why, meet_reader};
pub use looked::{judge_looked, looked_facts};
pub use losses::LossTeller;
pub use profiler::{Profiler, Whose};
pub use recorder::Recorder;
pub use replay::{Replayed, replay};
pub use sink::{Sink, Stream};
pub use status::Word;

use std::time::Instant;

use crate::decode::decode;
use crate::enrich::Enrich;
use crate::event::{
    ClassifiedEvent, EnrichedEvent, EnrichedWhat, Field, KernelEvent, KernelWhat, Notice,
    RawRecord, Redact, RedactedEvent, Timestamp,
};
use crate::plugin::{Decision, Level, Plugins};
use crate::say::Say;
use crate::select::Select;
use crate::stats::Stats;
use crate::stop::Stop;
use clock::wall_of;
use heads::Heads;

/// Shows every text as it is: `--no-redact`.
struct ShowAll;

impl Redact for ShowAll {
    fn redact(&mut self, _: Field<'_>, _: &str, _: &[String]) -> Option<String> {
        None
    }
}

/// Who hides what must not be shown of what belongs to this user; nobody with `--no-redact`.
pub fn redactor(plugins: &mut Plugins, uid: u32, redact: bool) -> Box<dyn Redact + '_> {
    if redact { Box::new(plugins.redactor(uid)) } else { Box::new(ShowAll) }
}

/// The steps behind the kernel, for live records and recorded ones alike.
pub struct Line<S> {
    /// What is remembered of processes.
    pub enrich: Enrich,
    /// The host's filters.
    pub select: Select,
    /// The process of `--follow-children` and its descendants.
    pub family: Family,
    /// Classifiers, redactors, filters.
    pub plugins: Plugins,
    /// Who reads the beginnings of files.
    pub heads: Box<dyn AskHeads>,
    /// Where events go.
    pub sink: S,
    /// What was counted.
    pub stats: Stats,
    /// The wish to end.
    pub stop: Stop,
    /// Where plugins' lines go.
    pub say: Say,
}

impl<S> std::fmt::Debug for Line<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl<S: Sink> Line<S> {
    /// Decodes a record into `batch`; one that is none is counted.
    pub fn decode(&mut self, record: RawRecord<'_>, batch: &mut Vec<KernelEvent>) {
        self.stats.received += 1;
        match decode(record) {
            Ok(event) => batch.push(event),
            Err(_) => self.stats.lose("malformed_record", 1),
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
            self.sink.came(&event);
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
        let mut heads = Heads::fetch(&mut *self.heads, &self.plugins, &selected);
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

impl<S: Sink> Line<S> {
    /// Tells what failed since the last time, and what plugins say; whether anything failed.
    pub fn tell_failures(&mut self, at: Timestamp) -> bool {
        let failures = self.plugins.take_failures();
        let any = !failures.is_empty();
        for failure in failures {
            self.stats.blame(&failure);
            self.sink.notice(&Notice::PluginFailed(at, failure));
        }
        for line in self.plugins.take_log() {
            let text = format!("plugin {}: {}", line.plugin, line.message);
            match line.level {
                Level::Debug => self.say.detail(text),
                Level::Error | Level::Warn | Level::Info => self.say.info(text),
            }
        }
        any
    }
}

impl<S> Line<S> {
    fn learn_cgroups(&mut self, batch: &[KernelEvent]) {
        let unknown = self.enrich.unknown_cgroups(batch);
        if unknown.is_empty() {
            return;
        }
        let ts_ns = batch.last().map_or(0, |event| event.ts_ns);
        let paths = self.heads.cgroups(&unknown, Instant::now() + heads::WAIT);
        for (at, (id, _)) in unknown.into_iter().enumerate() {
            match paths.get(at) {
                Some(path) => self.enrich.know_cgroup(id, path.as_deref()),
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
        self.stats.lose("output_stalled", self.left);
    }
}

/// Classify and filter. None: a plugin's filter dropped it.
fn judge(
    plugins: &mut Plugins,
    event: EnrichedEvent,
    heads: &mut Heads<'_>,
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
        return RedactedEvent::new(event, &mut ShowAll, extended);
    }
    let uid = event.event.process.uid;
    RedactedEvent::new(event, &mut plugins.redactor(uid), extended)
}
