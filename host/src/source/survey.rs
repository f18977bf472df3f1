//! What `doctor` tells: every rung tried, with what it cannot see or why it does not work.

use super::{
    Kinds, Options,
    error::Error,
    ladder::{Ground, LADDERS, Ladder, Rung},
    machine::{self, Machine, Preemption},
    object::{Object, kernel_types, read_layout},
};
use crate::interest::Interest;

/// Size of the ring while a rung is tried, in bytes.
const RING_BYTES: u32 = 64 << 10;

/// What this kernel and these privileges allow.
#[derive(Debug)]
pub struct Survey {
    /// The kernel's release.
    pub release: String,
    /// When it is preempted.
    pub preemption: Preemption,
    /// The active security modules; None: it does not tell (securityfs is not mounted or not readable).
    pub security_modules: Option<Vec<String>>,
    /// `none`, `integrity` or `confidentiality`; None: it does not tell.
    pub lockdown: Option<String>,
    /// Names of the capabilities that are missing.
    pub missing_capabilities: Vec<&'static str>,
    /// Whether this process is in the first pid namespace: else processes outside its own are not reported.
    pub first_pid_namespace: bool,
    /// Why nothing could be tried; None: it could.
    pub refused: Option<Error>,
    /// All rungs of all ladders, the best of each purpose first.
    pub rungs: Vec<RungSurvey>,
}

/// How one rung fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RungSurvey {
    /// What it is for.
    pub purpose: &'static str,
    /// Its name; for opens and loads, `--probe` takes it.
    pub name: &'static str,
    /// Where its programs are attached.
    pub hooks: Vec<String>,
    /// Why it does not work here; None: it was attached, tried and detached again.
    pub refused: Option<String>,
    /// It works, but this speaks against it: it is taken only when it is named.
    pub unfit: Option<&'static str>,
    /// What would help.
    pub remedy: Option<&'static str>,
    /// Whether a run would take it.
    pub best: bool,
    /// What it cannot see.
    pub cannot_see: Vec<String>,
    /// Its programs, with the number of instructions that the verifier went through (at most a million).
    pub programs: Vec<(&'static str, Option<u32>)>,
}

/// Tries everything. Nothing stays attached.
pub fn survey() -> Survey {
    let machine = Machine::look();
    let mut rungs = Vec::new();
    let refused = try_all(&machine, &mut rungs).err();
    Survey {
        missing_capabilities: machine::missing_capabilities(),
        first_pid_namespace: machine::pid_namespace().is_ok_and(|number| number == 0),
        release: machine.release,
        preemption: machine.preemption,
        security_modules: machine.security_modules,
        lockdown: machine.lockdown,
        refused,
        rungs,
    }
}

fn try_all(machine: &Machine, rungs: &mut Vec<RungSurvey>) -> Result<(), Error> {
    machine::check_kernel()?;
    machine::check_privileges()?;
    let layout = read_layout()?;
    let types = kernel_types()?;
    let ground = Ground { btf: &types, layout: &layout, machine, kinds: Kinds::ALL };
    let interest = Interest::default();
    let options = Options {
        interest: &interest,
        kinds: Kinds::ALL,
        pid: None,
        follow_children: false,
        comm: None,
        ring_bytes: RING_BYTES,
        probe: None,
        own: Vec::new(),
    };
    for ladder in LADDERS {
        let mut found = false;
        for rung in ladder.rungs {
            let mut object = Object::load(&options, &layout)?;
            let mut tried = try_rung(ladder, rung, &mut object, &ground);
            tried.best = !found && tried.refused.is_none() && tried.unfit.is_none();
            found |= tried.best;
            rungs.push(tried);
        }
    }
    Ok(())
}

fn try_rung(ladder: &Ladder, rung: &Rung, object: &mut Object, ground: &Ground<'_>) -> RungSurvey {
    let unfit = (rung.unfit)(ground.machine);
    let attached = match unfit {
        Some(unfit) if !unfit.can_be_asked_for => Err(unfit.reason.to_owned()),
        _ => rung.attach(object, ground, ladder.of_files),
    };
    let programs = object.bpf().map_or_else(
        |_detached| Vec::new(),
        |bpf| rung.probes.iter().map(|probe| (probe.program, probe.verified(bpf))).collect(),
    );
    let (cannot_see, refused) = match attached {
        Ok(attached) => (attached.cannot_see, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    RungSurvey {
        purpose: ladder.purpose,
        name: rung.name,
        hooks: rung.probes.iter().map(|probe| probe.hook.name()).collect(),
        unfit: unfit.filter(|unfit| unfit.can_be_asked_for).map(|unfit| unfit.reason),
        remedy: unfit.map(|unfit| unfit.remedy),
        best: false,
        refused,
        cannot_see,
        programs,
    }
}
