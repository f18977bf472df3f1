//! Libraries: told when their code is mapped.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crypto_tracer_capture::EventKinds;
use crypto_tracer_common::record::kind;
use crypto_tracer_tests::not_tried;

use super::processes::{ROLE, myself};
use super::{routes, sys, world};

crypto_tracer_tests::tests! {
    code_that_is_mapped_is_told_and_reading_is_not,
    a_real_program_loads_its_libraries,
    a_library_that_is_forced_upon_a_program,
    a_library_is_loaded_by_dlopen_forked_with_and_loaded_again_after_exec;
    roles: role
}

pub(crate) fn map(at: &Path, prot: i32) {
    let file = sys::open(at, 0).unwrap();
    let fd = file.as_raw_fd();
    // SAFETY: a new mapping that nobody uses; it stays until the process ends.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, libc::MAP_PRIVATE, fd, 0) };
    assert_ne!(page, libc::MAP_FAILED);
}

fn code_that_is_mapped_is_told_and_reading_is_not() {
    let interest = world::interest();
    let kinds = EventKinds { load: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let (_keep, dir) = world::directory();
    let long = format!("libssl.so.{}", "9".repeat(200));
    let wanted = [
        "libssl",
        "libssl.so",
        "libssl.so.3",
        "libssl-3.so",
        "libcrypto.so.1.1",
        "libaws-lc.so",
        "libaws-lc-2.so",
        &long,
    ];
    let others =
        ["libssl3.so", "libssl_x.so", "xlibssl.so", "libss", "LIBSSL.so", "libaws.so", "x.pem"];
    for name in wanted.iter().chain(&others) {
        let at = dir.join(name);
        fs::write(&at, [0; 4096]).unwrap();
        map(&at, libc::PROT_READ);
        map(&at, libc::PROT_READ | libc::PROT_EXEC);
    }
    let me = std::process::id();
    let got = world.records(wanted.len(), |record| record.header.tgid == me);
    let names: Vec<String> = got.iter().map(|record| record.text()).collect();
    let expected: Vec<String> =
        wanted.iter().map(|name| dir.join(name).display().to_string()).collect();
    assert_eq!(names, expected);
    for (record, name) in got.iter().zip(wanted) {
        assert_eq!(record.header.kind, kind::LIB_LOAD);
        assert_eq!(record.header.inode, fs::metadata(dir.join(name)).unwrap().ino());
        assert_eq!(record.header.detail, 0);
    }
    routes::ok("library only read: not told");
}

fn a_real_program_loads_its_libraries() {
    let interest = world::interest();
    let kinds = EventKinds { load: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let Ok(mut child) = std::process::Command::new("openssl").arg("version").spawn() else {
        not_tried("there is no openssl here");
    };
    child.wait().unwrap();
    let got = world.records(2, |record| record.header.tgid == child.id());
    let mut names: Vec<String> = got
        .iter()
        .map(|record| Path::new(std::ffi::OsStr::from_bytes(&record.path)).to_path_buf())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["libcrypto.so.3", "libssl.so.3"]);
    routes::ok("DT_NEEDED");
}

/// The library that `openssl` needs, where the loader of this system finds it.
fn libcrypto() -> Option<std::path::PathBuf> {
    let folders = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64"];
    folders
        .into_iter()
        .map(|folder| Path::new(folder).join("libcrypto.so.3"))
        .find(|at| at.exists())
}

fn a_library_that_is_forced_upon_a_program() {
    let interest = world::interest();
    let kinds = EventKinds { load: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let Some(library) = libcrypto() else {
        routes::skip("LD_PRELOAD", "there is no libcrypto.so.3 here");
    };
    let mut command = std::process::Command::new("/bin/true");
    let mut child = command.env("LD_PRELOAD", &library).spawn().unwrap();
    child.wait().unwrap();
    let got = world.records(1, |record| record.header.tgid == child.id());
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(got[0].header.inode, fs::metadata(&library).unwrap().ino());
    routes::ok("LD_PRELOAD");
}

/// Told by the kernel side each time that code is mapped, printed once for each program image.
fn a_library_is_loaded_by_dlopen_forked_with_and_loaded_again_after_exec() {
    const ROUTES: [&str; 2] = ["dlopen", "library again after exec, not in a forked child"];
    let interest = world::interest();
    let kinds = EventKinds { load: true, exec: true, fork: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let Some(library) = libcrypto() else {
        const WHY: &str = "there is no libcrypto.so.3 here";
        ROUTES.iter().for_each(|route| routes::not_tried(route, WHY));
        not_tried(WHY);
    };
    let mut child = myself("loads::role", library.to_str().unwrap()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let wanted = fs::metadata(&library).unwrap().ino();
    world.records(4, |record| record.header.tgid == child.id());
    let mut enrich = crypto_tracer_pipeline::enrich::Enrich::default();
    let mut told = Vec::new();
    for record in world.records(0, |_| true) {
        let event =
            crypto_tracer_capture::decode::decode(crypto_tracer_event::RawRecord(&record.raw));
        let Some(event) = enrich.enrich(event.unwrap()) else { continue };
        if let crypto_tracer_event::EnrichedWhat::LibLoad { file, .. } = &event.what
            && file.inode == wanted
        {
            told.push((event.process.key.tgid, event.process.exec_id));
        }
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].0, child.id());
    assert_eq!(told[1].0, child.id());
    assert_ne!(told[0].1, told[1].1, "another program image");
    ROUTES.iter().for_each(|route| routes::ok(route));
}

/// Not a test: loads a library twice, forks a child that does the same, and once more after it executed itself.
fn role() {
    let Ok(library) = std::env::var(ROLE) else { return };
    let (library, again) = match library.strip_prefix("again:") {
        Some(library) => (library.to_owned(), true),
        None => (library, false),
    };
    let name = sys::path(&library);
    // SAFETY: a string that ends with NUL; what the library does when it is loaded, it does in every program.
    let load = || assert!(!unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) }.is_null());
    load();
    load();
    if again {
        return;
    }
    // SAFETY: the child maps and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as said.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    let error = std::os::unix::process::CommandExt::exec(&mut myself(
        "loads::role",
        &format!("again:{library}"),
    ));
    panic!("{error}");
}
