//! A rung, and the ladder that it belongs to.

use crate::{BlindSpot, EventKinds, machine::Machine, probe::Probe};

/// Probes that do one thing together.
#[derive(Debug)]
pub(crate) struct Rung {
    /// How `--probe` names it.
    pub(crate) name: &'static str,
    pub(crate) probes: &'static [Probe],
    /// What it cannot see, or sees wrongly.
    pub(crate) cannot_see: &'static [BlindSpot],
    /// What else it cannot see on this machine.
    pub(crate) cannot_see_here: fn(&Machine) -> Option<BlindSpot>,
    /// What it costs others, where that is worth a word.
    pub(crate) costs: Option<&'static str>,
    /// Why it should not be used on this machine although it may load, and what would help.
    pub(crate) unfit: fn(&Machine) -> Option<Unsuitable>,
}

/// Why a rung should not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsuitable {
    pub(crate) reason: &'static str,
    pub(crate) remedy: &'static str,
    /// Whoever names the rung gets it all the same.
    pub(crate) can_be_asked_for: bool,
}

/// The rungs for one purpose.
#[derive(Debug)]
pub(crate) struct Ladder {
    pub(crate) purpose: &'static str,
    pub(crate) serves: EventKinds,
    /// Whether `--probe` chooses among its rungs, and whether what they tell is checked.
    pub(crate) of_files: bool,
    pub(crate) rungs: &'static [Rung],
}

impl Rung {
    /// What it cannot see on this machine, or sees wrongly.
    pub(crate) fn cannot_see(&self, machine: &Machine) -> Vec<BlindSpot> {
        self.cannot_see.iter().cloned().chain((self.cannot_see_here)(machine)).collect()
    }
}
