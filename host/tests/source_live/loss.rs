//! Lost events are counted exactly.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crypto_tracer_capture::{CaptureOptions, SurveyRequest, route, survey};
use crypto_tracer_common::record::kind;
use crypto_tracer_event::EventKinds;

use super::{routes, sys, world};

crypto_tracer_tests::tests![
    received_and_lost_opens_add_up,
    concurrent_opens_are_reported_exactly_once,
    misses_of_an_unsuitable_probe_are_counted,
    received_and_lost_execs_and_exits_add_up,
    a_flood_leaves_room_for_other_users,
    a_long_path_takes_little_more_than_its_length,
];

fn received_and_lost_opens_add_up() {
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

/// Opens files in many threads, one file per thread. Returns thread IDs, paths and the received records.
fn open_many(
    world: &mut world::World,
    dir: &std::path::Path,
) -> (Vec<(u32, PathBuf)>, Vec<world::Record>) {
    let files: Vec<_> = (0..OPENERS).map(|index| dir.join(format!("{index}.pem"))).collect();
    for file in &files {
        fs::write(dir.join("x"), "").unwrap();
        fs::rename(dir.join("x"), file).unwrap();
    }
    // The threads wait so that the ring does not overflow: the test is about concurrent runs of the BPF programs.
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
    let is_open = |record: &world::Record| record.header.kind == kind::FILE_OPEN;
    let got = world.records((OPENERS * OPENS).saturating_sub(missed), is_open);
    (tids.into_iter().zip(files).collect(), got)
}

/// BPF programs that preempt each other on one processor must not corrupt each other's records.
fn concurrent_opens_are_reported_exactly_once() {
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let options =
        CaptureOptions { pid: Some(std::process::id()), ..world::options(&interest, kinds) };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let (openers, got) = open_many(&mut world, &dir);
    let losses = world.source.losses();
    assert_eq!(losses.probe_missed, 0);
    assert_eq!(losses.ring_full_open, 0, "the ring did not overflow");
    for (tid, file) in openers {
        let of_thread: Vec<_> = got.iter().filter(|record| record.header.tid == tid).collect();
        let correct = of_thread.iter().filter(|record| record.text() == file.display().to_string());
        assert_eq!(correct.count(), of_thread.len(), "a path of another thread");
        assert_eq!(of_thread.len(), OPENS, "each open of a thread once: {losses:?}");
        // Strictly increasing timestamps show that no record is a duplicate.
        let is_increasing =
            of_thread.windows(2).all(|two| two[0].header.ts_ns < two[1].header.ts_ns);
        assert!(is_increasing);
    }
    assert_eq!(got.len(), OPENERS * OPENS, "{losses:?}");
    routes::ok("threads");
    routes::ok("160 000 opens by 8 threads: each reported once");
    match world.blind_spot(route::INTERRUPTED) {
        Some(blind_spot) => routes::impossible(&blind_spot),
        None => routes::ok(route::INTERRUPTED),
    }
}

/// On a kernel where fexit misses opens, the reported and missed opens add up to all opens.
fn misses_of_an_unsuitable_probe_are_counted() {
    const ROUTE: &str = "missed opens are counted if that probe is forced";
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let world = world::start(&world::options(&interest, kinds));
    let survey = survey(&SurveyRequest { ring_bytes: 64 << 10, probe: None });
    drop(world);
    let fexit = survey.rungs.iter().find(|rung| rung.name == "fexit").unwrap();
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
    println!("{} reported, {losses:?}", got.len());
    // The probe also counts missed opens outside the interest, so the sum may be larger.
    let all = got.len() as u64 + losses.ring_full_open + losses.probe_missed;
    assert!(all >= (OPENERS * OPENS) as u64, "{} reported, {losses:?}", got.len());
    assert!(got.len() <= OPENERS * OPENS);
    routes::ok(ROUTE);
}

fn received_and_lost_execs_and_exits_add_up() {
    let interest = world::interest();
    let kinds = EventKinds { exec: true, exit: true, ..EventKinds::NONE };
    // Only events of this shell and its children are selected.
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

/// Opens the file `count` times as this user, in another process.
fn open_as(uid: u32, file: &std::path::Path, count: u64) {
    let path = sys::path(file);
    // SAFETY: the child makes only system calls, with memory that the fork has copied.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: as above; the string is NUL-terminated.
        unsafe {
            if libc::setresuid(uid, uid, uid) != 0 {
                libc::_exit(1);
            }
            for _ in 0..count {
                let fd = libc::open(path.as_ptr(), libc::O_RDONLY);
                if fd < 0 {
                    libc::_exit(2);
                }
                libc::close(fd);
            }
            libc::_exit(0);
        }
    }
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "an opener of user {uid}");
}

/// Nobody reads the ring while it is flooded.
fn a_flood_leaves_room_for_other_users() {
    const FLOOD: u64 = 3000;
    const VICTIM: u64 = 3;
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let (_keep, dir) = world::directory();
    let file = dir.join("x.pem");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let flooders = [65534, 65533, 65532, 65531];
    for flooders in [&flooders[..1], &flooders[..]] {
        for limit_floods in [true, false] {
            let options = CaptureOptions {
                ring_bytes: 64 << 10,
                limit_floods,
                ..world::options(&interest, kinds)
            };
            let mut world = world::start(&options);
            flooders.iter().for_each(|&uid| open_as(uid, &file, FLOOD));
            open_as(1001, &file, VICTIM);
            let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&file).unwrap());
            let got = world.records(0, |record| record.header.inode == inode);
            let of = |uid| got.iter().filter(|record| record.header.uid == uid).count() as u64;
            let losses = world.source.losses();
            let sent = FLOOD * flooders.len() as u64 + VICTIM;
            assert!(got.len() as u64 + losses.flood + losses.ring_full_open >= sent, "{losses:?}");
            if limit_floods {
                assert_eq!(of(1001), VICTIM, "{flooders:?}: {losses:?}");
                assert!(losses.flood > 0 && losses.ring_full_open == 0, "{losses:?}");
                assert!(of(flooders[0]) >= 100, "the flooder has its share");
            } else {
                assert_eq!(of(1001), 0, "the ring was not flooded");
                assert_eq!(losses.flood, 0, "{losses:?}");
            }
            // After a drain, everybody may write again.
            open_as(flooders[0], &file, 50);
            let again = world.records(0, |record| record.header.inode == inode).len() - got.len();
            assert_eq!(again, 50);
        }
    }
    routes::ok("a flood leaves room for other users");
}

fn a_long_path_takes_little_more_than_its_length() {
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let options =
        CaptureOptions { pid: Some(std::process::id()), ..world::options(&interest, kinds) };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let mut deep = dir;
    let mut files = Vec::new();
    while deep.as_os_str().len() < 3800 {
        deep.push("l".repeat(250));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("x"), "").unwrap();
        fs::rename(deep.join("x"), deep.join("x.pem")).unwrap();
        files.push(deep.join("x.pem"));
    }
    files.iter().for_each(|file| drop(sys::open(file, 0).unwrap()));
    let got = world.records(files.len(), |record| record.header.kind == kind::FILE_OPEN);
    assert_eq!(got.len(), files.len());
    for (record, file) in got.iter().zip(&files) {
        assert_eq!(record.text(), file.display().to_string());
        let need = size_of::<crypto_tracer_common::record::Header>() + record.path.len();
        assert!(record.raw.len() <= 512.max(3 * need), "{} bytes for {need}", record.raw.len());
    }
}
