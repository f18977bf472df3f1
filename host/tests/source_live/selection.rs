//! Only selected events are reported.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crypto_tracer_capture::CaptureOptions;
use crypto_tracer_common::record::kind;
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::interest::Interest;

use super::{routes, sys, world};

crypto_tracer_tests::tests![
    one_process,
    processes_by_part_of_their_name,
    other_names_report_only_process_events,
    own_opens_are_excluded,
    only_selected_kinds_are_reported,
    interest_changes_lose_no_events,
];

const OPENS: EventKinds = EventKinds { open: true, ..EventKinds::NONE };

fn file(dir: &Path, name: &str) -> std::path::PathBuf {
    let file = dir.join(name);
    fs::write(dir.join("temporary"), "").unwrap();
    fs::rename(dir.join("temporary"), &file).unwrap();
    file
}

/// Runs a program with this name that opens the file. Returns its PID.
fn cat(dir: &Path, name: &str, file: &Path) -> u32 {
    let program = dir.join(name);
    fs::copy("/bin/cat", &program).unwrap();
    let mut child = Command::new(&program).arg(file).stdout(Stdio::null()).spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn one_process() {
    let interest = world::interest();
    let me = std::process::id();
    let options = CaptureOptions { pid: Some(me), ..world::options(&interest, EventKinds::ALL) };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let file = file(&dir, "x.pem");
    cat(&dir, "other", &file);
    drop(sys::open(&file, 0).unwrap());
    let got = world.records(1, |_| true);
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(got[0].header.tgid, me);
}

fn processes_by_part_of_their_name() {
    let interest = world::interest();
    let (_keep, dir) = world::directory();
    let file = file(&dir, "x.pem");
    let name = "abcdefghijklmno";
    for (part, matches) in [
        ("a", true),
        ("abc", true),
        ("hij", true),
        ("ghi", true),
        ("defghijkl", true),
        ("o", true),
        ("mno", true),
        (name, true),
        ("x", false),
        ("ac", false),
        ("bcdefghijklmnop", false),
    ] {
        let options =
            CaptureOptions { comm: Some(part.into()), ..world::options(&interest, OPENS) };
        let mut world = world::start(&options);
        let child = cat(&dir, name, &file);
        let got = world.records(matches.into(), |record| record.header.tgid == child);
        assert_eq!(got.len(), usize::from(matches), "{part}");
    }
}

/// Process events are reported for all names, because a process may take the name later, and so may its descendants.
fn other_names_report_only_process_events() {
    let interest = world::interest();
    let options = CaptureOptions {
        comm: Some(b"no-such-name".into()),
        ..world::options(&interest, EventKinds::ALL)
    };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let child = cat(&dir, "other", &file(&dir, "x.pem"));
    let got = world.records(3, |record| record.header.tgid == child);
    let kinds: Vec<u16> = got.iter().map(|record| record.header.kind).collect();
    assert_eq!(kinds, [kind::PROCESS_FORK, kind::PROCESS_EXEC, kind::PROCESS_EXIT]);
}

fn own_opens_are_excluded() {
    let interest = world::interest();
    let me = std::process::id();
    let options = CaptureOptions { excluded_pids: vec![1, me], ..world::options(&interest, OPENS) };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let file = file(&dir, "x.pem");
    drop(sys::open(&file, 0).unwrap());
    let child = cat(&dir, "other", &file);
    let got = world.records(1, |_| true);
    let count = |pid| got.iter().filter(|record| record.header.tgid == pid).count();
    assert_eq!((count(me), count(child)), (0, 1));
    world.forget();
    world.source.set_excluded_pids(&[1, 1, 1, 1, 1, 1, 1, 1]).unwrap();
    drop(sys::open(&file, 0).unwrap());
    assert_eq!(world.records(1, |record| record.header.tgid == me).len(), 1);
    assert!(world.source.set_excluded_pids(&[1; 9]).is_err());
    routes::ok("the tracer's own opens: not reported");
}

fn only_selected_kinds_are_reported() {
    let interest = world::interest();
    let all = [
        (EventKinds { open: true, ..EventKinds::NONE }, kind::FILE_OPEN),
        (EventKinds { exec: true, ..EventKinds::NONE }, kind::PROCESS_EXEC),
        (EventKinds { exit: true, ..EventKinds::NONE }, kind::PROCESS_EXIT),
    ];
    for (kinds, only) in all {
        let mut world = world::start(&world::options(&interest, kinds));
        let (_keep, dir) = world::directory();
        let child = cat(&dir, "reader", &file(&dir, "x.pem"));
        let got = world.records(1, |record| record.header.tgid == child);
        let kinds: Vec<u16> = got.iter().map(|record| record.header.kind).collect();
        assert_eq!(kinds, [only]);
    }
}

fn interest_changes_lose_no_events() {
    let mut first = Interest::default();
    first.add_suffix(".pem").unwrap();
    first.add_suffix(".old").unwrap();
    let mut second = Interest::default();
    second.add_suffix(".pem").unwrap();
    second.add_suffix(".new").unwrap();
    second.add_name("whole").unwrap();
    second.add_prefix("prefix_").unwrap();
    let options = CaptureOptions { pid: Some(std::process::id()), ..world::options(&first, OPENS) };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let [pem, old, new, whole, prefixed] =
        ["x.pem", "x.old", "x.new", "whole", "prefix_x"].map(|name| file(&dir, name));
    let stop = Arc::new(AtomicBool::new(false));
    let opener = {
        let (stop, pem) = (Arc::clone(&stop), pem.clone());
        std::thread::spawn(move || {
            let mut count = 0_usize;
            while !stop.load(Ordering::Relaxed) && count < 20_000 {
                drop(sys::open(&pem, 0).unwrap());
                count += 1;
            }
            count
        })
    };
    for round in 0..20 {
        let interest = if round % 2 == 0 { &second } else { &first };
        world.source.set_interest(interest).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    stop.store(true, Ordering::Relaxed);
    let count = opener.join().unwrap();
    let is =
        |name: &'static str| move |record: &world::Record| record.path.ends_with(name.as_bytes());
    assert_eq!(world.records(count, is("/x.pem")).len(), count);
    // `first` is in effect after an even number of changes.
    let open_all = || [&old, &new, &whole, &prefixed].map(|path| drop(sys::open(path, 0).unwrap()));
    world.forget();
    open_all();
    assert_eq!(world.records(1, |_| true).len(), 1);
    assert_eq!(world.records(1, is("/x.old")).len(), 1);
    world.source.set_interest(&second).unwrap();
    world.forget();
    open_all();
    assert_eq!(world.records(3, |_| true).len(), 3);
    assert_eq!(world.records(0, is("/x.old")).len(), 0);
}
