//! The kernel side: loads and attaches the BPF programs, fills their maps and drains their ring buffer.
//!
//! The only crate that depends on aya. It decodes records but does not interpret them.

mod arch;
mod blind_spots;
mod btf;
pub mod decode;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod helpers;
mod kernel_field;
mod ladder;
mod machine;
mod object;
mod offsets;
mod probe;
mod ring;
mod self_test;
mod start_times;
mod survey;
mod tables;

use std::os::fd::{AsFd, BorrowedFd};

use crypto_tracer_common::loss;

pub use self::{
    blind_spots::{BlindSpot, route},
    error::Error,
    machine::{Capability, Preemption},
    start_times::StartTimes,
    survey::{RungSurvey, Survey, SurveyRequest, survey},
};
use self::{
    machine::Machine,
    object::{BpfObject, read_layout},
    probe::AttachContext,
    start_times::Lap,
};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{EventKinds, ProcessKey, RawRecord};

/// Maximum number of descendants that are followed at a time.
pub const MAX_FOLLOWED: u32 = 32_768;

/// What to capture.
#[derive(Clone, Debug)]
pub struct CaptureOptions<'a> {
    /// The names of files and libraries to report.
    pub interest: &'a Interest,
    /// The kinds of events to report.
    pub kinds: EventKinds,
    /// PID to trace, in the tracer's pid namespace. `None`: all processes.
    pub pid: Option<u32>,
    /// With `pid`: its start time, in nanoseconds of the boot clock, rounded down to a tick of `/proc`. A later process with
    /// the same PID is not traced. `None`: any process with this PID.
    pub pid_started: Option<u64>,
    /// With `pid`: trace its descendants too. The programs add those that are forked from now on; the caller adds the
    /// existing ones with [`Source::follow`].
    pub follow_children: bool,
    /// Trace only processes whose name (`comm`) contains this: 1 to 15 bytes. `None`: any name.
    pub comm: Option<Vec<u8>>,
    /// Size of the ring buffer in bytes: a power of two, at least one page.
    pub ring_bytes: u32,
    /// Whether a user's events are dropped while they fill more than a share of the ring buffer, so that there is room for
    /// those of other users.
    pub limit_floods: bool,
    /// The probe for opens and library loads. `None`: the best one that works.
    pub probe: Option<String>,
    /// PIDs that are never reported, at most eight. Include this process's PID to exclude its own opens.
    pub excluded_pids: Vec<u32>,
}

/// An attached rung. A rung is what `--probe` names: one or more BPF programs that together capture events of some kinds.
/// A ladder lists the rungs that can capture the same kinds, best first; the first one that works is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Name, as for `--probe`.
    pub rung: &'static str,
    /// The hooks that it is attached to, separated by commas.
    pub hook: String,
    /// Events that it misses or misreports.
    pub cannot_see: Vec<BlindSpot>,
    /// Overhead for all processes, if it is significant.
    pub overhead: Option<&'static str>,
    /// The kernel may skip these programs; only `recursion_misses` counts it.
    pub(crate) may_miss_events: bool,
}

/// Number of events lost in the kernel since the start, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Opens lost because the ring buffer was full.
    pub ring_full_open: u64,
    /// Library loads lost because the ring buffer was full.
    pub ring_full_load: u64,
    /// Execs lost because the ring buffer was full.
    pub ring_full_exec: u64,
    /// Exits lost because the ring buffer was full.
    pub ring_full_exit: u64,
    /// Forks lost because the ring buffer was full.
    pub ring_full_fork: u64,
    /// Descendants not followed because the map of followed processes was full.
    pub family_full: u64,
    /// Opens and library loads whose file was closed before the program read it, including files outside the interest.
    pub file_gone: u64,
    /// Events that were dropped because their user filled the ring buffer.
    pub flood: u64,
    /// The same for forks.
    pub flood_fork: u64,
    /// Program invocations that the kernel skipped, including those for events outside the interest.
    pub probe_missed: u64,
}

impl Losses {
    /// Returns each cause's name and count, and whether the count is exactly the number of lost events.
    pub fn causes(&self) -> [(&'static str, u64, bool); 10] {
        [
            ("ring_full_open", self.ring_full_open, true),
            ("ring_full_load", self.ring_full_load, true),
            ("ring_full_exec", self.ring_full_exec, true),
            ("ring_full_exit", self.ring_full_exit, true),
            ("ring_full_fork", self.ring_full_fork, false),
            ("family_full", self.family_full, false),
            ("file_gone", self.file_gone, false),
            ("flood", self.flood, true),
            ("flood_fork", self.flood_fork, false),
            ("probe_missed", self.probe_missed, false),
        ]
    }

    fn from_counts(counts: &[u64; loss::CAUSES]) -> Losses {
        let count = |cause: u32| counts.get(cause as usize).copied().unwrap_or(0);
        Losses {
            ring_full_open: count(loss::RING_FULL_OPEN),
            ring_full_load: count(loss::RING_FULL_LOAD),
            ring_full_exec: count(loss::RING_FULL_EXEC),
            ring_full_exit: count(loss::RING_FULL_EXIT),
            ring_full_fork: count(loss::RING_FULL_FORK),
            family_full: count(loss::FAMILY_FULL),
            file_gone: count(loss::FILE_GONE),
            flood: count(loss::FLOOD),
            flood_fork: count(loss::FLOOD_FORK),
            probe_missed: 0,
        }
    }
}

/// Maximum size of a batch of records.
#[derive(Clone, Copy, Debug)]
pub struct DrainLimit {
    /// Number of records.
    pub records: usize,
    /// Size in bytes. The record that exceeds it belongs to the batch.
    pub bytes: usize,
}

/// A batch of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Number of records.
    pub records: usize,
    /// Size in bytes.
    pub bytes: usize,
    /// The limit ended the batch: there may be more records.
    pub has_more: bool,
}

/// The attached programs and their ring buffer.
#[derive(Debug)]
pub struct Source {
    object: BpfObject,
    attached: Vec<Attached>,
    start_times: StartTimes,
}

impl Source {
    /// Loads and attaches the programs, self-tests them on its own system calls, and fills the maps.
    ///
    /// Fails if `options` are invalid, if the kernel or this process's privileges do not suffice, or if no probe works.
    pub fn start(options: &CaptureOptions<'_>) -> Result<Source, Error> {
        let mut lap = Lap::begin();
        ladder::check_name(options.probe.as_deref())?;
        if options.follow_children && options.pid.is_none() {
            return Err(Error::Option("--follow-children requires --pid".to_owned()));
        }
        machine::check_kernel()?;
        // Checked before privileges, because a missing kernel feature is the more useful error.
        let layout = read_layout(&ladder::hook_btf_names())?;
        machine::check_privileges()?;
        let types = lap.next();
        let mut object = BpfObject::load(options, &layout)?;
        lap.next();
        // Following children requires forks and exits, even if they are not reported.
        let kinds = EventKinds {
            exit: options.kinds.exit || options.follow_children,
            fork: options.kinds.fork || options.follow_children,
            ..options.kinds
        };
        let machine = Machine::detect();
        let context = AttachContext { layout: &layout, machine: &machine, kinds };
        let attached = ladder::attach(&mut object, &context, options.probe.as_deref())?;
        let verification = object.verification_time;
        let attach = lap.next().saturating_sub(verification);
        object.set_excluded_pids(&options.excluded_pids)?;
        object.set_interest(options.interest)?;
        let start_times = StartTimes { types, verification, attach };
        Ok(Source { object, attached, start_times })
    }

    /// Passes records to `f` until there is none, or `limit` is reached. Does not block.
    pub fn drain(&mut self, limit: DrainLimit, f: &mut dyn FnMut(RawRecord<'_>)) -> Drained {
        let mut drained = Drained::default();
        while drained.records < limit.records && drained.bytes < limit.bytes {
            let mut bytes = 0;
            let taken = self.object.ring.take(&mut |record| {
                bytes = record.len();
                f(RawRecord(record));
            });
            if !taken {
                return drained;
            }
            drained.records += 1;
            drained.bytes += bytes;
        }
        Drained { has_more: true, ..drained }
    }

    /// Returns whether more than half of the ring buffer is in use.
    pub fn is_ring_half_full(&self) -> bool {
        self.object.ring.is_half_full()
    }

    /// Detaches the programs. Records that are in the ring buffer can still be drained.
    pub fn detach(&mut self) {
        self.object.detach();
    }

    /// Returns the losses since the start. A counter that cannot be read counts as zero.
    pub fn losses(&self) -> Losses {
        self.object.losses()
    }

    /// Returns how long the parts of the start took.
    pub fn start_times(&self) -> StartTimes {
        self.start_times
    }

    /// Returns the attached probes.
    pub fn attached(&self) -> &[Attached] {
        &self.attached
    }

    /// Returns whether losses may occur without waking the reader of the ring buffer, so that the caller must poll
    /// [`Source::losses`].
    pub fn loses_silently(&self) -> bool {
        self.attached.iter().any(|rung| rung.may_miss_events)
    }

    /// Returns a sentence about the processes that are not reported because they are outside the tracer's pid namespace.
    /// `None`: no pid namespace limit.
    pub fn pid_namespace_limit(&self) -> Option<&'static str> {
        machine::pid_namespace_limit()
    }

    /// Replaces the interest atomically: at any time, either the old or the new names are captured.
    pub fn set_interest(&mut self, interest: &Interest) -> Result<(), Error> {
        self.object.set_interest(interest)
    }

    /// Follows existing descendants. Returns how many were added.
    ///
    /// For start times, `/proc`'s 10 ms resolution is sufficient.
    pub fn follow(&mut self, processes: &[ProcessKey]) -> Result<usize, Error> {
        self.object.follow(processes)
    }

    /// Replaces the PIDs that are never reported, at most eight.
    pub fn set_excluded_pids(&mut self, pids: &[u32]) -> Result<(), Error> {
        self.object.set_excluded_pids(pids)
    }
}

/// Fails if this process is not in the initial user namespace: capabilities in another one do not permit tracing, and
/// the process cannot determine the owners of files.
pub fn check_user_namespace() -> Result<(), Error> {
    machine::check_user_namespace()
}

impl AsFd for Source {
    /// The file descriptor is readable while the ring buffer has records.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.object.ring.as_fd()
    }
}
