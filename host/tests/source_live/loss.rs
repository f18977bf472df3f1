//! What does not fit is counted, to the exact number.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crypto_tracer_capture::{CaptureOptions, EventKinds, SurveyRequest, route, survey};
use crypto_tracer_common::record::kind;

use super::{routes, sys, world};

crypto_tracer_tests::tests![
    received_and_lost_opens_are_those_that_were_done,
    many_openers_are_told_each_and_once,
    what_an_unfit_probe_misses_is_counted,
    received_and_lost_execs_and_exits_are_those_that_were_done,
];

fn received_and_lost_opens_are_those_that_were_done() {
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let options = CaptureOptions {
        ring_bytes: 64 << 10,
        pid: Some(std::process::id()),
        ..world::options(&interest, kinds)
    };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let file = dir.join("x.pem");
    fs::write(dir.join("x"), "").unwrap();
    fs::rename(dir.join("x"), &file).unwrap();
    let sent = 4 * 2500;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let file = file.clone();
            std::thread::spawn(move || {
                for _ in 0..2500 {
                    drop(sys::open(&file, 0).unwrap());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let got = world.records(0, |record| record.header.kind == kind::FILE_OPEN).len() as u64;
    let losses = world.source.losses();
    assert!(losses.ring_full_open > 0 && got > 100, "{got} {losses:?}");
    assert_eq!(got + losses.ring_full_open, sent);
    let all: u64 = losses.causes().iter().map(|(_, count, _)| count).sum();
    assert_eq!(all, losses.ring_full_open);
}

const OPENERS: usize = 8;
const OPENS: usize = 20_000;

/// Many threads that open a file each. Their ids, their files, and all that was told.
fn open_many(
    world: &mut world::World,
    dir: &std::path::Path,
) -> (Vec<(u32, PathBuf)>, Vec<world::Record>) {
    let files: Vec<_> = (0..OPENERS).map(|index| dir.join(format!("{index}.pem"))).collect();
    for file in &files {
        fs::write(dir.join("x"), "").unwrap();
        fs::rename(dir.join("x"), file).unwrap();
    }
    // The ring must not overflow: this is about what the programs do to each other.
    let (opened, drained) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let openers: Vec<_> = files
        .iter()
        .cloned()
        .map(|file| {
            let (opened, drained) = (Arc::clone(&opened), Arc::clone(&drained));
            std::thread::spawn(move || {
                for _ in 0..OPENS {
                    drop(sys::open(&file, 0).unwrap());
                    let done = opened.fetch_add(1, Relaxed);
                    if done.saturating_sub(drained.load(Relaxed)) > 16_000 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                sys::tid()
            })
        })
        .collect();
    while !openers.iter().all(|opener| opener.is_finished()) {
        let missed = world.source.losses().probe_missed as usize;
        drained.store((world.drain() + missed).min(opened.load(Relaxed)), Relaxed);
        std::thread::sleep(Duration::from_micros(500));
    }
    let tids: Vec<u32> = openers.into_iter().map(|opener| opener.join().unwrap()).collect();
    let missed = world.source.losses().probe_missed as usize;
    let told = |record: &world::Record| record.header.kind == kind::FILE_OPEN;
    let got = world.records((OPENERS * OPENS).saturating_sub(missed), told);
    (tids.into_iter().zip(files).collect(), got)
}

/// Programs that preempt each other on one processor must not disturb each other.
fn many_openers_are_told_each_and_once() {
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let options =
        CaptureOptions { pid: Some(std::process::id()), ..world::options(&interest, kinds) };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let (openers, got) = open_many(&mut world, &dir);
    let losses = world.source.losses();
    assert_eq!(losses.probe_missed, 0);
    assert_eq!(losses.ring_full_open, 0, "the ring was drained all the time");
    for (tid, file) in openers {
        let of_thread: Vec<_> = got.iter().filter(|record| record.header.tid == tid).collect();
        let right = of_thread.iter().filter(|record| record.text() == file.display().to_string());
        assert_eq!(right.count(), of_thread.len(), "a path of another opener");
        assert_eq!(of_thread.len(), OPENS, "of each thread all and none twice: {losses:?}");
        // In order; and no two at the same time, so each is another open.
        let each_later = of_thread.windows(2).all(|two| two[0].header.ts_ns < two[1].header.ts_ns);
        assert!(each_later);
    }
    assert_eq!(got.len(), OPENERS * OPENS, "{losses:?}");
    routes::ok("threads");
    routes::ok("160 000 opens by 8 openers: none missing, none twice");
    match world.unseen(route::INTERRUPTED) {
        Some(unseen) => routes::impossible(&unseen),
        None => routes::ok(route::INTERRUPTED),
    }
}

/// On a kernel where that probe misses opens, what it tells and what it counts as missed are all.
fn what_an_unfit_probe_misses_is_counted() {
    const ROUTE: &str = "missed opens are counted, where that probe is asked for all the same";
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let world = world::start(&world::options(&interest, kinds));
    let told = survey(&SurveyRequest { ring_bytes: 64 << 10, probe: None });
    drop(world);
    let fexit = told.rungs.iter().find(|rung| rung.name == "fexit").unwrap();
    if let Some(why) = &fexit.refused {
        routes::skip(ROUTE, format_args!("fexit does not work here: {why}"));
    }
    if fexit.unfit.is_none() {
        routes::skip(ROUTE, "fexit misses nothing on this kernel");
    }
    let (pid, probe) = (Some(std::process::id()), Some("fexit".to_owned()));
    let options = CaptureOptions { pid, probe, ..world::options(&interest, kinds) };
    let mut world = world::start(&options);
    assert!(world.source.loses_silently());
    let (_keep, dir) = world::directory();
    let (_, got) = open_many(&mut world, &dir);
    let losses = world.source.losses();
    println!("{} told, {losses:?}", got.len());
    // It counts misses of any open, wanted or not, so they may be more.
    let all = got.len() as u64 + losses.ring_full_open + losses.probe_missed;
    assert!(all >= (OPENERS * OPENS) as u64, "{} told, {losses:?}", got.len());
    assert!(got.len() <= OPENERS * OPENS);
    routes::ok(ROUTE);
}

fn received_and_lost_execs_and_exits_are_those_that_were_done() {
    let interest = world::interest();
    let kinds = EventKinds { exec: true, exit: true, ..EventKinds::NONE };
    // Only what this shell does counts.
    let sent = 100;
    let script = format!("read go; i=0; while [ $i -lt {sent} ]; do /bin/true; i=$((i+1)); done");
    let mut command = Command::new("/bin/sh");
    let mut shell = command.args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
    let options = CaptureOptions {
        ring_bytes: 16 << 10,
        pid: Some(shell.id()),
        follow_children: true,
        ..world::options(&interest, kinds)
    };
    let mut world = world::start(&options);
    shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(shell.wait().unwrap().success());
    let got = world.records(0, |record| record.header.tgid != shell.id());
    let count = |kind| got.iter().filter(|record| record.header.kind == kind).count() as u64;
    let losses = world.source.losses();
    assert!(losses.ring_full_exec > 0, "{losses:?}");
    assert_eq!(count(kind::PROCESS_EXEC) + losses.ring_full_exec, sent);
    let own = world.records(0, |record| record.header.tgid == shell.id()).len() as u64;
    assert_eq!(count(kind::PROCESS_EXIT) + own + losses.ring_full_exit, sent + 1);
}
