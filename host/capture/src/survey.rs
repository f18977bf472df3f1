//! What `doctor` tells: every rung tried, with what it cannot see or why it does not work, and what a run would take.

use super::{
    Attached, BlindSpot, CaptureOptions, EventKinds,
    error::{AttachRefusal, Error},
    ladder::{self, LADDERS, Ladder, Rung},
    machine::{self, Capability, Machine, Preemption},
    object::{BpfObject, read_layout},
    offsets::Layout,
    probe::AttachContext,
};
use crypto_tracer_event::interest::Interest;

/// What a run would ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyRequest {
    /// Size of the ring in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// The probe for opens and loads; None: the best that works.
    pub probe: Option<String>,
}

/// What this kernel and these privileges allow.
#[derive(Debug)]
pub struct Survey {
    /// The kernel's release.
    pub release: String,
    /// When it is preempted.
    pub preemption: Preemption,
    /// Size in bytes of its type information; None: it has none.
    pub btf_bytes: Option<u64>,
    /// The active security modules; None: it does not tell (securityfs is not mounted or not readable).
    pub security_modules: Option<Vec<String>>,
    /// `none`, `integrity` or `confidentiality`; None: it does not tell.
    pub lockdown: Option<String>,
    /// What a run makes use of.
    pub capabilities: Vec<Capability>,
    /// Which processes are not told, whatever they do; None: every process is.
    pub outside: Option<&'static str>,
    /// All rungs of all ladders, the best of each purpose first, also where nothing could be tried.
    pub rungs: Vec<RungSurvey>,
    /// Why a run would not start; None: it would.
    pub refused: Option<Error>,
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
    pub chosen: bool,
    /// What it cannot see.
    pub cannot_see: Vec<BlindSpot>,
    /// What it costs others, where that is worth a word.
    pub costs: Option<&'static str>,
    /// Its programs, with the number of instructions that the verifier went through (at most a million).
    pub programs: Vec<(&'static str, Option<u32>)>,
}

/// Tries everything. Nothing stays attached.
pub fn survey(request: &SurveyRequest) -> Survey {
    let machine = Machine::detect();
    let mut rungs = Vec::new();
    let refused = try_all(&machine, request, &mut rungs).err();
    Survey {
        btf_bytes: machine::btf_bytes(),
        capabilities: machine::capabilities(),
        outside: machine::outside(),
        release: machine.release,
        preemption: machine.preemption,
        security_modules: machine.security_modules,
        lockdown: machine.lockdown,
        rungs,
        refused,
    }
}

/// Every rung, and why a run would not start: the first reason that it would find.
fn try_all(
    machine: &Machine,
    request: &SurveyRequest,
    rungs: &mut Vec<RungSurvey>,
) -> Result<(), Error> {
    let named = request.probe.as_deref();
    let known = ladder::check_name(named);
    let named = named.filter(|_| known.is_ok());
    let tried = match ground() {
        Ok(layout) => try_rungs(machine, request, named, &layout, rungs),
        Err(error) => {
            let refusal = error.refusal();
            for ladder in LADDERS {
                let untried = |rung| surveyed(ladder, rung, machine, Err(refusal.clone()));
                rungs.extend(ladder.rungs.iter().map(untried));
            }
            Err(error)
        }
    };
    known.and(tried)
}

/// What every rung needs.
fn ground() -> Result<Layout, Error> {
    machine::check_kernel()?;
    let layout = read_layout(&ladder::attached_types())?;
    machine::check_privileges()?;
    Ok(layout)
}

fn try_rungs(
    machine: &Machine,
    request: &SurveyRequest,
    named: Option<&str>,
    layout: &Layout,
    rungs: &mut Vec<RungSurvey>,
) -> Result<(), Error> {
    let ground = AttachContext { layout, machine, kinds: EventKinds::ALL };
    let interest = Interest::default();
    let options = CaptureOptions {
        interest: &interest,
        kinds: EventKinds::ALL,
        pid: None,
        follow_children: false,
        comm: None,
        ring_bytes: request.ring_bytes,
        probe: None,
        own: Vec::new(),
    };
    let (mut unloaded, mut failed) = (None, None);
    for ladder in LADDERS {
        let before = rungs.len();
        for rung in ladder.rungs {
            rungs.push(match BpfObject::load(&options, layout) {
                Ok(mut object) => try_rung(ladder, rung, &mut object, &ground),
                Err(error) => {
                    let refusal = error.refusal();
                    unloaded.get_or_insert(error);
                    surveyed(ladder, rung, machine, Err(refusal))
                }
            });
        }
        let of_ladder = rungs.get_mut(before..).unwrap_or_default();
        let chosen = choose(ladder, of_ladder, named.filter(|_| ladder.of_files));
        failed = failed.or(chosen.err());
    }
    // A run loads before it chooses.
    unloaded.or(failed).map_or(Ok(()), Err)
}

/// Marks the rung that a run would take.
fn choose(ladder: &Ladder, rungs: &mut [RungSurvey], named: Option<&str>) -> Result<(), Error> {
    let mut reasons = Vec::new();
    for rung in rungs.iter_mut().filter(|rung| named.is_none_or(|name| name == rung.name)) {
        let unfit = rung.unfit.filter(|_| named.is_none());
        match unfit.map(str::to_owned).or(rung.refused.clone()) {
            None => {
                rung.chosen = true;
                return Ok(());
            }
            Some(reason) => reasons.push((rung.name, reason)),
        }
    }
    Err(ladder::none_works(ladder.purpose, &reasons))
}

fn try_rung(
    ladder: &Ladder,
    rung: &Rung,
    object: &mut BpfObject,
    ground: &AttachContext<'_>,
) -> RungSurvey {
    let attached = match (rung.unfit)(ground.machine) {
        Some(unfit) if !unfit.can_be_asked_for => {
            Err(AttachRefusal { reason: unfit.reason.to_owned(), remedy: unfit.remedy })
        }
        _ => rung.attach(object, ground, ladder.of_files),
    };
    let programs = object.bpf().map_or_else(
        |_detached| Vec::new(),
        |bpf| rung.probes.iter().map(|probe| (probe.program, probe.verified(bpf))).collect(),
    );
    RungSurvey { programs, ..surveyed(ladder, rung, ground.machine, attached) }
}

/// What came of a rung, without its programs.
fn surveyed(
    ladder: &Ladder,
    rung: &Rung,
    machine: &Machine,
    attached: Result<Attached, AttachRefusal>,
) -> RungSurvey {
    let (cannot_see, refusal) = match attached {
        Ok(attached) => (attached.cannot_see, None),
        Err(refusal) => (rung.cannot_see(machine), Some(refusal)),
    };
    let unfit = (rung.unfit)(machine).filter(|unfit| unfit.can_be_asked_for);
    RungSurvey {
        purpose: ladder.purpose,
        name: rung.name,
        hooks: rung.probes.iter().map(|probe| probe.hook.name()).collect(),
        unfit: unfit.map(|unfit| unfit.reason),
        remedy: refusal.as_ref().map(|refusal| refusal.remedy).or(unfit.map(|unfit| unfit.remedy)),
        chosen: false,
        refused: refusal.map(|refusal| refusal.reason),
        cannot_see,
        costs: rung.costs,
        programs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(name: &'static str) -> RungSurvey {
        RungSurvey {
            purpose: "opens",
            name,
            hooks: Vec::new(),
            refused: None,
            unfit: None,
            remedy: None,
            chosen: false,
            cannot_see: Vec::new(),
            costs: None,
            programs: Vec::new(),
        }
    }

    fn chosen(mut rungs: Vec<RungSurvey>, named: Option<&str>) -> Result<&'static str, String> {
        let ladder = LADDERS.first().unwrap();
        choose(ladder, &mut rungs, named).map_err(|error| error.to_string())?;
        let chosen: Vec<_> = rungs.iter().filter(|rung| rung.chosen).collect();
        assert_eq!(chosen.len(), 1);
        Ok(chosen[0].name)
    }

    #[test]
    fn the_first_that_works_is_chosen_or_the_one_that_is_named() {
        let refused = || RungSurvey { refused: Some("EPERM".into()), ..rung("lsm") };
        let unfit = || RungSurvey { unfit: Some("misses opens"), ..rung("fexit") };
        let all = || vec![refused(), unfit(), rung("tp_btf")];
        assert_eq!(chosen(all(), None), Ok("tp_btf"));
        assert_eq!(chosen(all(), Some("fexit")), Ok("fexit"));
        assert!(chosen(all(), Some("lsm")).unwrap_err().contains("lsm: EPERM"));
        let none = chosen(vec![refused(), unfit()], None).unwrap_err();
        assert!(none.contains("lsm: EPERM; fexit: misses opens"), "{none}");
    }

    #[test]
    fn every_rung_is_told_of_whatever_the_refusal() {
        let request = |probe: Option<&str>, ring_bytes| SurveyRequest {
            ring_bytes,
            probe: probe.map(str::to_owned),
        };
        let all: usize = LADDERS.iter().map(|ladder| ladder.rungs.len()).sum();
        for (request, code) in [(request(Some("magic"), 64 << 10), 2), (request(None, 3), 2)] {
            let told = survey(&request);
            assert_eq!(told.rungs.len(), all, "{request:?}");
            let refused = told.refused.map(|error| error.exit_code());
            let unprivileged = machine::check_privileges().is_err() && request.ring_bytes == 3;
            assert!(refused == Some(code) || unprivileged, "{request:?}: {refused:?}");
            for rung in told.rungs.iter().filter(|rung| rung.refused.is_some()) {
                assert!(rung.remedy.is_some(), "{rung:?}");
            }
        }
    }
}
