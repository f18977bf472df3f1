//! `inventory record --from EVENTS.json`: makes the document of a stream that was collected elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, anyhow};

use super::from::{NO_PROBES, NOTHING_BEFORE, target};
use crate::cli::{InventoryRecord, Trace};
use crate::commands::document;
use crate::commands::document::failed;
use crate::error::{ExitStatus, Failure};
use crate::interruptible_read::Input;
use crypto_tracer_event::Timestamp;
use crypto_tracer_output::document::inventory::{
    StreamError, StreamEvent, StreamMeaning, read_events,
};
use crypto_tracer_output::document::{
    Coverage, Host, Inventory, InventoryBuilder, InventoryRun, Stale, StaleReason, UseKey,
};
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;

/// Size of the read buffer in bytes.
const READ_BUFFER: usize = 256 << 10;
/// Maximum number of pairs of a living process and a use.
const MAX_LIVING: usize = 1 << 18;

/// Makes the document of a stream. Texts are as the stream has them: redacted or not.
pub(super) fn record(
    arguments: &InventoryRecord,
    path: &Path,
    console: Console,
) -> Result<(), Failure> {
    let usage = |error| Failure { code: ExitStatus::Usage, error };
    if let Some((kind, _)) =
        arguments.plugins.chains().into_iter().find(|(_, files)| !files.is_empty())
    {
        return Err(usage(anyhow!(
            "--{kind} takes no effect: the events of {} are classified, filtered and redacted already",
            path.display()
        )));
    }
    let shutdown = Shutdown::default();
    let _signals =
        Signals::start(shutdown.clone()).context("cannot handle signals").map_err(failed)?;
    let input = Input::open(path, &shutdown)
        .with_context(|| format!("cannot open {}", path.display()))
        .map_err(usage)?;
    let target = target(arguments, &input, &shutdown)?;
    let Some(target) = target else { return Ok(()) };
    let mut stream = Stream { host: host(), ..Stream::default() };
    let input = BufReader::with_capacity(READ_BUFFER, input);
    let read = read_events(input, &mut |event| stream.add(event, &arguments.trace));
    match read {
        Ok(()) => {}
        // The request interrupted the read. What was read so far is printed.
        Err(StreamError::Io(_)) if shutdown.is_requested() => {}
        Err(error) => {
            let error = anyhow::Error::new(error).context(path.display().to_string());
            let code = if stream.first.is_none() { ExitStatus::Usage } else { ExitStatus::Failed };
            return Err(Failure { code, error });
        }
    }
    let inventory = stream.document(&super::user_names(!arguments.print.no_redact));
    super::report_missing(&inventory, console);
    document::print(&inventory, &arguments.print.to, target, &shutdown)
}

fn host() -> Host {
    Host { hostname: None, kernel: None, os: None }
}

/// What was read so far.
#[derive(Debug)]
struct Stream {
    builder: InventoryBuilder,
    host: Host,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    lost: BTreeMap<String, u64>,
    lost_exactly: u64,
    probes: Option<(Vec<String>, Vec<String>)>,
    /// The uses of processes that have not ended. Whether they are stale is not known.
    living: HashMap<u32, HashSet<UseKey>>,
    living_count: usize,
    /// Uses of living processes beyond the limit.
    beyond: HashSet<UseKey>,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream {
            builder: InventoryBuilder::default(),
            host: host(),
            first: None,
            last: None,
            lost: BTreeMap::new(),
            lost_exactly: 0,
            probes: None,
            living: HashMap::new(),
            living_count: 0,
            beyond: HashSet::new(),
        }
    }
}

impl Stream {
    fn add(&mut self, event: StreamEvent, trace: &Trace) -> Result<(), String> {
        let at = event.timestamp().0;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = self.last.max(Some(at));
        if !is_selected(&event, trace) {
            return Ok(());
        }
        let meaning = event.add_to(&mut self.builder);
        match meaning.map_err(|field| format!("the event has no field {field}"))? {
            StreamMeaning::Use(pid, Some(key)) => {
                if self.living_count >= MAX_LIVING {
                    self.beyond.insert(key);
                } else if self.living.entry(pid).or_default().insert(key) {
                    self.living_count += 1;
                }
            }
            StreamMeaning::Ended(pid) | StreamMeaning::Executed(pid) => {
                let ended = self.living.remove(&pid).unwrap_or_default();
                self.living_count -= ended.len();
            }
            StreamMeaning::Lost(cause, count, exact) => {
                *self.lost.entry(cause).or_default() += count;
                self.lost_exactly = self.lost_exactly.saturating_add(if exact { count } else { 0 });
            }
            StreamMeaning::Probes(probes, spots) => self.probes = Some((probes, spots)),
            StreamMeaning::Use(_, None) | StreamMeaning::Other => {}
        }
        Ok(())
    }

    fn document(self, users: &dyn Fn(u32) -> String) -> Inventory {
        let now = Clock::system().now();
        let (first, last) = (self.first.unwrap_or(now), self.last.unwrap_or(now));
        let (probes, mut blind_spots) =
            self.probes.unwrap_or_else(|| (Vec::new(), vec![NO_PROBES.to_owned()]));
        blind_spots.push(NOTHING_BEFORE.to_owned());
        let coverage = Coverage {
            events_lost: self.lost_exactly,
            lost_by_cause: self.lost,
            probes,
            blind_spots,
            ..Coverage::default()
        };
        let run = InventoryRun { at: last, window: (first, last), host: self.host, coverage };
        let unknown = Stale { since: None, reason: StaleReason::Unknown };
        let living = self.living.into_values().flatten().chain(self.beyond);
        let stale = living.map(|key| (key, unknown)).collect();
        self.builder.document(run, users, &stale)
    }
}

/// Applies the filters to the texts of the stream, which may be redacted. Events about the run always pass.
fn is_selected(event: &StreamEvent, trace: &Trace) -> bool {
    let watched = &trace.processes.watched;
    let contains = |text: &str, part: &OsString| {
        let part = part.as_bytes();
        part.is_empty() || text.as_bytes().windows(part.len()).any(|window| window == part)
    };
    let Some(pid) = event.pid() else { return true };
    let name = |text: &OsString| {
        let process = event.process().is_some_and(|name| contains(name, text));
        let exe = event.exe().and_then(|exe| exe.rsplit('/').next());
        process || exe.is_some_and(|exe| contains(exe, text))
    };
    let is_use = event.file().is_some() || event.library().is_some();
    let library = |text| event.library().is_some_and(|path| contains(path, text));
    let file = |glob: &crypto_tracer_pipeline::glob::Glob| {
        event.file().is_some_and(|path| glob.matches(path.as_bytes()))
    };
    watched.pid.iter().all(|&wanted| wanted == pid)
        && watched.name.iter().all(name)
        && (!is_use
            || trace.libraries.library.iter().all(library) && trace.files.file.iter().all(file))
}
