//! The survey for `doctor`: tries every rung and determines which ones a run would use.

use super::{
    Attached, BlindSpot, CaptureOptions,
    error::{AttachRefusal, Error},
    ladder::{self, LADDERS, Ladder, Rung},
    machine::{self, Capability, Machine, Preemption},
    object::{BpfObject, read_layout},
    offsets::Layout,
    probe::AttachContext,
};
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::interest::Interest;

/// Options of the run that the survey is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyRequest {
    /// Size of the ring buffer in bytes: a power of two, at least one page.
    pub ring_bytes: u32,
    /// The probe for opens and library loads. `None`: the best one that works.
    pub probe: Option<String>,
}

/// What this kernel and this process's privileges allow.
#[derive(Debug)]
pub struct Survey {
    /// Kernel release, as `uname -r`.
    pub release: String,
    /// Where the kernel can be preempted.
    pub preemption: Preemption,
    /// Size of the kernel's BTF in bytes. `None`: the kernel has no BTF.
    pub btf_bytes: Option<u64>,
    /// The active security modules. `None`: unknown, because securityfs is not mounted or not readable.
    pub security_modules: Option<Vec<String>>,
    /// `none`, `integrity` or `confidentiality`. `None`: unknown.
    pub lockdown: Option<String>,
    /// The capabilities that tracing uses.
    pub capabilities: Vec<Capability>,
    /// Sentence about the processes that are not reported because they are outside the tracer's pid namespace. `None`: no
    /// pid namespace limit.
    pub pid_namespace_limit: Option<&'static str>,
    /// All rungs of all ladders, best first for each purpose, including those that could not be tried.
    pub rungs: Vec<RungSurvey>,
    /// Why a run would not start. `None`: it would start.
    pub refused: Option<Error>,
}

/// The result for one rung: what `--probe` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RungSurvey {
    /// The kinds of events that it captures.
    pub purpose: &'static str,
    /// Name; for opens and library loads, the one for `--probe`.
    pub name: &'static str,
    /// The hooks of its programs.
    pub hooks: Vec<String>,
    /// Why it does not work. `None`: it was attached, tested and detached.
    pub refused: Option<String>,
    /// Why a run uses it only if it is requested by name, although it may work.
    pub unfit: Option<&'static str>,
    /// Remedy for `refused` or `unfit`.
    pub remedy: Option<&'static str>,
    /// Whether a run would use it.
    pub chosen: bool,
    /// Events that it misses or misreports.
    pub cannot_see: Vec<BlindSpot>,
    /// Overhead for all processes, if it is significant.
    pub overhead: Option<&'static str>,
    /// Its programs, with the number of instructions that the verifier processed (at most one million), if known.
    pub programs: Vec<(&'static str, Option<u32>)>,
}

/// Tries every rung. Nothing stays attached.
pub fn survey(request: &SurveyRequest) -> Survey {
    let machine = Machine::detect();
    let mut rungs = Vec::new();
    let refused = try_all(&machine, request, &mut rungs).err();
    Survey {
        btf_bytes: machine::btf_bytes(),
        capabilities: machine::capabilities(),
        pid_namespace_limit: machine::pid_namespace_limit(),
        release: machine.release,
        preemption: machine.preemption,
        security_modules: machine.security_modules,
        lockdown: machine.lockdown,
        rungs,
        refused,
    }
}

/// Adds the results of all rungs to `rungs`. Fails with the error with which a run would fail.
fn try_all(
    machine: &Machine,
    request: &SurveyRequest,
    rungs: &mut Vec<RungSurvey>,
) -> Result<(), Error> {
    let requested = request.probe.as_deref();
    let name_check = ladder::check_name(requested);
    let requested = requested.filter(|_| name_check.is_ok());
    let result = match check_prerequisites() {
        Ok(layout) => try_rungs(machine, request, requested, &layout, rungs),
        Err(error) => {
            let refusal = error.refusal();
            for ladder in LADDERS {
                let untried = |rung| rung_result(ladder, rung, machine, Err(refusal.clone()));
                rungs.extend(ladder.rungs.iter().map(untried));
            }
            Err(error)
        }
    };
    name_check.and(result)
}

/// Checks what every rung needs.
fn check_prerequisites() -> Result<Layout, Error> {
    machine::check_kernel()?;
    let layout = read_layout(&ladder::hook_btf_names())?;
    machine::check_privileges()?;
    Ok(layout)
}

fn try_rungs(
    machine: &Machine,
    request: &SurveyRequest,
    requested: Option<&str>,
    layout: &Layout,
    rungs: &mut Vec<RungSurvey>,
) -> Result<(), Error> {
    let context = AttachContext { layout, machine, kinds: EventKinds::ALL };
    let interest = Interest::default();
    let options = CaptureOptions {
        interest: &interest,
        kinds: EventKinds::ALL,
        pid: None,
        pid_started: None,
        limit_floods: true,
        follow_children: false,
        comm: None,
        ring_bytes: request.ring_bytes,
        probe: None,
        excluded_pids: Vec::new(),
    };
    let (mut load_error, mut choice_error) = (None, None);
    for ladder in LADDERS {
        let start = rungs.len();
        for rung in ladder.rungs {
            rungs.push(match BpfObject::load(&options, layout) {
                Ok(mut object) => try_rung(ladder, rung, &mut object, &context),
                Err(error) => {
                    let refusal = error.refusal();
                    load_error.get_or_insert(error);
                    rung_result(ladder, rung, machine, Err(refusal))
                }
            });
        }
        let of_ladder = rungs.get_mut(start..).unwrap_or_default();
        let chosen = choose(ladder, of_ladder, requested.filter(|_| ladder.captures_files));
        choice_error = choice_error.or(chosen.err());
    }
    // A run loads the object before it chooses rungs.
    load_error.or(choice_error).map_or(Ok(()), Err)
}

/// Marks the rung that a run would use. Fails if none works.
fn choose(ladder: &Ladder, rungs: &mut [RungSurvey], requested: Option<&str>) -> Result<(), Error> {
    let mut reasons = Vec::new();
    for rung in rungs.iter_mut().filter(|rung| requested.is_none_or(|name| name == rung.name)) {
        let unsuitable = rung.unfit.filter(|_| requested.is_none());
        match unsuitable.map(str::to_owned).or(rung.refused.clone()) {
            None => {
                rung.chosen = true;
                return Ok(());
            }
            Some(reason) => reasons.push((rung.name, reason)),
        }
    }
    Err(ladder::no_rung_works(ladder.purpose, &reasons))
}

fn try_rung(
    ladder: &Ladder,
    rung: &Rung,
    object: &mut BpfObject,
    context: &AttachContext<'_>,
) -> RungSurvey {
    let attached = match (rung.unsuitable)(context.machine) {
        Some(unsuitable) if !unsuitable.allowed_by_name => {
            Err(AttachRefusal { reason: unsuitable.reason.to_owned(), remedy: unsuitable.remedy })
        }
        _ => rung.attach(object, context, ladder.captures_files),
    };
    let programs = object.bpf().map_or_else(
        |_detached| Vec::new(),
        |bpf| {
            rung.probes
                .iter()
                .map(|probe| (probe.program, probe.verified_instructions(bpf)))
                .collect()
        },
    );
    RungSurvey { programs, ..rung_result(ladder, rung, context.machine, attached) }
}

/// Returns the result of a rung, without its programs.
fn rung_result(
    ladder: &Ladder,
    rung: &Rung,
    machine: &Machine,
    attached: Result<Attached, AttachRefusal>,
) -> RungSurvey {
    let (cannot_see, refusal) = match attached {
        Ok(attached) => (attached.cannot_see, None),
        Err(refusal) => (rung.cannot_see(machine), Some(refusal)),
    };
    let unsuitable = (rung.unsuitable)(machine).filter(|unsuitable| unsuitable.allowed_by_name);
    RungSurvey {
        purpose: ladder.purpose,
        name: rung.name,
        hooks: rung.probes.iter().map(|probe| probe.hook.name()).collect(),
        unfit: unsuitable.map(|unsuitable| unsuitable.reason),
        remedy: refusal
            .as_ref()
            .map(|refusal| refusal.remedy)
            .or(unsuitable.map(|unsuitable| unsuitable.remedy)),
        chosen: false,
        refused: refusal.map(|refusal| refusal.reason),
        cannot_see,
        overhead: rung.overhead,
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
            overhead: None,
            programs: Vec::new(),
        }
    }

    fn chosen(mut rungs: Vec<RungSurvey>, requested: Option<&str>) -> Result<&'static str, String> {
        let ladder = LADDERS.first().unwrap();
        choose(ladder, &mut rungs, requested).map_err(|error| error.to_string())?;
        let chosen: Vec<_> = rungs.iter().filter(|rung| rung.chosen).collect();
        assert_eq!(chosen.len(), 1);
        Ok(chosen[0].name)
    }

    #[test]
    fn first_working_or_requested_rung_is_chosen() {
        let refused = || RungSurvey { refused: Some("EPERM".into()), ..rung("lsm") };
        let unsuitable = || RungSurvey { unfit: Some("misses opens"), ..rung("fexit") };
        let all = || vec![refused(), unsuitable(), rung("tp_btf")];
        assert_eq!(chosen(all(), None), Ok("tp_btf"));
        assert_eq!(chosen(all(), Some("fexit")), Ok("fexit"));
        assert!(chosen(all(), Some("lsm")).unwrap_err().contains("lsm: EPERM"));
        let none = chosen(vec![refused(), unsuitable()], None).unwrap_err();
        assert!(none.contains("lsm: EPERM; fexit: misses opens"), "{none}");
    }

    #[test]
    fn every_rung_has_a_result_whatever_the_error() {
        let request = |probe: Option<&str>, ring_bytes| SurveyRequest {
            ring_bytes,
            probe: probe.map(str::to_owned),
        };
        let all: usize = LADDERS.iter().map(|ladder| ladder.rungs.len()).sum();
        for (request, code) in [(request(Some("magic"), 64 << 10), 2), (request(None, 3), 2)] {
            let survey = survey(&request);
            assert_eq!(survey.rungs.len(), all, "{request:?}");
            let refused = survey.refused.map(|error| error.exit_code());
            let unprivileged = machine::check_privileges().is_err() && request.ring_bytes == 3;
            assert!(refused == Some(code) || unprivileged, "{request:?}: {refused:?}");
            for rung in survey.rungs.iter().filter(|rung| rung.refused.is_some()) {
                assert!(rung.remedy.is_some(), "{rung:?}");
            }
        }
    }
}
