//! Forks, `--follow-children`, and surveys.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crypto_tracer_capture::{CaptureOptions, Source, SurveyRequest, survey};
use crypto_tracer_common::record::kind;
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::ProcessKey;
use crypto_tracer_tests::until;

use super::{routes, world};

crypto_tracer_tests::tests![
    only_descendants_are_followed,
    a_fork_precedes_all_events_of_the_child,
    follow_children_requires_a_pid,
    each_kind_works_alone,
    a_survey_tries_every_rung_and_matches_a_run,
];

/// Starts a shell that reads commands from its standard input.
fn shell(dir: &Path) -> Child {
    let mut command = Command::new("/bin/sh");
    command.current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap()
}

fn send(shell: &mut Child, line: &str) {
    writeln!(shell.stdin.as_mut().unwrap(), "{line}").unwrap();
}

fn end(mut shell: Child) {
    drop(shell.stdin.take());
    assert!(shell.wait().unwrap().success());
}

fn directory() -> (tempfile::TempDir, std::path::PathBuf) {
    let (keep, dir) = world::directory();
    fs::write(dir.join("x"), "").unwrap();
    fs::rename(dir.join("x"), dir.join("x.pem")).unwrap();
    (keep, dir)
}

/// Process key with the start time from `/proc`, in units of 10 ms.
fn key(pid: u32) -> ProcessKey {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    ProcessKey { tgid: pid, start_ns: ticks.parse::<u64>().unwrap() * 10_000_000 }
}

fn only_descendants_are_followed() {
    let interest = world::interest();
    let (_keep, dir) = directory();
    let (mut followed, mut other) = (shell(&dir), shell(&dir));
    // A child that exists before the start.
    send(
        &mut followed,
        "sh -c 'echo $$ > child; while [ ! -e go ]; do sleep 0.01; done; cat x.pem' &",
    );
    let child = until("the child's PID", || {
        let text = fs::read_to_string(dir.join("child")).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    });
    let kinds = EventKinds { open: true, exec: true, ..EventKinds::NONE };
    let options = CaptureOptions {
        pid: Some(followed.id()),
        follow_children: true,
        ..world::options(&interest, kinds)
    };
    let mut world = world::start(&options);
    let keys = [key(followed.id()), key(child)];
    assert_eq!(world.source.follow(&keys).unwrap(), 2);
    assert_eq!(world.source.follow(&keys).unwrap(), 0, "they are followed already");
    send(&mut other, "cat x.pem; sh -c 'cat x.pem'");
    end(other);
    // Many children at the same time, a deep chain, and a child whose parent exits first.
    send(&mut followed, "i=0; while [ $i -lt 100 ]; do cat x.pem & i=$((i+1)); done");
    send(&mut followed, "sh -c \"sh -c 'sh -c \\\"cat x.pem; true\\\"; true'; true\"");
    send(&mut followed, "(sh -c 'sleep 0.05; cat x.pem; touch done' &)");
    send(&mut followed, "touch go; wait; while [ ! -e done ]; do sleep 0.01; done");
    end(followed);
    let opens = world.records(103, |record| record.header.kind == kind::FILE_OPEN);
    assert_eq!(opens.len(), 103);
    let mut pids: Vec<u32> = opens.iter().map(|record| record.header.tgid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 103);
    let unwanted = world
        .records(0, |record| ![kind::FILE_OPEN, kind::PROCESS_EXEC].contains(&record.header.kind));
    assert!(unwanted.is_empty(), "{unwanted:?}");
    assert_eq!(world.source.losses().family_full, 0);
    routes::ok("descendants, also in the same millisecond");
}

fn a_fork_precedes_all_events_of_the_child() {
    let interest = world::interest();
    let kinds = EventKinds { fork: true, exec: true, exit: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let me = std::process::id();
    let mut child = Command::new("/bin/true").spawn().unwrap();
    child.wait().unwrap();
    let thread = std::thread::spawn(|| ());
    thread.join().unwrap();
    let got = world.records(3, |record| record.header.tgid == child.id());
    let kinds: Vec<u16> = got.iter().map(|record| record.header.kind).collect();
    assert_eq!(kinds, [kind::PROCESS_FORK, kind::PROCESS_EXEC, kind::PROCESS_EXIT]);
    let [fork, exec] = [&got[0], &got[1]].map(|record| record.header);
    assert_eq!((fork.ppid, fork.tid), (me, child.id()));
    assert_eq!(fork.start_ns, exec.start_ns);
    assert!(fork.ts_ns < exec.ts_ns);
    assert_ne!(fork.exec_id, exec.exec_id);
    assert_eq!(fork.mount_ns, exec.mount_ns);
    // A new thread is not a fork.
    assert!(world.records(0, |record| record.header.tgid == me).is_empty());
}

fn follow_children_requires_a_pid() {
    let interest = world::interest();
    let options =
        CaptureOptions { follow_children: true, ..world::options(&interest, EventKinds::ALL) };
    assert_eq!(Source::start(&options).unwrap_err().exit_code(), 2);
}

fn each_kind_works_alone() {
    let interest = world::interest();
    for kinds in [
        EventKinds { open: true, ..EventKinds::NONE },
        EventKinds { load: true, ..EventKinds::NONE },
        EventKinds { exec: true, ..EventKinds::NONE },
        EventKinds { exit: true, ..EventKinds::NONE },
        EventKinds { fork: true, ..EventKinds::NONE },
    ] {
        let mut world = world::start(&world::options(&interest, kinds));
        assert_eq!(world.source.attached().len(), 1);
        // The self-test at the start leaves no records in the ring.
        let me = std::process::id();
        assert!(world.records(0, |record| record.header.tgid == me).is_empty());
    }
    routes::ok("self-test: the tracer's own open and load are reported correctly");
}

fn a_survey_tries_every_rung_and_matches_a_run() {
    let interest = world::interest();
    let options = world::options(&interest, EventKinds::ALL);
    let world = world::start(&options);
    let attached = world.source.attached().to_vec();
    drop(world);
    let survey = survey(&SurveyRequest { ring_bytes: options.ring_bytes, probe: options.probe });
    println!(
        "{} {:?} modules {:?} lockdown {:?}",
        survey.release, survey.preemption, survey.security_modules, survey.lockdown
    );
    assert!(survey.refused.is_none(), "{:?}", survey.refused);
    for rung in &survey.rungs {
        let state = rung.refused.as_deref().or(rung.unfit);
        let state = state.map_or("ok".to_owned(), |why| format!("impossible: {why}"));
        println!("rung {}: {state}", rung.name);
        for (program, verified) in &rung.programs {
            println!("      {program}: {verified:?} instructions verified");
        }
        let far_below = |(_, verified): &(_, Option<u32>)| verified.is_none_or(|n| n < 40_000);
        assert!(rung.programs.iter().all(far_below));
        assert!(rung.refused.is_none() || rung.remedy.is_some(), "{rung:?}");
    }
    let chosen: Vec<_> = survey.rungs.iter().filter(|rung| rung.chosen).collect();
    assert_eq!(chosen.len(), attached.len(), "one rung for each purpose");
    for (rung, attached) in chosen.into_iter().zip(&attached) {
        assert_eq!(rung.refused, None);
        assert_eq!((rung.name, rung.hooks.join(", ")), (attached.rung, attached.hook.clone()));
        assert_eq!((&rung.cannot_see, rung.overhead), (&attached.cannot_see, attached.overhead));
    }
    // A survey fails for the same reasons as a run.
    let error = survey_error("no-such-probe");
    assert_eq!(error.map(|error| error.exit_code()), Some(2));
}

fn survey_error(probe: &str) -> Option<crypto_tracer_capture::Error> {
    survey(&SurveyRequest { ring_bytes: 64 << 10, probe: Some(probe.to_owned()) }).refused
}
