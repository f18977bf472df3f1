//! What does not fit is counted, to the exact number.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crypto_tracer::source::{Kinds, Options, route};
use crypto_tracer_common::record::kind;

use super::{routes, sys, world};

#[test]
fn received_and_lost_opens_are_those_that_were_done() {
    let interest = world::interest();
    let kinds = Kinds { open: true, ..Kinds::NONE };
    let options = Options {
        ring_bytes: 64 << 10,
        pid: Some(std::process::id()),
        ..world::options(&interest, kinds)
    };
    let Some(mut world) = world::start(&options) else { return };
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

/// Programs that preempt each other on one processor must not disturb each other.
#[test]
fn many_openers_are_told_each_and_once() {
    let interest = world::interest();
    let kinds = Kinds { open: true, ..Kinds::NONE };
    let options = Options { pid: Some(std::process::id()), ..world::options(&interest, kinds) };
    let Some(mut world) = world::start(&options) else { return };
    let (_keep, dir) = world::directory();
    const OPENERS: usize = 8;
    const OPENS: usize = 20_000;
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
        drained.store(world.drain().min(opened.load(Relaxed)), Relaxed);
        std::thread::sleep(Duration::from_micros(500));
    }
    let tids: Vec<u32> = openers.into_iter().map(|opener| opener.join().unwrap()).collect();
    let got = world.records(OPENERS * OPENS, |record| record.header.kind == kind::FILE_OPEN);
    let losses = world.source.losses();
    for (tid, file) in tids.into_iter().zip(&files) {
        let of_thread: Vec<_> = got.iter().filter(|record| record.header.tid == tid).collect();
        let right = of_thread.iter().filter(|record| record.text() == file.display().to_string());
        assert_eq!(right.count(), of_thread.len(), "a path of another opener");
        let in_order = of_thread.windows(2).all(|two| two[0].header.ts_ns <= two[1].header.ts_ns);
        assert!(in_order);
    }
    assert_eq!((got.len() as u64 + losses.ring_full_open) as usize, OPENERS * OPENS, "{losses:?}");
    assert_eq!(losses.probe_missed, 0);
    assert_eq!(losses.ring_full_open, 0, "the ring was drained all the time");
    routes::ok("threads");
    routes::ok("160 000 opens by 8 openers: none missing, none twice");
    match world.unseen(route::INTERRUPTED) {
        Some(unseen) => routes::impossible(&unseen),
        None => routes::ok(route::INTERRUPTED),
    }
}

#[test]
fn received_and_lost_execs_and_exits_are_those_that_were_done() {
    let interest = world::interest();
    let kinds = Kinds { exec: true, exit: true, ..Kinds::NONE };
    let options = Options {
        ring_bytes: 16 << 10,
        comm: Some(b"true".to_vec()),
        ..world::options(&interest, kinds)
    };
    let Some(mut world) = world::start(&options) else { return };
    let sent = 100;
    for _ in 0..sent {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
    let got = world.records(0, |record| record.comm() == b"true");
    let count = |kind| got.iter().filter(|record| record.header.kind == kind).count() as u64;
    let losses = world.source.losses();
    assert!(losses.ring_full_exec > 0, "{losses:?}");
    assert_eq!(count(kind::PROCESS_EXEC) + losses.ring_full_exec, sent);
    assert_eq!(count(kind::PROCESS_EXIT) + losses.ring_full_exit, sent);
}
