//! The types of a ladder and its rungs.

use crate::{BlindSpot, machine::Machine, probe::Probe};
use crypto_tracer_event::EventKinds;

/// Probes that together serve one purpose. The `--probe` option names a rung.
#[derive(Debug)]
pub(crate) struct Rung {
    /// Name, as for `--probe`.
    pub(crate) name: &'static str,
    pub(crate) probes: &'static [Probe],
    /// Events that it misses or misreports on every machine.
    pub(crate) cannot_see: &'static [BlindSpot],
    /// An event that it misses or misreports on this machine in addition.
    pub(crate) cannot_see_on: fn(&Machine) -> Option<BlindSpot>,
    /// Overhead for all processes, if it is significant.
    pub(crate) overhead: Option<&'static str>,
    /// Reason not to use it on this machine although it may load.
    pub(crate) unsuitable: fn(&Machine) -> Option<Unsuitable>,
}

/// Reason not to use a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsuitable {
    pub(crate) reason: &'static str,
    pub(crate) remedy: &'static str,
    /// Whether the rung is used if the user requests it by name.
    pub(crate) allowed_by_name: bool,
}

/// The rungs for one purpose.
#[derive(Debug)]
pub(crate) struct Ladder {
    pub(crate) purpose: &'static str,
    pub(crate) serves: EventKinds,
    /// Whether the rungs capture opens and library loads: `--probe` selects one of them, and the self-test applies.
    pub(crate) captures_files: bool,
    pub(crate) rungs: &'static [Rung],
}

impl Rung {
    /// Returns the events that it misses or misreports on this machine.
    pub(crate) fn cannot_see(&self, machine: &Machine) -> Vec<BlindSpot> {
        self.cannot_see.iter().cloned().chain((self.cannot_see_on)(machine)).collect()
    }
}
