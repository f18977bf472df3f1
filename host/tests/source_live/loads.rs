//! Library loads, which are reported for each executable mapping.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use crypto_tracer_capture::route;
use crypto_tracer_common::record::kind;
use crypto_tracer_event::EventKinds;
use crypto_tracer_tests::not_tried;

use super::processes::{ROLE, self_command};
use super::{routes, sys, world};

crypto_tracer_tests::tests! {
    only_executable_mappings_are_reported,
    a_library_cannot_hide,
    a_program_loads_its_needed_libraries,
    a_preloaded_library,
    a_library_is_reported_once_per_program_image;
    roles: role
}

pub(crate) fn map(path: &Path, prot: i32) {
    let file = sys::open(path, 0).unwrap();
    let fd = file.as_raw_fd();
    // SAFETY: the new mapping is not accessed.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, libc::MAP_PRIVATE, fd, 0) };
    assert_ne!(page, libc::MAP_FAILED);
}

fn only_executable_mappings_are_reported() {
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
        let path = dir.join(name);
        fs::write(&path, [0; 4096]).unwrap();
        map(&path, libc::PROT_READ);
        map(&path, libc::PROT_READ | libc::PROT_EXEC);
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
    routes::ok("library only read: not reported");
}

/// Ways to map a library that once hid it.
fn a_library_cannot_hide() {
    let interest = world::interest();
    let kinds = EventKinds { load: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let (_keep, dir) = world::directory();
    let library = dir.join("libcrypto.so.3");
    fs::write(&library, [0; 8192]).unwrap();
    let name = dir.join("other.txt");
    fs::write(&name, "").unwrap();
    let me = std::process::id();
    let mut expect = |route: &'static str, count: usize| {
        let got = world.records(count, |record| record.header.tgid == me);
        assert_eq!(got.len(), count, "{route}");
        let inode = fs::metadata(&library).unwrap().ino();
        assert!(got.iter().all(|record| record.header.inode == inode), "{route}");
        assert!(got.iter().all(|record| record.text().ends_with("/libcrypto.so.3")), "{route}");
        match world.blind_spot(route) {
            Some(blind_spot) => routes::impossible(&blind_spot),
            None => routes::ok(route),
        }
        world.forget();
    };

    let route = "library mapped over the arguments of its own mapping";
    match map_over_own_arguments(&library) {
        Some(()) => expect(route, 1),
        None => routes::not_tried(route, "this kernel has no 32-bit system calls"),
    }

    let mapped = map_while_closing(&library);
    assert!(mapped > 0);
    expect("library whose descriptor another thread closes", mapped);

    let (from, to) = (library.clone(), name.clone());
    let thread = std::thread::spawn(move || {
        sys::own_mounts();
        sys::bind(&from, &to);
        map(&to, libc::PROT_READ | libc::PROT_EXEC);
    });
    thread.join().unwrap();
    expect("library mapped under another name", 1);

    let file = library.clone();
    let thread = std::thread::spawn(move || {
        // SAFETY: the call accesses no memory.
        unsafe { libc::personality(libc::READ_IMPLIES_EXEC as libc::c_ulong) };
        map(&file, libc::PROT_READ);
    });
    thread.join().unwrap();
    expect("library executable by personality", 1);

    map_then_protect(&library);
    expect(route::MPROTECT, 0);
}

/// Maps the library as data, then makes it executable.
fn map_then_protect(library: &Path) {
    let file = sys::open(library, 0).unwrap();
    let (private, fd) = (libc::MAP_PRIVATE, file.as_raw_fd());
    // SAFETY: the new mapping is not accessed.
    let result = unsafe {
        let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, private, fd, 0);
        assert_ne!(page, libc::MAP_FAILED);
        libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC)
    };
    assert_eq!(result, 0);
}

/// The 32-bit mmap has its arguments in memory, which the mapping replaces. `None`: there are no 32-bit system calls.
fn map_over_own_arguments(library: &Path) -> Option<()> {
    const OLD_MMAP: u32 = 90;
    const AT: usize = 4032;
    let file = sys::open(library, 0).unwrap();
    let page = sys::low_memory(&[0]);
    let prot = (libc::PROT_READ | libc::PROT_EXEC) as u32;
    let flags = (libc::MAP_PRIVATE | libc::MAP_FIXED) as u32;
    let arguments = [page, 4096, prot, flags, file.as_raw_fd() as u32, 0];
    // SAFETY: the page is ours, and the arguments fit into its end.
    unsafe { (page as usize as *mut u8).add(AT).cast::<[u32; 6]>().write(arguments) };
    let result = sys::call_32(OLD_MMAP, [page + AT as u32, 0, 0]);
    if result == -i64::from(libc::ENOSYS) {
        return None;
    }
    assert_eq!(result as u32, page);
    Some(())
}

/// Maps the library often, while another thread closes each descriptor. Returns how often that succeeded.
fn map_while_closing(library: &Path) -> usize {
    const MAPPINGS: i32 = 300;
    let next = Arc::new(AtomicI32::new(-1));
    let closing = Arc::clone(&next);
    let closer = std::thread::spawn(move || {
        let mut closed = 0;
        while closed < MAPPINGS {
            let fd = closing.swap(-1, SeqCst);
            if fd < 0 {
                std::thread::yield_now();
                continue;
            }
            // SAFETY: the other thread has given this descriptor away.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            closed += 1;
        }
    });
    let mut mapped = 0;
    for _ in 0..MAPPINGS {
        let fd = sys::open(library, 0).unwrap().into_raw_fd();
        while next.compare_exchange(-1, fd, SeqCst, SeqCst).is_err() {
            std::thread::yield_now();
        }
        let prot = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: the new mapping is not accessed. The descriptor may be closed: then the call fails.
        let page =
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, libc::MAP_PRIVATE, fd, 0) };
        mapped += usize::from(page != libc::MAP_FAILED);
    }
    closer.join().unwrap();
    mapped
}

fn a_program_loads_its_needed_libraries() {
    let interest = world::interest();
    let kinds = EventKinds { load: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let Ok(mut child) = std::process::Command::new("openssl").arg("version").spawn() else {
        not_tried("openssl is not installed here");
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

/// Returns the path of the system's libcrypto.
fn libcrypto() -> Option<std::path::PathBuf> {
    let directories =
        ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64"];
    directories
        .into_iter()
        .map(|directory| Path::new(directory).join("libcrypto.so.3"))
        .find(|path| path.exists())
}

fn a_preloaded_library() {
    let interest = world::interest();
    let kinds = EventKinds { load: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let Some(library) = libcrypto() else {
        routes::skip("LD_PRELOAD", "libcrypto.so.3 is not installed here");
    };
    let mut command = std::process::Command::new("/bin/true");
    let mut child = command.env("LD_PRELOAD", &library).spawn().unwrap();
    child.wait().unwrap();
    let got = world.records(1, |record| record.header.tgid == child.id());
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(got[0].header.inode, fs::metadata(&library).unwrap().ino());
    routes::ok("LD_PRELOAD");
}

/// The kernel side reports each executable mapping, and enrichment reports a library once per program image.
fn a_library_is_reported_once_per_program_image() {
    const ROUTES: [&str; 2] = ["dlopen", "library again after exec, not in a forked child"];
    let interest = world::interest();
    let kinds = EventKinds { load: true, exec: true, fork: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let Some(library) = libcrypto() else {
        const WHY: &str = "libcrypto.so.3 is not installed here";
        ROUTES.iter().for_each(|route| routes::not_tried(route, WHY));
        not_tried(WHY);
    };
    let mut child = self_command("loads::role", library.to_str().unwrap()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let wanted = fs::metadata(&library).unwrap().ino();
    world.records(4, |record| record.header.tgid == child.id());
    let mut enrich = crypto_tracer_pipeline::enrich::Enrich::default();
    let mut reported = Vec::new();
    for record in world.records(0, |_| true) {
        let event =
            crypto_tracer_capture::decode::decode(crypto_tracer_event::RawRecord(&record.raw));
        let Some(event) = enrich.enrich(event.unwrap()) else { continue };
        if let crypto_tracer_event::EnrichedWhat::LibLoad { file, .. } = &event.what
            && file.inode == wanted
        {
            reported.push((event.process.key.tgid, event.process.exec_id));
        }
    }
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert_eq!(reported[0].0, child.id());
    assert_eq!(reported[1].0, child.id());
    assert_ne!(reported[0].1, reported[1].1, "another program image");
    ROUTES.iter().for_each(|route| routes::ok(route));
}

/// Not a test: loads a library twice, forks a child, and executes itself to load the library again.
fn role() {
    let Ok(library) = std::env::var(ROLE) else { return };
    let (library, is_second_image) = match library.strip_prefix("again:") {
        Some(library) => (library.to_owned(), true),
        None => (library, false),
    };
    let name = sys::path(&library);
    // SAFETY: the path is NUL-terminated, and the initializers of libcrypto are safe to run in any program.
    let load = || assert!(!unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) }.is_null());
    load();
    load();
    if is_second_image {
        return;
    }
    // SAFETY: the child only exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    let error = std::os::unix::process::CommandExt::exec(&mut self_command(
        "loads::role",
        &format!("again:{library}"),
    ));
    panic!("{error}");
}
