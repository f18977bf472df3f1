//! Open events for all ways to open a file.

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crypto_tracer_capture::{BlindSpot, CaptureOptions, route};
use crypto_tracer_common::record::{SMALL, flag, kind};
use crypto_tracer_event::EventKinds;
use crypto_tracer_system::cgroup::Hierarchy;

use super::uring::{self, Mode};
use super::{routes, sys, world};

crypto_tracer_tests::tests![
    every_system_call_and_flag,
    system_calls_with_32_bits,
    io_uring,
    refused_after_the_permission_checks,
    closed_before_the_open_returns,
    names_are_arbitrary_bytes,
    opens_without_content_access_are_not_reported,
    flags_changed_after_the_call_hide_no_open,
    a_file_mounted_under_another_name,
    mounts,
    an_overlay_open_is_reported_once,
    unlinked_files_and_memfds,
    long_paths,
    an_overlong_path_keeps_its_end,
    roots,
    pivoted_root,
    the_header_identifies_process_and_file,
];

/// An expected record.
struct Expected {
    case: &'static str,
    path: Vec<u8>,
    flags: u16,
    open_flags: i32,
    stat: fs::Metadata,
    mount_ns: u32,
    /// Whether the requesting thread itself opens the file.
    own_thread: bool,
}

const OVERLAY_ROUTES: [&str; 2] =
    ["overlayfs: lower, copied up, created", "overlayfs's inner opens: not reported"];

/// OVERLAYFS_SUPER_MAGIC
const OVERLAY: u64 = 0x794c_7630;

/// Opens files in one thread and collects the expected records.
#[derive(Default)]
struct Opener {
    expected: Vec<Expected>,
    /// Blind spots of the probe.
    blind_spots: Vec<BlindSpot>,
    /// Routes to report as ok if all records are as expected.
    taken: Vec<&'static str>,
}

impl Opener {
    /// Adds a route. Returns false, and reports the route as impossible, if the probe cannot capture it.
    fn takes(&mut self, route: &'static str) -> bool {
        if let Some(blind_spot) = self.blind_spots.iter().find(|spot| spot.route == route) {
            routes::impossible(blind_spot);
            return false;
        }
        self.taken.push(route);
        true
    }

    /// Expects a record of this file with the kernel's name of it.
    fn opened(&mut self, case: &'static str, open_flags: i32, file: OwnedFd) {
        let path = sys::link_of(&file);
        self.opened_as(case, open_flags, file, &path, 0);
    }

    fn opened_as(
        &mut self,
        case: &'static str,
        open_flags: i32,
        file: OwnedFd,
        path: &[u8],
        flags: u16,
    ) {
        let stat = fs::File::from(file).metadata().unwrap();
        let mount_ns = fs::metadata("/proc/thread-self/ns/mnt").unwrap().ino() as u32;
        let (path, own_thread) = (path.to_vec(), true);
        self.expected.push(Expected { case, path, flags, open_flags, stat, mount_ns, own_thread });
    }
}

/// Creates a file without an open under a name in the interest.
fn create(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref().to_path_buf();
    let temporary = path.with_file_name("temporary");
    fs::write(&temporary, "content").unwrap();
    fs::rename(&temporary, &path).unwrap();
    path
}

/// Runs `cases` in a thread with its own mount namespace, and compares the records with the expected ones.
fn open_all(cases: impl FnOnce(&mut Opener) + Send + 'static) {
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let blind_spots = world.source.attached()[0].cannot_see.clone();
    let thread = std::thread::spawn(move || {
        let mut opener = Opener { blind_spots, ..Opener::default() };
        sys::own_mounts();
        cases(&mut opener);
        (sys::tid(), opener)
    });
    let (tid, Opener { expected, taken, .. }) = thread.join().unwrap();
    let me = std::process::id();
    let open_rung = world.source.attached()[0].rung;
    let got = world.records(expected.len(), |record| record.header.tgid == me);
    for (expected, got) in expected.iter().zip(&got) {
        let case = expected.case;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let header = got.header;
        let actual = (text(&got.path), header.flags & !(flag::FOREIGN_USER_NS | flag::CREATED));
        assert_eq!(actual, (text(&expected.path), expected.flags), "{case}");
        let created = header.flags & flag::CREATED != 0;
        assert_eq!(created, matches!(case, "creat" | "created"), "{case}: created");
        assert_eq!(got.path, expected.path, "{case}");
        assert_eq!(header.kind, kind::FILE_OPEN, "{case}");
        if expected.own_thread {
            assert_eq!(header.tid, tid, "{case}: thread");
        }
        let mask = libc::O_ACCMODE | libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_APPEND;
        assert_eq!(header.detail as i32 & mask, expected.open_flags & mask, "{case}: open flags");
        assert_eq!(header.inode, expected.stat.ino(), "{case}: inode");
        assert_eq!(header.mount_ns, expected.mount_ns, "{case}: mount namespace");
        // The LSM hook runs before the truncation.
        if open_rung == "lsm" && expected.open_flags & libc::O_TRUNC != 0 {
            continue;
        }
        assert_eq!(header.size, expected.stat.size(), "{case}: size");
        let ctime = (expected.stat.ctime(), expected.stat.ctime_nsec());
        // The ctime of an overlay inode is stale after a copy-up.
        if u64::from(header.sb_magic) != OVERLAY {
            assert_eq!((header.ctime_sec, i64::from(header.ctime_nsec)), ctime, "{case}: ctime");
        }
    }
    let surplus: Vec<_> = got.iter().skip(expected.len()).map(|record| record.text()).collect();
    assert_eq!(got.len(), expected.len(), "surplus records: {surplus:?}");
    assert_eq!(world.source.losses().causes().iter().map(|cause| cause.1).sum::<u64>(), 0);
    taken.into_iter().for_each(routes::ok);
}

fn every_system_call_and_flag() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        std::env::set_current_dir(&dir).unwrap();
        opener.taken.extend(["open", "openat", "openat2", "creat", "symlink", "dirfd and .."]);
        opener.taken.extend(["descriptor over 256", "flags as the caller gave them"]);
        let file = create("rel.pem");
        opener.opened("relative", 0, sys::open("rel.pem", 0).unwrap());
        fs::create_dir_all("d1/d2").unwrap();
        create("d1/d2/x.pem");
        let d1 = sys::open("d1", libc::O_DIRECTORY).unwrap();
        let name = c"d2/../d2/x.pem";
        let opened = sys::openat(d1.as_raw_fd(), name, libc::O_RDWR).unwrap();
        opener.opened("directory descriptor and ..", libc::O_RDWR, opened);
        symlink(dir.join("d1/d2/x.pem"), "link.crt").unwrap();
        opener.opened("symlink", 0, sys::open("link.crt", 0).unwrap());
        let at = sys::path(&file);
        let flags = libc::O_WRONLY | libc::O_APPEND;
        let args = [at.as_ptr() as usize, flags as usize, 0, 0, 0];
        opener.opened("open", flags, sys::open_call(libc::SYS_open, args).unwrap());
        let args = [c"new.pem".as_ptr() as usize, 0o600, 0, 0, 0];
        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        opener.opened("creat", flags, sys::open_call(libc::SYS_creat, args).unwrap());
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        opener.opened("created", flags, sys::open("created.key", flags).unwrap());
        let how = [(libc::O_RDWR | libc::O_TRUNC) as u64, 0, 8];
        let name = c"d2/x.pem".as_ptr() as usize;
        let args = [d1.as_raw_fd() as usize, name, how.as_ptr() as usize, 24, 0];
        opener.opened("openat2", how[0] as i32, sys::open_call(libc::SYS_openat2, args).unwrap());
        if let Some(opened) = by_handle(&dir, &file) {
            opener.opened("open_by_handle_at", 0, opened);
            opener.takes("open_by_handle_at");
        }
        let many: Vec<_> = (0..300).map(|_| sys::open("/dev/null", 0).unwrap()).collect();
        opener.opened("descriptor over 256", 0, sys::open("rel.pem", 0).unwrap());
        drop(many);
    });
}

fn system_calls_with_32_bits() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        const CASES: &str = "32-bit open, openat, creat";
        std::env::set_current_dir(&dir).unwrap();
        create("rel.pem");
        let mut name = b"rel.pem".to_vec();
        name.push(0);
        let low = sys::low_memory(&name);
        let creat_flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        for (case, number, args, flags) in [
            ("32-bit open", 5, [low, libc::O_RDWR as u32, 0], libc::O_RDWR),
            ("32-bit openat", 295, [libc::AT_FDCWD as u32, low, libc::O_RDWR as u32], libc::O_RDWR),
            ("32-bit creat", 8, [low, 0o600, 0], creat_flags),
        ] {
            let fd = sys::call_32(number, args);
            if fd == -i64::from(libc::ENOSYS) {
                routes::not_tried(CASES, "this kernel has no 32-bit system calls");
                return;
            }
            let opened = sys::open_call(libc::SYS_dup, [fd as usize, 0, 0, 0, 0]).unwrap();
            opener.opened(case, flags, opened);
            sys::call(libc::SYS_close, [fd as usize, 0, 0, 0, 0]).unwrap();
        }
        opener.takes(CASES);
    });
}

fn io_uring() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        let file = create(dir.join("ring.pem"));
        for (case, mode) in [
            ("io_uring, inline", Mode::Inline),
            ("io_uring, async", Mode::Async),
            ("io_uring, SQPOLL", Mode::Polled),
        ] {
            let flags = libc::O_RDWR | libc::O_APPEND;
            let Some(opened) = uring::open(&file, flags as u32, mode) else {
                routes::not_tried(case, "this kernel has no io_uring");
                continue;
            };
            opener.opened(case, flags, opened);
            opener.takes(case);
            // Otherwise a kernel worker thread of the process opens the file.
            opener.expected.last_mut().unwrap().own_thread = mode == Mode::Inline;
        }
        let flags = libc::O_RDONLY;
        match uring::open_silent(&file, flags as u32) {
            None => routes::not_tried(route::URING_SILENT, "this kernel has no io_uring"),
            Some(opened) => {
                if opener.takes(route::URING_SILENT) {
                    opener.opened("silent", flags, opened);
                }
            }
        }
        let Some(_ring) = uring::open_direct(&file, libc::O_RDWR as u32) else {
            routes::not_tried(route::URING_DIRECT, "this kernel has no io_uring");
            return;
        };
        if opener.takes(route::URING_DIRECT) {
            // A direct descriptor has no link in /proc, so another open provides the path.
            let again = sys::open(&file, libc::O_RDWR).unwrap();
            let path = sys::link_of(&again);
            opener.opened_as("direct", libc::O_RDWR, again.try_clone().unwrap(), &path, 0);
            opener.opened_as("other open of the same file", libc::O_RDWR, again, &path, 0);
        }
    });
}

/// A driver may refuse an open after the permission checks, here that of a pipe without a reader.
fn refused_after_the_permission_checks() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        let pipe = dir.join("pipe.pem");
        let name = sys::path(&pipe);
        // SAFETY: the string is NUL-terminated.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let flags = libc::O_WRONLY | libc::O_NONBLOCK;
        let error = sys::open(&pipe, flags).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
        if !opener.takes(route::REFUSED_LATE) {
            // This probe reports the open before the refusal. The O_PATH open here is not reported.
            let file = sys::open(&pipe, libc::O_PATH).unwrap();
            opener.opened("refused", flags, file);
        }
    });
}

/// Another thread closes the descriptor as soon as it exists.
fn closed_before_the_open_returns() {
    const OPENS: u64 = 3000;
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let options =
        CaptureOptions { pid: Some(std::process::id()), ..world::options(&interest, kinds) };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let file = create(dir.join("x.pem"));
    // The descriptor that every open returns: the lowest free one, far above those in other use.
    let low = sys::open("/dev/null", 0).unwrap();
    let args = [low.as_raw_fd() as usize, libc::F_DUPFD as usize, 500, 0, 0];
    let number = sys::call(libc::SYS_fcntl, args).unwrap();
    let close = move || sys::call(libc::SYS_close, [number, 0, 0, 0, 0]);
    let fill: Vec<_> = (0..number)
        .map_while(|_| low.try_clone().ok().filter(|fd| fd.as_raw_fd() < number as i32))
        .collect();
    close().unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let closer = std::thread::spawn({
        let stop = stop.clone();
        move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = close();
            }
        }
    });
    let name = sys::path(&file);
    let mut others = 0;
    for _ in 0..OPENS {
        let args = [libc::AT_FDCWD as isize as usize, name.as_ptr() as usize, 0, 0, 0];
        let fd = sys::call(libc::SYS_openat, args).unwrap();
        others += u64::from(fd != number);
        let _ = sys::call(libc::SYS_close, [fd, 0, 0, 0, 0]);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    closer.join().unwrap();
    drop(fill);
    let reported =
        world.records(OPENS as usize, |record| record.path.ends_with(b"/x.pem")).len() as u64;
    let gone = world.source.losses().file_gone;
    assert_eq!(reported + gone, OPENS, "{gone} gone, {others} with another descriptor");
    match world.blind_spot(route::CLOSED_MEANWHILE) {
        Some(blind_spot) => routes::impossible(&blind_spot),
        None => {
            assert_eq!(gone, 0);
            routes::ok(route::CLOSED_MEANWHILE);
        }
    }
}

fn by_handle(dir: &Path, file: &Path) -> Option<OwnedFd> {
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0_u32;
    let at = sys::path(file);
    let args = [
        libc::AT_FDCWD as isize as usize,
        at.as_ptr() as usize,
        handle.as_mut_ptr() as usize,
        (&raw mut mount) as usize,
        0,
    ];
    if let Err(error) = sys::call(libc::SYS_name_to_handle_at, args) {
        routes::not_tried("open_by_handle_at", format_args!("no handles here ({error})"));
        return None;
    }
    let dir = sys::open(dir, libc::O_DIRECTORY).unwrap();
    let args = [dir.as_raw_fd() as usize, handle.as_ptr() as usize, 0, 0, 0];
    Some(sys::open_call(libc::SYS_open_by_handle_at, args).unwrap())
}

fn names_are_arbitrary_bytes() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        std::env::set_current_dir(&dir).unwrap();
        opener.taken.extend(["name of 255 bytes", "newlines, quotes, escapes, not UTF-8"]);
        let long = [b"a".repeat(251), b".pem".to_vec()].concat();
        let middle = [b"b".repeat(124), b".pem".to_vec()].concat();
        let names: [(&str, &[u8]); 17] = [
            ("newline and space", b"sp ace\n.pem"),
            ("UTF-8", "\u{fc}n\u{ef}.pem".as_bytes()),
            ("not UTF-8", b"\xff\xfe\x80.pem"),
            ("only the suffix", b".pem"),
            ("upper case", b"SERVER.PeM"),
            ("long suffix", b"x.truststore.bin"),
            ("long suffix only", b".TRUSTSTORE.bin"),
            ("quotes and escapes", b"\"'\\\x1b[31m\x01.key"),
            ("255 bytes", &long),
            ("128 bytes", &middle),
            ("whole name", b"id_rsa"),
            ("whole name of 31 bytes", b"an-exact-name-of-31-bytes-12345"),
            ("prefix only", b"key_"),
            ("prefix", b"key_of_a_user"),
            ("prefix, not UTF-8", b"key_\xff"),
            ("prefix of 15 bytes only", b"fifteen-bytes-x"),
            ("prefix of 15 bytes, long name", b"fifteen-bytes-x-and-more-than-thirty-two-bytes"),
        ];
        for (case, name) in names {
            let name = std::ffi::OsString::from_vec(name.to_vec());
            create(&name);
            opener.opened(case, 0, sys::open(&name, 0).unwrap());
        }
        create("k");
        opener.opened("whole name of one byte", 0, sys::open("k", 0).unwrap());
        let others = [
            "ID_RSA",
            "id_rsa.pub",
            "id_rs",
            "x.pem~",
            "pem",
            ".pe",
            "kk",
            "j",
            "x.truststore.bi",
            "key",
            "key-of",
            "KEY_of",
            "xkey_",
            "fifteen-bytes-",
            "fifteen-bytes-y",
            "fifteen-bytes-X-and-more-than-thirty-two-bytes",
        ];
        for other in others {
            create(other);
            drop(sys::open(other, 0).unwrap());
        }
    });
}

fn opens_without_content_access_are_not_reported() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        std::env::set_current_dir(&dir).unwrap();
        opener
            .taken
            .extend(["failed open: not reported", "directory, O_PATH, O_TMPFILE: not reported"]);
        create("x.pem");
        fs::create_dir("dir.pem").unwrap();
        drop(sys::open("x.pem", libc::O_PATH).unwrap());
        drop(sys::open("dir.pem", 0).unwrap());
        drop(sys::open("dir.pem", libc::O_DIRECTORY).unwrap());
        assert!(sys::open("missing.pem", 0).is_err());
        assert!(sys::open("x.pem", libc::O_CREAT | libc::O_EXCL).is_err());
        assert!(sys::open("x.pem/y.pem", 0).is_err());
        drop(sys::open(".", libc::O_TMPFILE | libc::O_RDWR).unwrap());
        fs::rename("x.pem", "y.pem").unwrap();
        fs::metadata("y.pem").unwrap();
        opener.opened("reported", 0, sys::open("y.pem", 0).unwrap());
    });
}

/// Another thread changes the flags of openat2 while the kernel follows the path.
fn flags_changed_after_the_call_hide_no_open() {
    const OPENS: u64 = 300;
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let (_keep, dir) = world::directory();
    let file = create(dir.join("flip.pem"));
    for hiding in [libc::O_PATH, libc::O_TMPFILE, libc::O_TRUNC] {
        world.forget();
        // A long path, so that the other thread has time.
        let mut path = Vec::new();
        while path.len() + file.as_os_str().len() < 4090 {
            path.extend(b"/.");
        }
        path.extend(file.as_os_str().as_bytes());
        path.push(0);
        let how = Arc::new([AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)]);
        let (turn, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (of_thread, turns, ends) = (Arc::clone(&how), Arc::clone(&turn), Arc::clone(&done));
        let flipper = std::thread::spawn(move || {
            for number in 1..=OPENS {
                while turns.load(SeqCst) != number {
                    std::thread::yield_now();
                }
                (0..1000).for_each(|step| _ = std::hint::black_box(step));
                of_thread[0].fetch_or(hiding as u64, SeqCst);
                ends.store(number, SeqCst);
            }
        });
        let mut opened = 0;
        for number in 1..=OPENS {
            how[0].store(0, SeqCst);
            turn.store(number, SeqCst);
            let cwd = libc::AT_FDCWD as isize as usize;
            let args = [cwd, path.as_ptr() as usize, how.as_ptr() as usize, 24, 0];
            if let Ok(file) = sys::open_call(libc::SYS_openat2, args) {
                let mut head = [0; 4];
                opened += usize::from(fs::File::from(file).read(&mut head).is_ok_and(|n| n == 4));
            }
            while done.load(SeqCst) != number {
                std::thread::yield_now();
            }
        }
        flipper.join().unwrap();
        let me = std::process::id();
        let got = world.records(opened, |record| record.header.tgid == me);
        // A file that is truncated in time has no content from then on.
        assert!(opened > 0 || hiding == libc::O_TRUNC, "no open succeeded with its content");
        assert!(got.len() >= opened, "{} of {opened} opens reported", got.len());
        let truncated = got.iter().filter(|record| {
            record.header.detail as i32 & libc::O_TRUNC != 0 && record.header.size != 0
        });
        // The LSM hook runs before the truncation.
        let is_early = world.source.attached()[0].rung == "lsm";
        let count = truncated.count();
        assert!(count == 0 || is_early, "the host does not read a truncated file");
    }
    routes::ok("flags of openat2 changed by another thread");
}

/// Anybody can do this in namespaces of their own.
fn a_file_mounted_under_another_name() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        opener.takes("bind-mounted file under another name");
        std::env::set_current_dir(&dir).unwrap();
        let file = create(dir.join("own.pem"));
        create(dir.join("other.txt"));
        sys::bind(&file, &dir.join("other.txt"));
        let is_of_root = fs::metadata("/").unwrap().dev() == fs::metadata(&file).unwrap().dev();
        let opened = sys::open("other.txt", 0).unwrap();
        if is_of_root {
            opener.opened_as("own name", 0, opened, file.as_os_str().as_bytes(), 0);
        } else {
            // The path begins at the root of the file system.
            let mount = dir.ancestors().skip(1).find(|dir| {
                let parent = dir.parent().unwrap_or(Path::new("/"));
                fs::metadata(dir).unwrap().dev() != fs::metadata(parent).unwrap().dev()
            });
            let path = file.strip_prefix(mount.unwrap()).unwrap();
            let path = [b"/", path.as_os_str().as_bytes()].concat();
            opener.opened_as("own name", 0, opened, &path, flag::PATH_UNREACHABLE);
        }
        sys::tmpfs(&dir.join("elsewhere"));
        let file = create(dir.join("elsewhere/far.pem"));
        sys::bind(&file, &dir.join("other.txt"));
        let opened = sys::open("other.txt", 0).unwrap();
        let flags = flag::PATH_UNREACHABLE;
        opener.opened_as("in another file system", 0, opened, b"/far.pem", flags);
    });
}

fn mounts() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        sys::tmpfs(&dir);
        std::env::set_current_dir(&dir).unwrap();
        opener.taken.extend(["bind-mounted directory", "bind-mounted file", "detached mount"]);
        let at = |name: &str| dir.join(name);
        fs::create_dir_all("d1").unwrap();
        create("d1/hard.pem");
        sys::tmpfs(&at("one"));
        sys::tmpfs(&at("one/sub/two"));
        create("one/sub/two/m.pem");
        opener.opened("two mounts", 0, sys::open("one/sub/two/m.pem", 0).unwrap());
        fs::create_dir("bind").unwrap();
        sys::bind(&at("d1"), &at("bind"));
        opener.opened("bind-mounted directory", 0, sys::open("bind/hard.pem", 0).unwrap());
        create("plain.dat");
        create("single.key");
        sys::bind(&at("plain.dat"), &at("single.key"));
        opener.opened("bind-mounted file", 0, sys::open("single.key", 0).unwrap());
        create("stacked.key");
        sys::bind(&at("d1/hard.pem"), &at("stacked.key"));
        sys::bind(&at("plain.dat"), &at("stacked.key"));
        opener.opened("bind mount on a bind mount", 0, sys::open("stacked.key", 0).unwrap());
        create("plain.txt");
        sys::bind(&at("d1/hard.pem"), &at("plain.txt"));
        let opened = sys::open("plain.txt", 0).unwrap();
        let flags = flag::PATH_UNREACHABLE;
        opener.opened_as("bind mount under another name", 0, opened, b"/d1/hard.pem", flags);
        let two = sys::open("one/sub/two", libc::O_DIRECTORY).unwrap();
        sys::detach(&at("one/sub/two"));
        let opened = sys::openat(two.as_raw_fd(), c"m.pem", 0).unwrap();
        opener.opened_as("detached mount", 0, opened, b"/m.pem", flag::PATH_UNREACHABLE);
    });
}

fn an_overlay_open_is_reported_once() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        sys::tmpfs(&dir);
        for name in ["lower/etc", "upper", "work", "merged"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        create(dir.join("lower/etc/ov.pem"));
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| dir.join(name));
        let data = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        if let Err(error) = sys::mount("overlay", &dir.join("merged"), "overlay", 0, &data) {
            for route in OVERLAY_ROUTES {
                routes::not_tried(route, format_args!("this kernel has no overlayfs ({error})"));
            }
            return;
        }
        opener.taken.extend(OVERLAY_ROUTES);
        let at = dir.join("merged/etc/ov.pem");
        opener.opened("lower", 0, sys::open(&at, 0).unwrap());
        opener.opened("copied up", libc::O_RDWR, sys::open(&at, libc::O_RDWR).unwrap());
        let created = dir.join("merged/etc/created.pem");
        let flags = libc::O_CREAT | libc::O_RDWR;
        opener.opened("created", flags, sys::open(&created, flags).unwrap());
    });
}

fn unlinked_files_and_memfds() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        std::env::set_current_dir(&dir).unwrap();
        opener.taken.extend(["/proc/self/fd/N", "deleted file"]);
        let at = create(dir.join("x.pem"));
        let first = sys::open("x.pem", 0).unwrap();
        opener.opened("first", 0, first.try_clone().unwrap());
        let again = format!("/proc/thread-self/fd/{}", first.as_raw_fd());
        fs::hard_link("x.pem", "hard.pem").unwrap();
        opener.opened("hard link", 0, sys::open("hard.pem", 0).unwrap());
        fs::remove_file("hard.pem").unwrap();
        opener.opened("by its descriptor", 0, sys::open(&again, 0).unwrap());
        fs::remove_file("x.pem").unwrap();
        let deleted = sys::open(&again, 0).unwrap();
        let name = at.as_os_str().as_bytes();
        opener.opened_as("deleted", 0, deleted, name, flag::PATH_DELETED);
        let memory = c"secret.pem".as_ptr() as usize;
        let memory = sys::open_call(libc::SYS_memfd_create, [memory, 0, 0, 0, 0]).unwrap();
        let again = format!("/proc/thread-self/fd/{}", memory.as_raw_fd());
        let opened = sys::open(&again, libc::O_RDWR).unwrap();
        // A memfd has no directory entry, and the kernel's name of it has no root.
        let flags = flag::PATH_PSEUDO;
        opener.opened_as("memfd", libc::O_RDWR, opened, b"/memfd:secret.pem", flags);
    });
}

fn long_paths() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        sys::tmpfs(&dir);
        opener.takes("path of 4095 bytes");
        // Lengths around the limits of the record sizes, with long and short components.
        std::env::set_current_dir(&dir).unwrap();
        for part in [1, 14, 15, 16, 30, 31, 32, 62, 63, 64, 127, 128, 200] {
            let mut deep = PathBuf::from(&dir);
            while deep.as_os_str().len() < 1100 {
                deep.push("d".repeat(part));
                fs::create_dir_all(&deep).unwrap();
                if part >= 14 || deep.as_os_str().len() % 16 == 0 {
                    let file = create(deep.join("f.pem"));
                    opener.opened("at a limit", 0, sys::open(&file, 0).unwrap());
                }
            }
        }
        // The maximum length for a system call.
        let mut deep = PathBuf::from(&dir);
        while deep.as_os_str().len() + 201 + 10 < 4095 {
            deep.push("L".repeat(200));
            fs::create_dir_all(&deep).unwrap();
        }
        let rest = 4095 - deep.as_os_str().len() - 1 - 4;
        let file = deep.join(format!("{}.pem", "k".repeat(rest)));
        std::env::set_current_dir(&deep).unwrap();
        create(format!("{}.pem", "k".repeat(rest)));
        assert_eq!(file.as_os_str().len(), 4095);
        let name = file.as_os_str().as_bytes().to_vec();
        opener.opened_as("4095 bytes", 0, sys::open(&file, 0).unwrap(), &name, 0);
    });
}

fn an_overlong_path_keeps_its_end() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        sys::tmpfs(&dir);
        std::env::set_current_dir(&dir).unwrap();
        opener.taken.extend(["path of 2000 components", "path of over 4096 bytes: its end"]);
        let mut path = dir.as_os_str().as_bytes().to_vec();
        for _ in 0..2030 {
            if path.len() + 2 + 6 > 4095 {
                break;
            }
            fs::create_dir("a").unwrap();
            std::env::set_current_dir("a").unwrap();
            path.extend(b"/a");
        }
        create("z.pem");
        let whole = [&path[..], b"/z.pem"].concat();
        opener.opened_as("2000 components", 0, sys::open("z.pem", 0).unwrap(), &whole, 0);
        for _ in 0..3000 {
            fs::create_dir("b").unwrap();
            std::env::set_current_dir("b").unwrap();
        }
        create("deep.pem");
        // In the kernel side's form: 9 bytes with NUL for the leaf, 2 for each directory.
        let whole = [b"/b".repeat((4096 - 9) / 2), b"/deep.pem".to_vec()].concat();
        let opened = sys::open("deep.pem", 0).unwrap();
        opener.opened_as("beyond", 0, opened, &whole, flag::PATH_TRUNCATED);
        std::env::set_current_dir("/").unwrap();
    });
}

fn roots() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        sys::tmpfs(&dir);
        fs::create_dir_all(dir.join("root/etc")).unwrap();
        fs::create_dir_all(dir.join("outside")).unwrap();
        create(dir.join("root/etc/c.pem"));
        create(dir.join("outside/o.pem"));
        let outside = sys::open(dir.join("outside"), libc::O_DIRECTORY).unwrap();
        let me = sys::open("/proc/thread-self/ns/mnt", 0).unwrap();
        let mount_ns = fs::File::from(me).metadata().unwrap().ino() as u32;
        let root = sys::path(dir.join("root"));
        sys::call(libc::SYS_chroot, [root.as_ptr() as usize, 0, 0, 0, 0]).unwrap();
        std::env::set_current_dir("/").unwrap();
        opener.takes("chroot");
        let mut expect = |case, file: OwnedFd, path: &[u8], flags| {
            let stat = fs::File::from(file).metadata().unwrap();
            let path = path.to_vec();
            let (open_flags, own_thread) = (0, true);
            opener.expected.push(Expected {
                case,
                path,
                flags,
                open_flags,
                stat,
                mount_ns,
                own_thread,
            });
        };
        expect("chroot", sys::open("/etc/c.pem", 0).unwrap(), b"/etc/c.pem", 0);
        let opened = sys::openat(outside.as_raw_fd(), c"o.pem", 0).unwrap();
        let path = [dir.as_os_str().as_bytes(), b"/outside/o.pem"].concat();
        expect("outside the root", opened, &path, flag::PATH_UNREACHABLE);
    });
}

fn pivoted_root() {
    let (_keep, dir) = world::directory();
    open_all(move |opener| {
        sys::tmpfs(&dir);
        fs::create_dir_all(dir.join("srv")).unwrap();
        fs::create_dir_all(dir.join("old")).unwrap();
        create(dir.join("srv/ns.pem"));
        let mount_ns = fs::metadata("/proc/thread-self/ns/mnt").unwrap().ino() as u32;
        std::env::set_current_dir(&dir).unwrap();
        let args = [c".".as_ptr() as usize, c"old".as_ptr() as usize, 0, 0, 0];
        if let Err(error) = sys::call(libc::SYS_pivot_root, args) {
            let why = format_args!("the initial root cannot be replaced ({error})");
            routes::not_tried("pivot_root", why);
            return;
        }
        opener.takes("pivot_root");
        std::env::set_current_dir("/").unwrap();
        sys::detach(Path::new("/old"));
        let stat = fs::File::from(sys::open("/srv/ns.pem", 0).unwrap()).metadata().unwrap();
        opener.expected.push(Expected {
            case: "pivot_root",
            path: b"/srv/ns.pem".to_vec(),
            flags: 0,
            open_flags: 0,
            stat,
            mount_ns,
            own_thread: true,
        });
    });
}

fn the_header_identifies_process_and_file() {
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let (_keep, dir) = world::directory();
    let file = create(dir.join("who.pem"));
    let before = sys::boot_ns();
    drop(sys::open(&file, 0).unwrap());
    let after = sys::boot_ns();
    let me = std::process::id();
    let got = world.records(1, |record| record.header.tgid == me);
    assert_eq!(got.len(), 1);
    let (record, header) = (&got[0], got[0].header);
    assert!((before..=after).contains(&header.ts_ns));
    assert_eq!(header.tid, sys::tid());
    assert_eq!(header.ppid, std::os::unix::process::parent_id());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
    assert_eq!(header.uid.to_string(), uid.split('\t').next().unwrap());
    let comm = fs::read("/proc/self/comm").unwrap();
    assert_eq!(record.comm(), comm.strip_suffix(b"\n").unwrap());
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!((header.start_ns / 10_000_000).to_string(), fields[19], "start time in ticks");
    let root = fs::metadata("/").unwrap();
    assert_eq!(header.root_inode, root.ino());
    let dev = u64::from(header.root_dev);
    let major_minor = libc::makedev((dev >> 20) as u32, (dev & 0xf_ffff) as u32);
    assert_eq!(major_minor, root.dev());
    let found = fs::metadata(&file).unwrap();
    let dev = u64::from(header.dev);
    let major_minor = libc::makedev((dev >> 20) as u32, (dev & 0xf_ffff) as u32);
    assert_eq!(major_minor, found.dev());
    assert_eq!(u64::from(header.sb_magic), magic(&file));
    assert_eq!(record.raw.len(), SMALL);
    assert_eq!(header.flags, 0);
    // A cgroup's ID is the inode number of its directory.
    let hierarchy = Hierarchy::of_this_system();
    let cgroup = hierarchy.path(&fs::read_to_string("/proc/self/cgroup").unwrap());
    let directory = hierarchy.mount().zip(cgroup);
    let directory = directory.and_then(|(mount, path)| fs::metadata(mount.join(&path[1..])).ok());
    match directory {
        Some(directory) => assert_eq!(header.cgroup_id, directory.ino(), "{hierarchy:?}"),
        None => println!("not tried: no cgroup hierarchy is mounted here"),
    }
}

fn magic(path: &Path) -> u64 {
    // SAFETY: all zeros is a valid statfs.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    let path = sys::path(path);
    // SAFETY: the string is NUL-terminated, and the kernel writes one statfs.
    assert_eq!(unsafe { libc::statfs(path.as_ptr(), &mut found) }, 0);
    found.f_type as u64
}
