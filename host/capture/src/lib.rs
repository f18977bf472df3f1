//! The kernel side: loads and attaches the BPF programs, fills their tables, hands out their records.
//!
//! The only place that knows aya. Nothing is decided here about what a record means.

mod arch;
mod blind_spots;
mod btf;
pub mod decode;
mod error;
mod helpers;
mod kernel_field;
mod ladder;
mod machine;
mod object;
mod offsets;
mod probe;
mod self_test;
mod survey;
mod tables;

use std::os::fd::{AsFd, BorrowedFd};

use crypto_tracer_common::{fixed::kinds, loss};

pub use self::{
    blind_spots::{BlindSpot, route},
    error::Error,
    machine::{Capability, Preemption},
    survey::{RungSurvey, Survey, SurveyRequest, survey},
};
use self::{
    machine::Machine,
    object::{BpfObject, read_layout},
    probe::AttachContext,
};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{ProcessKey, RawRecord};

/// Descendants that can be followed at a time.
pub const FAMILY_ROOM: u32 = 32_768;

/// Which events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKinds {
    /// Opened files.
    pub open: bool,
    /// Loaded libraries.
    pub load: bool,
    /// Executed programs.
    pub exec: bool,
    /// Ended processes.
    pub exit: bool,
    /// Made processes.
    pub fork: bool,
}

impl EventKinds {
    /// No event.
    pub const NONE: EventKinds =
        EventKinds { open: false, load: false, exec: false, exit: false, fork: false };
    /// Every event.
    pub const ALL: EventKinds =
        EventKinds { open: true, load: true, exec: true, exit: true, fork: true };

    fn meets(self, other: EventKinds) -> bool {
        self.bits() & other.bits() != 0
    }

    fn bits(self) -> u32 {
        let bit = |wanted, bit| if wanted { bit } else { 0 };
        bit(self.open, kinds::OPEN)
            | bit(self.load, kinds::LOAD)
            | bit(self.exec, kinds::EXEC)
            | bit(self.exit, kinds::EXIT)
            | bit(self.fork, kinds::FORK)
    }
}

/// What to capture.
#[derive(Clone, Debug)]
pub struct CaptureOptions<'a> {
    /// Names of files and libraries.
    pub interest: &'a Interest,
    /// Events.
    pub kinds: EventKinds,
    /// Only this process, as this process's pid namespace numbers it.
    pub pid: Option<u32>,
    /// With `pid`: its descendants too. Those that are made from now on are known to the kernel side;
    /// tell it the others by [`Source::follow`].
    pub follow_children: bool,
    /// Only processes whose name contains this: 1 to 15 bytes.
    pub comm: Option<Vec<u8>>,
    /// Size of the ring in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// The probe for opens and loads; None: the best that works.
    pub probe: Option<String>,
    /// Processes that are never reported, at most eight; this process must be among them if its
    /// own opens are not wanted.
    pub own: Vec<u32>,
}

/// A probe that is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its name, as `--probe` takes it.
    pub probe: &'static str,
    /// The kernel's names of where it is attached.
    pub hook: String,
    /// What it cannot see.
    pub cannot_see: Vec<BlindSpot>,
    /// What it costs others, where that is worth a word.
    pub costs: Option<&'static str>,
    /// The programs that it consists of.
    pub programs: Vec<&'static str>,
    /// It may not be run at all where it should be: nothing but its counter tells.
    pub misses: bool,
}

/// Events that the kernel side could not hand over since the start, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Opens for which the ring had no room.
    pub ring_full_open: u64,
    /// Library loads for which the ring had no room.
    pub ring_full_load: u64,
    /// Execs for which the ring had no room.
    pub ring_full_exec: u64,
    /// Exits for which the ring had no room.
    pub ring_full_exit: u64,
    /// Forks for which the ring had no room.
    pub ring_full_fork: u64,
    /// Descendants that are not followed because the table of followed processes was full.
    pub family_full: u64,
    /// Opens of files, wanted or not, that were closed before they could be looked at.
    pub file_gone: u64,
    /// Times that a probe was not run at all, for events wanted or not: no exact number of lost events.
    pub probe_missed: u64,
}

impl Losses {
    /// Name and number of each cause, with whether the number is exact.
    pub fn causes(&self) -> [(&'static str, u64, bool); 8] {
        [
            ("ring_full_open", self.ring_full_open, true),
            ("ring_full_load", self.ring_full_load, true),
            ("ring_full_exec", self.ring_full_exec, true),
            ("ring_full_exit", self.ring_full_exit, true),
            ("ring_full_fork", self.ring_full_fork, false),
            ("family_full", self.family_full, false),
            ("file_gone", self.file_gone, false),
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
            probe_missed: 0,
        }
    }
}

/// The attached programs and their ring.
#[derive(Debug)]
pub struct Source {
    object: BpfObject,
    attached: Vec<Attached>,
}

impl Source {
    /// Loads, attaches, checks against what `/proc` says of this process, and fills the tables.
    pub fn start(options: &CaptureOptions<'_>) -> Result<Source, Error> {
        ladder::check_name(options.probe.as_deref())?;
        if options.follow_children && options.pid.is_none() {
            return Err(Error::Option("children of which process are to be followed?".to_owned()));
        }
        machine::check_kernel()?;
        // Privileges do not help where the kernel lacks something.
        let layout = read_layout(&ladder::attached_types())?;
        machine::check_privileges()?;
        let mut object = BpfObject::load(options, &layout)?;
        // What follows must see forks and ends, whether they are wanted or not.
        let kinds = EventKinds {
            exit: options.kinds.exit || options.follow_children,
            fork: options.kinds.fork || options.follow_children,
            ..options.kinds
        };
        let machine = Machine::detect();
        let ground = AttachContext { layout: &layout, machine: &machine, kinds };
        let attached = ladder::attach(&mut object, &ground, options.probe.as_deref())?;
        object.set_own(&options.own)?;
        object.set_interest(options.interest)?;
        Ok(Source { object, attached })
    }

    /// Hands at most `most` records to `each`; how many it were. Does not wait.
    pub fn drain(&mut self, most: usize, each: &mut dyn FnMut(RawRecord<'_>)) -> usize {
        let mut count = 0;
        while count < most {
            let Some(record) = self.object.ring.next() else { break };
            each(RawRecord(&record));
            count += 1;
        }
        count
    }

    /// Ends the capture. What is in the ring already can still be drained.
    pub fn detach(&mut self) {
        self.object.detach();
    }

    /// What was lost since the start. Counters that cannot be read are told as zero.
    pub fn losses(&self) -> Losses {
        self.object.losses()
    }

    /// What is attached.
    pub fn attached(&self) -> &[Attached] {
        &self.attached
    }

    /// Whether something may be lost of which no record and no wake-up tells: only [`Source::losses`], when it is asked.
    pub fn loses_silently(&self) -> bool {
        self.attached.iter().any(|probe| probe.misses)
    }

    /// Which processes are not told, whatever they do; None: every process is.
    pub fn outside(&self) -> Option<&'static str> {
        machine::outside()
    }

    /// Captures other names from now on, without a moment in which neither the old nor the new ones are captured.
    pub fn set_interest(&mut self, interest: &Interest) -> Result<(), Error> {
        self.object.set_interest(interest)
    }

    /// Follows these processes too, descendants that were there before; how many were not followed yet. Of the start time, the
    /// 10 ms count in which `/proc` tells it.
    pub fn follow(&mut self, processes: &[ProcessKey]) -> Result<usize, Error> {
        self.object.follow(processes)
    }

    /// Replaces the processes that are never reported, at most eight.
    pub fn set_own(&mut self, own: &[u32]) -> Result<(), Error> {
        self.object.set_own(own)
    }
}

/// Refuses a process in a user namespace of its own: what it may do there says nothing about the kernel, nor about whose
/// files it sees.
pub fn check_user_namespace() -> Result<(), Error> {
    machine::check_user_namespace()
}

impl AsFd for Source {
    /// Readable while the ring has records.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.object.ring.as_fd()
    }
}
