//! Every ladder and its rungs.

use super::rung::{Ladder, Rung, Unsuitable};
use crate::{
    BlindSpot, EventKinds,
    blind_spots::{self, route},
    error::Error,
    kernel_field::OffsetGroup,
    machine::{Machine, Preemption},
    probe::{Hook, Probe},
};

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

const LSM: Rung = Rung {
    name: "lsm",
    probes: &[
        probe(
            "file_open",
            Hook::Security("file_open"),
            OPEN,
            &[OffsetGroup::Task, OffsetGroup::File, OffsetGroup::Overlay],
        ),
        probe(
            "mmap_file",
            Hook::Security("mmap_file"),
            LOAD,
            &[OffsetGroup::Task, OffsetGroup::File],
        ),
    ],
    cannot_see: &[blind_spots::of(
        route::REFUSED_LATE,
        "that an open or a mapping was refused after the permission checks (O_DIRECT, lease, driver, IMA): it is told \
         all the same",
    )],
    cannot_see_here: |machine| {
        let mut modules = machine.security_modules.as_ref()?.iter();
        modules.find(|module| *module == "bpf")?;
        let behind: Vec<&str> = modules.map(String::as_str).collect();
        (!behind.is_empty()).then(|| BlindSpot {
            route: route::REFUSED_LATE,
            what: format!(
                "that a security module which is asked after bpf refused an open or a mapping ({}): it is told all the \
                 same",
                behind.join(", ")
            )
            .into(),
        })
    },
    costs: None,
    unfit: |machine| {
        let modules = machine.security_modules.as_ref()?;
        (!modules.iter().any(|module| module == "bpf")).then_some(Unsuitable {
            reason: "bpf is not among the active security modules",
            remedy: "add bpf to the list of the boot parameter lsm= (shown in /sys/kernel/security/lsm)",
            can_be_asked_for: false,
        })
    },
};

const FEXIT: Rung = Rung {
    name: "fexit",
    probes: &[
        probe(
            "do_filp_open",
            Hook::Return("do_filp_open", 3),
            OPEN,
            &[OffsetGroup::Task, OffsetGroup::File, OffsetGroup::OpenFlags],
        ),
        probe(
            "do_file_open_root",
            Hook::Return("do_file_open_root", 3),
            OPEN,
            &[OffsetGroup::Task, OffsetGroup::File, OffsetGroup::OpenFlags],
        ),
        probe(
            "vm_mmap_pgoff",
            Hook::Return("vm_mmap_pgoff", 6),
            LOAD,
            &[OffsetGroup::Task, OffsetGroup::File],
        ),
    ],
    cannot_see: &[blind_spots::of(
        route::INTERRUPTED,
        "an open while another one is interrupted on the same processor (counted as missed)",
    )],
    cannot_see_here: |_| None,
    costs: None,
    unfit: |machine| {
        (machine.preemption != Preemption::Chosen).then_some(Unsuitable {
            reason: "this kernel is fully preemptible, or does not say: many opens would be missed",
            remedy: "boot with preempt=voluntary",
            can_be_asked_for: true,
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
        blind_spots::of(route::URING_DIRECT, "opens through io_uring into a direct descriptor"),
        blind_spots::of(
            route::URING_SILENT,
            "opens through io_uring that ask for no completion (IOSQE_CQE_SKIP_SUCCESS)",
        ),
        blind_spots::of(
            route::CLOSED_MEANWHILE,
            "a file that another thread closes before the open returns (counted as lost; where yet another open has \
             taken the descriptor by then, that one's file is told instead)",
        ),
    ],
    cannot_see_here: |_| None,
    costs: Some("about 0.1 µs on every system call of every process"),
    unfit: |_| None,
};

const fn only(name: &'static str, probes: &'static [Probe]) -> Rung {
    let (cannot_see_here, costs) = (|_: &Machine| None, None);
    Rung { name, probes, cannot_see: &[], cannot_see_here, costs, unfit: |_| None }
}

/// Every purpose.
pub(crate) const LADDERS: &[Ladder] = &[
    Ladder {
        purpose: "opens and library loads",
        serves: FILES,
        of_files: true,
        rungs: &[LSM, FEXIT, TP_BTF],
    },
    Ladder {
        purpose: "execs",
        serves: EXEC,
        of_files: false,
        rungs: &[only(
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
        of_files: false,
        rungs: &[only(
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
        of_files: false,
        rungs: &[only(
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

/// What any of them is attached to, as the kernel's types name it.
pub(crate) fn attached_types() -> Vec<String> {
    let probes = LADDERS.iter().flat_map(|ladder| ladder.rungs).flat_map(|rung| rung.probes);
    probes.map(|probe| probe.hook.type_name()).collect()
}

/// Refuses a name that no rung has.
pub(crate) fn check_name(probe: Option<&str>) -> Result<(), Error> {
    let rungs = LADDERS.iter().filter(|ladder| ladder.of_files).flat_map(|ladder| ladder.rungs);
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
    fn every_kind_has_a_ladder_and_every_rung_serves_it() {
        for kinds in [OPEN, LOAD, EXEC, EXIT, FORK] {
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
    fn rungs_that_would_be_blind_or_deaf_are_unfit() {
        let with = |modules: &str| Machine {
            security_modules: Some(modules.split(',').map(str::to_owned).collect()),
            ..machine()
        };
        assert_eq!((LSM.unfit)(&machine()), None);
        assert_eq!((LSM.unfit)(&with("lockdown,bpf")), None);
        assert!(!(LSM.unfit)(&with("lockdown,yama")).unwrap().can_be_asked_for);
        let refused_later = |modules| {
            let told = LSM.cannot_see(&with(modules));
            let behind = told.into_iter().find(|unseen| unseen.what.contains("asked after bpf"));
            behind.map(|unseen| unseen.what.into_owned())
        };
        assert!(refused_later("yama,bpf,ipe,ima").unwrap().contains("(ipe, ima)"));
        assert_eq!(refused_later("yama,apparmor,bpf"), None);
        assert_eq!(LSM.cannot_see(&machine()).len(), 1);
        assert_eq!((FEXIT.unfit)(&machine()), None);
        for preemption in [Preemption::Full, Preemption::Unknown] {
            let machine = Machine { preemption, ..machine() };
            assert!((FEXIT.unfit)(&machine).unwrap().can_be_asked_for);
        }
    }
}
