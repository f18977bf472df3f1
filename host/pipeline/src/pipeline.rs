//! The order of the stages.

use std::collections::HashSet;
use std::time::Instant;

use super::enrich::Enrich;
use super::heads::{EventWithHead, Prefetched};
use super::select::Select;
use super::stats::Stats;
use super::{Observer, PluginStages};
use crypto_tracer_capture::decode::decode_with;
use crypto_tracer_event::{
    Buffers, EnrichedEvent, EnrichedWhat, KernelEvent, KernelWhat, Notice, RawRecord, Timestamp,
};
use crypto_tracer_output::Output;
use crypto_tracer_output::document::KnownUses;
use crypto_tracer_plugin::Level;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;

/// All stages after the kernel, for live records and recorded ones alike.
pub struct Pipeline {
    /// The clock of the run.
    pub clock: Clock,
    /// What is known of processes.
    pub enrich: Enrich,
    /// The host's filters.
    pub select: Select,
    /// What watches the run without printing.
    pub observers: Vec<Box<dyn Observer>>,
    /// Heads, classifiers, filters and redactors.
    pub stages: PluginStages,
    /// What `--baseline` knows: only other loads and opens are passed on.
    pub baseline: Option<KnownUses>,
    /// The destination of events.
    pub output: Box<dyn Output>,
    /// Counters of the run.
    pub stats: Stats,
    /// Ends the run.
    pub shutdown: Shutdown,
    /// Standard error.
    pub console: Console,
    /// Memory that batches share.
    pub scratch: Scratch,
}

/// Memory of earlier batches and events, so that an event in the steady state allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    selected: Vec<EnrichedEvent>,
    with_heads: Vec<EventWithHead>,
    /// Time and index of each event of a batch.
    order: Vec<(u64, usize)>,
    buffers: Buffers,
}

impl Scratch {
    /// Sorts events by time. Events of the same time keep their order.
    fn sort(&mut self, batch: &mut [KernelEvent]) {
        if batch.is_sorted_by_key(|event| event.ts_ns) {
            return;
        }
        let order = &mut self.order;
        order.clear();
        order.extend(batch.iter().enumerate().map(|(at, event)| (event.ts_ns, at)));
        // The standard library's stable sort of events would allocate a copy of them.
        order.sort_unstable();
        // Each cycle of the permutation is moved by swaps. An index that points to itself is done.
        for start in 0..batch.len() {
            let mut to = start;
            while let Some((_, from)) = order.get_mut(to)
                && *from != to
            {
                let next = std::mem::replace(from, to);
                if next == start {
                    break;
                }
                batch.swap(to, next);
                to = next;
            }
        }
    }
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Stage `decode`: adds the record to `batch`. A record that cannot be decoded is counted as lost.
    ///
    /// It comes before [`Pipeline::process`] because a record lies in the ring only until the next one is read.
    pub fn decode(&mut self, record: RawRecord<'_>, batch: &mut Vec<KernelEvent>) {
        self.stats.received += 1;
        match decode_with(record, &mut || self.scratch.buffers.path()) {
            Ok(event) => batch.push(event),
            Err(_) => self.stats.add_loss("malformed_record", 1),
        }
    }

    /// Runs the events of one drain through all stages, in the order of their time. Leaves `batch` empty.
    ///
    /// Waits while the output is slow. If the future is dropped before it is ready, the remaining events are counted as
    /// lost.
    pub async fn process(&mut self, batch: &mut Vec<KernelEvent>) {
        self.scratch.sort(batch);
        self.look_up_cgroups(batch);
        self.enrich_and_select(batch);
        let with_heads = std::mem::take(&mut self.scratch.with_heads);
        let Prefetched { mut events, until } =
            self.stages.read_heads(&mut self.scratch.selected, with_heads);
        let mut unfinished = Unfinished { count: events.len() as u64, stats: &mut self.stats };
        let buffers = &mut self.scratch.buffers;
        for event in events.drain(..) {
            let event = self.stages.classify(event, until);
            if let Some(verdict) = &event.verdict {
                unfinished.stats.count_head(event.event.process.uid, verdict);
                unfinished.stats.skipped += u64::from(verdict.skipped);
            }
            let event = self.stages.filter(event).map(|event| self.stages.redact(event, buffers));
            let event =
                event.filter(|it| self.baseline.as_ref().is_none_or(|known| known.is_new(it)));
            unfinished.finish_one(event.is_some());
            let Some(event) = event else { continue };
            let is_full = self.output.event(&event);
            event.recycle(buffers);
            if is_full && let Some(flush) = self.output.flush() {
                flush.await;
            }
        }
        self.scratch.with_heads = events;
    }

    /// Stages `enrich` and `select`, event by event: observers see them in the order in which they happened.
    fn enrich_and_select(&mut self, batch: &mut Vec<KernelEvent>) {
        let Scratch { selected, buffers, .. } = &mut self.scratch;
        selected.clear();
        for event in batch.drain(..) {
            self.observers.iter_mut().for_each(|observer| observer.on_kernel_event(&event));
            let is_fork = matches!(event.what, KernelWhat::Fork);
            match self.enrich.enrich_with(event, buffers) {
                Some(mut event) if self.select.keeps(&event, self.stages.plugins.interest()) => {
                    let process = &mut event.process;
                    process.ancestors = self.enrich.ancestry.of(process.key, process.ppid);
                    self.observers.iter_mut().for_each(|observer| observer.on_selected(&event));
                    selected.push(event);
                }
                // A fork is never printed, so it does not count as filtered.
                None if is_fork => {}
                None => self.stats.filtered += 1,
                Some(event) => {
                    self.stats.filtered += 1;
                    match event.what {
                        EnrichedWhat::FileOpen { file, .. } => buffers.put_path(file.path.bytes),
                        EnrichedWhat::LibLoad { file, library_name } => {
                            buffers.put_path(file.path.bytes);
                            buffers.put_path(library_name);
                        }
                        EnrichedWhat::Exec { arguments } => buffers.put_path(arguments.bytes),
                        EnrichedWhat::Exit { .. } => {}
                    }
                }
            }
        }
        let stages = &mut self.stages;
        self.observers.iter_mut().for_each(|observer| observer.on_batch_selected(stages));
    }

    fn look_up_cgroups(&mut self, batch: &[KernelEvent]) {
        let unknown = self.enrich.unknown_cgroups(batch);
        if unknown.is_empty() {
            return;
        }
        let ts_ns = batch.last().map_or(0, |event| event.ts_ns);
        let until = Instant::now() + self.stages.head_timeout;
        let mut unanswered: HashSet<u64> = unknown.iter().map(|wanted| wanted.id).collect();
        for (id, path) in self.stages.reader.cgroups(&unknown, until) {
            unanswered.remove(&id);
            self.enrich.insert_cgroup(id, path.as_deref());
        }
        unanswered.into_iter().for_each(|id| self.enrich.cgroup_timed_out(id, ts_ns));
    }

    /// Reports the plugins' failures since the last call, and their log lines. Returns whether any plugin failed.
    pub(crate) fn report_failures(&mut self, at: Timestamp) -> bool {
        let failures = self.stages.plugins.take_failures();
        let any = !failures.is_empty();
        for failure in failures {
            self.stats.attribute(&failure);
            self.output.notice(&Notice::PluginFailed(at, failure));
        }
        for line in self.stages.plugins.take_log() {
            let text = format!("plugin {}: {}", line.plugin, line.message);
            match line.level {
                Level::Debug => self.console.detail(text),
                Level::Error | Level::Warn | Level::Info => self.console.info(text),
            }
        }
        any
    }

    /// Passes on what is pending in the output; waits while its receiver is slow.
    pub(super) async fn flush(&mut self) {
        if let Some(flush) = self.output.flush() {
            flush.await;
        }
    }

    /// Whether an observer has nothing more to wait for.
    pub(super) fn is_complete(&self) -> bool {
        self.observers.iter().any(|observer| observer.is_complete())
    }
}

/// Counts the events of a drain that did not reach the output, if the run ends in the middle of it.
struct Unfinished<'a> {
    count: u64,
    stats: &'a mut Stats,
}

impl Unfinished<'_> {
    /// Counts an event as shown or filtered. This comes before the output may wait: an event that the output has taken is
    /// in the output's own count.
    fn finish_one(&mut self, is_shown: bool) {
        self.count -= 1;
        if is_shown {
            self.stats.shown += 1;
        } else {
            self.stats.filtered += 1;
        }
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.stats.add_loss("output_stalled", self.count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crypto_tracer_event::{Comm, ProcessKey};

    fn event((ts_ns, tid): (u64, u32)) -> KernelEvent {
        KernelEvent {
            ts_ns,
            process: ProcessKey::default(),
            exec_id: 0,
            tid,
            ppid: 0,
            uid: 0,
            comm: Comm::default(),
            mount_ns: 0,
            cgroup_id: 0,
            root: (0, 0),
            what: KernelWhat::Fork,
        }
    }

    proptest! {
        #[test]
        fn a_batch_is_sorted_by_time_and_stable(times in proptest::collection::vec(0u64..20, 0..60)) {
            let mut batch: Vec<KernelEvent> = times.into_iter().zip(0..).map(event).collect();
            let mut expected = batch.clone();
            expected.sort_by_key(|event| event.ts_ns);
            Scratch::default().sort(&mut batch);
            prop_assert_eq!(batch, expected);
        }
    }
}
