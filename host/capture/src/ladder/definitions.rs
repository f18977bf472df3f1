//! The ladders and their rungs.

use super::rung::{Ladder, Rung, Unsuitable};
use crate::{
    BlindSpot,
    blind_spots::{blind_spot, route},
    error::Error,
    kernel_field::OffsetGroup,
    machine::{Machine, Preemption},
    probe::{Hook, Probe},
};
use crypto_tracer_event::EventKinds;

const OPEN: EventKinds = EventKinds { open: true, ..EventKinds::NONE };
const LOAD: EventKinds = EventKinds { load: true, ..EventKinds::NONE };
const EXEC: EventKinds = EventKinds { exec: true, ..EventKinds::NONE };
const EXIT: EventKinds = EventKinds { exit: true, ..EventKinds::NONE };
const FORK: EventKinds = EventKinds { fork: true, ..EventKinds::NONE };
const FILES: EventKinds = EventKinds { open: true, load: true, ..EventKinds::NONE };

const fn probe(
    program: &'static str,
    hook: Hook,
    serves: EventKinds,
    needs: &'static [OffsetGroup],
) -> Probe {
    Probe { program, hook, serves, needs, optional: None }
}

const MPROTECT: BlindSpot = blind_spot(
    route::MPROTECT,
    "a library that is mapped without execute permission and made executable by mprotect",
);

const LSM: Rung = Rung {
    name: "lsm",
    probes: &[
        probe(
            "file_open",
            Hook::Lsm("file_open"),
            OPEN,
            &[OffsetGroup::Task, OffsetGroup::File, OffsetGroup::Overlay],
        ),
        probe("mmap_file", Hook::Lsm("mmap_file"), LOAD, &[OffsetGroup::Task, OffsetGroup::File]),
    ],
    cannot_see: &[
        blind_spot(
            route::REFUSED_LATE,
            "that an open or a mapping is refused after the permission checks (O_DIRECT, lease, driver, IMA): it is \
             reported anyway",
        ),
        MPROTECT,
    ],
    cannot_see_on: |machine| {
        let mut modules = machine.security_modules.as_ref()?.iter();
        modules.find(|module| *module == "bpf")?;
        let later: Vec<&str> = modules.map(String::as_str).collect();
        (!later.is_empty()).then(|| BlindSpot {
            route: route::REFUSED_LATE,
            what: format!(
                "that a security module that is called after bpf refuses an open or a mapping ({}): it is reported \
                 anyway",
                later.join(", ")
            )
            .into(),
        })
    },
    overhead: None,
    unsuitable: |machine| {
        let modules = machine.security_modules.as_ref()?;
        (!modules.iter().any(|module| module == "bpf")).then_some(Unsuitable {
            reason: "bpf is not among the active security modules",
            remedy: "add bpf to the boot parameter lsm= (the active list is in /sys/kernel/security/lsm)",
            allowed_by_name: false,
        })
    },
};

const FEXIT: Rung = Rung {
    name: "fexit",
    probes: &[
        probe(
            "do_filp_open",
            Hook::FExit("do_filp_open", 3),
            OPEN,
            &[OffsetGroup::Task, OffsetGroup::File, OffsetGroup::OpenFlags],
        ),
        probe(
            "do_file_open_root",
            Hook::FExit("do_file_open_root", 3),
            OPEN,
            &[OffsetGroup::Task, OffsetGroup::File, OffsetGroup::OpenFlags],
        ),
        probe(
            "vm_mmap_pgoff",
            Hook::FExit("vm_mmap_pgoff", 6),
            LOAD,
            &[OffsetGroup::Task, OffsetGroup::File, OffsetGroup::Mapping],
        ),
    ],
    cannot_see: &[
        blind_spot(
            route::INTERRUPTED,
            "an open while another open on the same CPU is interrupted (counted as missed)",
        ),
        MPROTECT,
    ],
    cannot_see_on: |_| None,
    overhead: None,
    unsuitable: |machine| {
        (machine.preemption != Preemption::Chosen).then_some(Unsuitable {
            reason: "this kernel is fully preemptible, or its preemption mode is unknown: many opens would be missed",
            remedy: "boot with preempt=voluntary",
            allowed_by_name: true,
        })
    },
};

const TP_BTF: Rung = Rung {
    name: "tp_btf",
    probes: &[
        probe(
            "sys_exit",
            Hook::TracePoint("sys_exit"),
            FILES,
            &[
                OffsetGroup::Task,
                OffsetGroup::File,
                OffsetGroup::Descriptor,
                OffsetGroup::Mapping,
                OffsetGroup::SystemCall,
            ],
        ),
        Probe {
            program: "io_uring_complete",
            hook: Hook::TracePoint("io_uring_complete"),
            serves: OPEN,
            needs: &[
                OffsetGroup::Task,
                OffsetGroup::File,
                OffsetGroup::Descriptor,
                OffsetGroup::Uring,
            ],
            optional: Some((route::URING, "opens through io_uring")),
        },
    ],
    cannot_see: &[
        blind_spot(route::URING_DIRECT, "opens through io_uring into a direct descriptor"),
        blind_spot(
            route::URING_SILENT,
            "opens through io_uring that request no completion (IOSQE_CQE_SKIP_SUCCESS)",
        ),
        blind_spot(
            route::CLOSED_MEANWHILE,
            "a file that another thread closes before the open returns (counted as lost; if the descriptor has another \
             file by then, by a later open or dup2, that file decides)",
        ),
        MPROTECT,
    ],
    cannot_see_on: |_| None,
    overhead: Some("about 0.1 µs per system call of every process"),
    unsuitable: |_| None,
};

/// A rung without alternatives.
const fn only_rung(name: &'static str, probes: &'static [Probe]) -> Rung {
    let (cannot_see_on, overhead) = (|_: &Machine| None, None);
    Rung { name, probes, cannot_see: &[], cannot_see_on, overhead, unsuitable: |_| None }
}

/// One ladder for each purpose.
pub(crate) const LADDERS: &[Ladder] = &[
    Ladder {
        purpose: "opens and library loads",
        serves: FILES,
        captures_files: true,
        rungs: &[LSM, FEXIT, TP_BTF],
    },
    Ladder {
        purpose: "execs",
        serves: EXEC,
        captures_files: false,
        rungs: &[only_rung(
            "exec",
            &[probe(
                "sched_process_exec",
                Hook::TracePoint("sched_process_exec"),
                EXEC,
                &[OffsetGroup::Task, OffsetGroup::File, OffsetGroup::Exec],
            )],
        )],
    },
    Ladder {
        purpose: "exits",
        serves: EXIT,
        captures_files: false,
        rungs: &[only_rung(
            "exit",
            &[probe(
                "sched_process_exit",
                Hook::TracePoint("sched_process_exit"),
                EXIT,
                &[OffsetGroup::Task, OffsetGroup::Exit],
            )],
        )],
    },
    Ladder {
        purpose: "forks",
        serves: FORK,
        captures_files: false,
        rungs: &[only_rung(
            "fork",
            &[probe(
                "sched_process_fork",
                Hook::TracePoint("sched_process_fork"),
                FORK,
                &[OffsetGroup::Task],
            )],
        )],
    },
];

/// Returns the BTF names of all hooks of all rungs.
pub(crate) fn hook_btf_names() -> Vec<String> {
    let probes = LADDERS.iter().flat_map(|ladder| ladder.rungs).flat_map(|rung| rung.probes);
    probes.map(|probe| probe.hook.btf_name()).collect()
}

/// Fails if no rung for opens and library loads has this name.
pub(crate) fn check_name(probe: Option<&str>) -> Result<(), Error> {
    let rungs =
        LADDERS.iter().filter(|ladder| ladder.captures_files).flat_map(|ladder| ladder.rungs);
    let known: Vec<&str> = rungs.map(|rung| rung.name).collect();
    match probe {
        Some(name) if !known.contains(&name) => {
            Err(Error::UnknownProbe { name: name.to_owned(), known: known.join(", ") })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            release: "6.1.0".to_owned(),
            preemption: Preemption::Chosen,
            security_modules: None,
            lockdown: None,
        }
    }

    #[test]
    fn each_event_kind_has_one_ladder_whose_rungs_all_serve_it() {
        for kinds in [OPEN, LOAD, EXEC, EXIT, FORK] {
            let ladders: Vec<_> = LADDERS.iter().filter(|l| l.serves.intersects(kinds)).collect();
            assert_eq!(ladders.len(), 1, "{kinds:?}");
            for rung in ladders[0].rungs {
                assert!(
                    rung.probes.iter().any(|p| p.serves.intersects(kinds) && p.optional.is_none())
                );
            }
        }
    }

    #[test]
    fn only_rungs_for_files_can_be_requested_by_name() {
        assert!(check_name(None).is_ok());
        for rung in ["lsm", "fexit", "tp_btf"] {
            assert!(check_name(Some(rung)).is_ok());
        }
        for other in ["magic", "exec"] {
            let error = check_name(Some(other)).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("tp_btf"), "{error}");
        }
    }

    #[test]
    fn rungs_that_would_miss_events_are_unsuitable() {
        let with = |modules: &str| Machine {
            security_modules: Some(modules.split(',').map(str::to_owned).collect()),
            ..machine()
        };
        assert_eq!((LSM.unsuitable)(&machine()), None);
        assert_eq!((LSM.unsuitable)(&with("lockdown,bpf")), None);
        assert!(!(LSM.unsuitable)(&with("lockdown,yama")).unwrap().allowed_by_name);
        let later_modules = |modules| {
            let mut spots = LSM.cannot_see(&with(modules)).into_iter();
            let spot = spots.find(|spot| spot.what.contains("called after bpf"));
            spot.map(|spot| spot.what.into_owned())
        };
        assert!(later_modules("yama,bpf,ipe,ima").unwrap().contains("(ipe, ima)"));
        assert_eq!(later_modules("yama,apparmor,bpf"), None);
        assert_eq!(LSM.cannot_see(&machine()).len(), 2);
        assert_eq!((FEXIT.unsuitable)(&machine()), None);
        for preemption in [Preemption::Full, Preemption::Unknown] {
            let machine = Machine { preemption, ..machine() };
            assert!((FEXIT.unsuitable)(&machine).unwrap().allowed_by_name);
        }
    }
}
