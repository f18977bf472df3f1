//! Builds the inventory of a run.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::plugin_stages::details_facts;
use super::stale::{STALE_TIMEOUT, StaleTracker};
use super::{LiveReader, Observer, PluginStages};
use crate::select::Select;
use crypto_tracer_event::{
    EnrichedEvent, KernelEvent, Notice, RedactedEvent, RedactedWhat, Timestamp,
};
use crypto_tracer_output::Output;
use crypto_tracer_output::document::{
    Coverage, Host, Inventory, InventoryBuilder, InventoryRun, UseKey,
};
use crypto_tracer_reader::ProcessDetails;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::Console;

/// Time limit for the versions of the libraries, when a document is made.
const VERSIONS_TIMEOUT: Duration = Duration::from_millis(200);
/// Time limit for the versions of the libraries that are mapped at the start.
const FIRST_VERSIONS_TIMEOUT: Duration = Duration::from_secs(3);

/// Names of users by their ids.
pub type UserNames = Box<dyn Fn(u32) -> String>;

/// What an inventory says about its run besides its events.
pub struct InventoryFacts {
    /// The machine.
    pub host: Host,
    /// Attached probes.
    pub probes: Vec<String>,
    /// What the run cannot see.
    pub blind_spots: Vec<String>,
    /// Number of processes whose earlier libraries and files could not be read completely.
    pub unreadable_processes: u64,
    /// Names of users.
    pub users: UserNames,
}

impl fmt::Debug for InventoryFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InventoryFacts").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Receives the documents of a run that writes several.
pub type InventorySink = Box<dyn FnMut(Inventory)>;

/// Counters for a progress display.
#[derive(Clone, Debug, Default)]
pub struct InventoryCounters {
    /// Events so far.
    pub events: Arc<AtomicU64>,
    /// Uses so far.
    pub uses: Arc<AtomicU64>,
}

/// Builds an inventory. Copies share it: one observes the run, one is its output, and one remains with the command.
#[derive(Clone, Debug)]
pub struct InventoryCollector(Rc<RefCell<Collector>>);

struct Collector {
    builder: InventoryBuilder,
    tracker: StaleTracker<UseKey>,
    facts: InventoryFacts,
    /// Begin of the window. `None` in a replay: the first event.
    from: Option<Timestamp>,
    /// Time of the last event.
    last: Option<Timestamp>,
    lost: BTreeMap<String, u64>,
    lost_exactly: u64,
    reader: Option<LiveReader>,
    every: Option<(Duration, Instant, InventorySink)>,
    counters: InventoryCounters,
    clock: Clock,
    console: Console,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl InventoryCollector {
    /// `reader`: the reader process of a live run; `None` in a replay.
    pub fn new(
        facts: InventoryFacts,
        reader: Option<LiveReader>,
        clock: Clock,
        console: Console,
    ) -> InventoryCollector {
        let from = reader.is_some().then(|| clock.now());
        InventoryCollector(Rc::new(RefCell::new(Collector {
            builder: InventoryBuilder::default(),
            tracker: StaleTracker::new(reader.clone()),
            facts,
            from,
            last: None,
            lost: BTreeMap::new(),
            lost_exactly: 0,
            reader,
            every: None,
            counters: InventoryCounters::default(),
            clock,
            console,
        })))
    }

    /// Adds the libraries and files of a process that started before the run, if it can have events that pass `select`.
    pub fn add_existing(
        &self,
        process: &ProcessDetails,
        select: &Select,
        stages: &mut PluginStages,
    ) {
        if !select.wants_process(&details_facts(process)) {
            return;
        }
        let mut collector = self.0.borrow_mut();
        if !process.readable {
            collector.facts.unreadable_processes += 1;
        }
        collector.tracker.add_existing(process);
        let at = collector.clock.now();
        for held in stages.existing_selected(process, at, select) {
            collector.add(&held, true);
        }
    }

    /// Looks up the versions of the libraries that processes have mapped before the run.
    pub fn look_up_versions(&self) {
        self.0.borrow_mut().look_up_versions(FIRST_VERSIONS_TIMEOUT);
    }

    /// Counts processes that could not be read.
    pub fn add_unreadable(&self, count: u64) {
        self.0.borrow_mut().facts.unreadable_processes += count;
    }

    /// Notes something that the run cannot see.
    pub fn add_blind_spot(&self, spot: &str) {
        self.0.borrow_mut().facts.blind_spots.push(spot.to_owned());
    }

    /// Passes a document to `sink` in each interval.
    pub fn write_every(&self, interval: Duration, sink: InventorySink) {
        self.0.borrow_mut().every = Some((interval, Instant::now() + interval, sink));
    }

    /// Returns the counters, for a progress display.
    pub fn counters(&self) -> InventoryCounters {
        self.0.borrow().counters.clone()
    }

    /// Returns the document of the run until now. In a live run, looks at what is stale.
    pub fn document(&self) -> Inventory {
        self.0.borrow_mut().document()
    }
}

impl Collector {
    fn add(&mut self, event: &RedactedEvent, before: bool) {
        let key = self.builder.add_event(event, before);
        if let (
            Some(key),
            RedactedWhat::LibLoad { file, .. } | RedactedWhat::FileOpen { file, .. },
        ) = (key, event.what())
        {
            let process = event.process();
            self.tracker.set_key(process.pid, process.start_ns, file.identity, key);
            self.counters.uses.store(self.builder.uses() as u64, Ordering::Relaxed);
        }
    }

    fn document(&mut self) -> Inventory {
        self.look_up_versions(VERSIONS_TIMEOUT);
        let stale: HashMap<UseKey, _> = self.tracker.look(STALE_TIMEOUT);
        let at = self.clock.now();
        let coverage = Coverage {
            events_lost: self.lost_exactly,
            lost_by_cause: self.lost.clone(),
            probes: self.facts.probes.clone(),
            blind_spots: self.facts.blind_spots.clone(),
            unreadable_processes: self.facts.unreadable_processes,
            ..Coverage::default()
        };
        let window = (self.from.unwrap_or(at), self.last.filter(|_| self.reader.is_none()));
        let run = InventoryRun {
            at,
            window: (window.0, window.1.unwrap_or(at)),
            host: self.facts.host.clone(),
            coverage,
        };
        self.builder.document(run, &*self.facts.users, &stale)
    }

    fn look_up_versions(&mut self, timeout: Duration) {
        let Some(reader) = &self.reader else { return };
        let (keys, queries): (Vec<_>, Vec<_>) = self.tracker.take_libraries().into_iter().unzip();
        let found = reader.versions(&queries, Instant::now() + timeout);
        for (key, version) in keys.into_iter().zip(found) {
            if let Some(version) = version {
                self.builder.set_version(key, &version);
            }
        }
    }
}

impl Observer for InventoryCollector {
    fn on_kernel_event(&mut self, event: &KernelEvent) {
        self.0.borrow_mut().tracker.follow(event);
    }

    fn on_selected(&mut self, event: &EnrichedEvent) {
        self.0.borrow_mut().tracker.add_event(event);
    }

    fn on_batch_selected(&mut self, _: &mut PluginStages) {
        self.0.borrow_mut().tracker.end_batch();
    }

    fn next_due(&self) -> Option<Instant> {
        self.0.borrow().every.as_ref().map(|(_, next, _)| *next)
    }

    fn on_due(&mut self, now: Instant) {
        let mut collector = self.0.borrow_mut();
        let is_due = collector.every.as_ref().is_some_and(|(_, next, _)| *next <= now);
        if !is_due {
            return;
        }
        let document = collector.document();
        if let Some((interval, next, sink)) = &mut collector.every {
            sink(document);
            *next = Instant::now() + *interval;
        }
    }
}

impl Output for InventoryCollector {
    fn event(&mut self, event: &RedactedEvent) -> bool {
        let mut collector = self.0.borrow_mut();
        let at = event.timestamp();
        collector.from = Some(collector.from.map_or(at, |from| from.min(at)));
        collector.last = collector.last.max(Some(at));
        collector.add(event, false);
        collector.counters.events.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn notice(&mut self, notice: &Notice) -> bool {
        let mut collector = self.0.borrow_mut();
        match notice {
            Notice::EventsLost(_, loss) => {
                *collector.lost.entry(loss.cause.to_string()).or_default() += loss.count;
                collector.lost_exactly += if loss.exact { loss.count } else { 0 };
            }
            Notice::PluginFailed(_, failure) => collector.console.info(failure),
            Notice::Status(_, status) => collector.console.info(status),
        }
        false
    }
}
