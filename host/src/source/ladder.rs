//! What can be attached for which purpose, best first. A rung is taken when all its needed probes load.

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, ProgramError},
};

use super::{
    Attached, Kinds,
    error::{Error, chain},
    offsets::{Group, Layout},
};

/// Where a program is attached.
#[derive(Clone, Copy, Debug)]
enum Hook {
    /// A tracepoint whose arguments have types.
    TracePoint(&'static str),
}

/// One program at one hook.
#[derive(Debug)]
struct Probe {
    /// Its name in the object.
    program: &'static str,
    hook: Hook,
    /// Which events it gives.
    serves: Kinds,
    needs: &'static [Group],
    /// Without it, the rung works all the same, but does not see this.
    optional: Option<&'static str>,
}

/// Probes that do one thing together.
#[derive(Debug)]
struct Rung {
    /// How `--probe` names it.
    name: &'static str,
    probes: &'static [Probe],
    /// What it cannot see, or sees wrongly.
    cannot_see: &'static [&'static str],
}

/// The rungs for one purpose.
#[derive(Debug)]
struct Ladder {
    purpose: &'static str,
    serves: Kinds,
    /// Whether `--probe` chooses among its rungs.
    choosable: bool,
    rungs: &'static [Rung],
}

const LADDERS: &[Ladder] = &[
    Ladder {
        purpose: "opens and library loads",
        serves: Kinds { open: true, load: true, exec: false, exit: false },
        choosable: true,
        rungs: &[Rung {
            name: "tp_btf",
            probes: &[
                Probe {
                    program: "sys_exit",
                    hook: Hook::TracePoint("sys_exit"),
                    serves: Kinds { open: true, load: true, exec: false, exit: false },
                    needs: &[Group::Task, Group::File, Group::Descriptor, Group::SystemCall],
                    optional: None,
                },
                Probe {
                    program: "io_uring_complete",
                    hook: Hook::TracePoint("io_uring_complete"),
                    serves: Kinds { open: true, load: false, exec: false, exit: false },
                    needs: &[Group::Task, Group::File, Group::Descriptor, Group::Uring],
                    optional: Some("opens through io_uring"),
                },
            ],
            cannot_see: &[
                "opens through io_uring into a direct descriptor",
                "a file that another thread closes before the open returns (counted as lost)",
            ],
        }],
    },
    Ladder {
        purpose: "execs",
        serves: Kinds { open: false, load: false, exec: true, exit: false },
        choosable: false,
        rungs: &[Rung {
            name: "exec",
            probes: &[Probe {
                program: "sched_process_exec",
                hook: Hook::TracePoint("sched_process_exec"),
                serves: Kinds { open: false, load: false, exec: true, exit: false },
                needs: &[Group::Task, Group::File, Group::Exec],
                optional: None,
            }],
            cannot_see: &[],
        }],
    },
    Ladder {
        purpose: "exits",
        serves: Kinds { open: false, load: false, exec: false, exit: true },
        choosable: false,
        rungs: &[Rung {
            name: "exit",
            probes: &[Probe {
                program: "sched_process_exit",
                hook: Hook::TracePoint("sched_process_exit"),
                serves: Kinds { open: false, load: false, exec: false, exit: true },
                needs: &[Group::Task, Group::Exit],
                optional: None,
            }],
            cannot_see: &[],
        }],
    },
];

/// Refuses a name that no rung has.
pub(super) fn check_name(probe: Option<&str>) -> Result<(), Error> {
    let rungs = LADDERS.iter().filter(|ladder| ladder.choosable).flat_map(|ladder| ladder.rungs);
    let known: Vec<&str> = rungs.map(|rung| rung.name).collect();
    match probe {
        Some(name) if !known.contains(&name) => {
            Err(Error::UnknownProbe { name: name.to_owned(), known: known.join(", ") })
        }
        _ => Ok(()),
    }
}

/// Attaches what `kinds` needs, the best that works for each purpose.
pub(super) fn attach(
    bpf: &mut Ebpf,
    btf: &Btf,
    layout: &Layout,
    kinds: Kinds,
    probe: Option<&str>,
) -> Result<Vec<Attached>, Error> {
    let mut attached = Vec::new();
    for ladder in LADDERS.iter().filter(|ladder| ladder.serves.meets(kinds)) {
        let mut reasons = Vec::new();
        let mut rungs = ladder
            .rungs
            .iter()
            .filter(|rung| !ladder.choosable || probe.is_none_or(|name| name == rung.name));
        let found = rungs.find_map(|rung| match rung.attach(bpf, btf, layout, kinds) {
            Ok(found) => Some(found),
            Err(reason) => {
                reasons.push(format!("{}: {reason}", rung.name));
                None
            }
        });
        let Some(found) = found else {
            let reasons = reasons.join("; ");
            return Err(Error::Probe { purpose: ladder.purpose, reasons });
        };
        attached.push(found);
    }
    Ok(attached)
}

impl Rung {
    /// Loads all, then attaches all, so that a rung that is refused leaves nothing attached.
    fn attach(
        &self,
        bpf: &mut Ebpf,
        btf: &Btf,
        layout: &Layout,
        kinds: Kinds,
    ) -> Result<Attached, String> {
        let mut cannot_see: Vec<String> = self.cannot_see.iter().map(|&text| text.into()).collect();
        let mut loaded = Vec::new();
        for probe in self.probes.iter().filter(|probe| probe.serves.meets(kinds)) {
            match (probe.load(bpf, btf, layout), probe.optional) {
                (Ok(()), _) => loaded.push(probe),
                (Err(reason), Some(unseen)) => cannot_see.push(format!("{unseen} ({reason})")),
                (Err(reason), None) => return Err(reason),
            }
        }
        for probe in &loaded {
            probe.attach(bpf)?;
        }
        let hooks: Vec<&str> = loaded.iter().map(|probe| probe.hook.name()).collect();
        let programs = loaded.iter().map(|probe| probe.program).collect();
        Ok(Attached { probe: self.name, hook: hooks.join(", "), cannot_see, programs })
    }
}

impl Hook {
    fn name(self) -> &'static str {
        match self {
            Hook::TracePoint(name) => name,
        }
    }
}

impl Probe {
    fn load(&self, bpf: &mut Ebpf, btf: &Btf, layout: &Layout) -> Result<(), String> {
        if let Some(lacks) = layout.lacks(self.needs) {
            return Err(lacks);
        }
        let Hook::TracePoint(name) = self.hook;
        match self.program(bpf)?.load(name, btf) {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
            Err(error) => Err(refusal(&error)),
        }
    }

    fn attach(&self, bpf: &mut Ebpf) -> Result<(), String> {
        match self.program(bpf)?.attach() {
            Ok(_) | Err(ProgramError::AlreadyAttached) => Ok(()),
            Err(error) => Err(refusal(&error)),
        }
    }

    fn program<'a>(&self, bpf: &'a mut Ebpf) -> Result<&'a mut BtfTracePoint, String> {
        let program = bpf.program_mut(self.program).ok_or("it is not in the BPF object")?;
        program.try_into().map_err(|error: ProgramError| chain(&error))
    }
}

/// What the kernel said, in few words: of the verifier's log, the last line that has a reason.
fn refusal(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return chain(error) };
    let log = verifier_log.to_string();
    let lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    let idle = ["processed ", "verification time", "stack depth"];
    let says_why = |line: &&str| !idle.iter().any(|start| line.starts_with(start));
    match lines.rev().find(says_why) {
        Some(line) => format!("the kernel's verifier refused it: {line} ({io_error})"),
        None if io_error.raw_os_error() == Some(libc::EPERM) => {
            "not permitted here (lockdown, or a policy against it)".to_owned()
        }
        None => io_error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_in_the_object_and_every_kind_has_a_ladder() {
        let all = [
            Kinds { open: true, ..Kinds::NONE },
            Kinds { load: true, ..Kinds::NONE },
            Kinds { exec: true, ..Kinds::NONE },
            Kinds { exit: true, ..Kinds::NONE },
        ];
        for kinds in all {
            let ladders: Vec<_> = LADDERS.iter().filter(|l| l.serves.meets(kinds)).collect();
            assert_eq!(ladders.len(), 1, "{kinds:?}");
            for rung in ladders[0].rungs {
                assert!(rung.probes.iter().any(|p| p.serves.meets(kinds) && p.optional.is_none()));
            }
        }
    }

    #[test]
    fn only_known_probes_can_be_asked_for() {
        assert!(check_name(None).is_ok());
        assert!(check_name(Some("tp_btf")).is_ok());
        let error = check_name(Some("magic")).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("tp_btf"), "{error}");
    }
}
