//! Every way to open a file.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crypto_tracer_capture::{BlindSpot, CaptureOptions, EventKinds, route};
use crypto_tracer_common::record::{SMALL, flag, kind};
use crypto_tracer_system::cgroup::Hierarchy;

use super::uring::{self, How};
use super::{routes, sys, world};

crypto_tracer_tests::tests![
    every_system_call_and_flag,
    system_calls_of_32_bits,
    io_uring,
    refused_behind_the_permission_checks,
    closed_before_the_open_returns,
    names_are_bytes_and_have_their_visible_form,
    what_gives_no_access_to_content_is_not_told,
    mounts,
    overlays_are_told_once,
    files_without_a_name,
    long_paths,
    more_than_a_path_can_be_keeps_the_end,
    roots,
    pivoted_root,
    the_header_says_who_and_where,
];

/// What must be told.
struct Expected {
    case: &'static str,
    path: Vec<u8>,
    flags: u16,
    open_flags: i32,
    stat: fs::Metadata,
    mount_ns: u32,
    /// Whether the thread that asked is the one that opened.
    own_thread: bool,
}

const OVERLAY_ROUTES: [&str; 2] =
    ["overlayfs: lower, copied up, made", "overlayfs's inner opens: not told"];

/// OVERLAYFS_SUPER_MAGIC
const OVERLAY: u64 = 0x794c_7630;

/// Does things in one thread and keeps what must be told of them.
#[derive(Default)]
struct Doer {
    expected: Vec<Expected>,
    /// What the probe cannot see.
    unseen: Vec<BlindSpot>,
    /// Routes that were taken, for when all is right.
    taken: Vec<&'static str>,
}

impl Doer {
    /// What follows is this route's: it is ok when all is right. False where the probe cannot see it, which is said.
    fn takes(&mut self, route: &'static str) -> bool {
        if let Some(unseen) = self.unseen.iter().find(|unseen| unseen.route == route) {
            routes::impossible(unseen);
            return false;
        }
        self.taken.push(route);
        true
    }

    /// A file that must be told under the name that the kernel itself has for it.
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

/// Makes a file without ever opening it under a name that is wanted.
fn make(at: impl AsRef<Path>) -> PathBuf {
    let at = at.as_ref().to_path_buf();
    let plain = at.with_file_name("being-made");
    fs::write(&plain, "content").unwrap();
    fs::rename(&plain, &at).unwrap();
    at
}

fn open_all(cases: impl FnOnce(&mut Doer) + Send + 'static) {
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let unseen = world.source.attached()[0].cannot_see.clone();
    let thread = std::thread::spawn(move || {
        let mut doer = Doer { unseen, ..Doer::default() };
        sys::own_mounts();
        cases(&mut doer);
        (sys::tid(), doer)
    });
    let (tid, Doer { expected, taken, .. }) = thread.join().unwrap();
    let me = std::process::id();
    let open_rung = world.source.attached()[0].probe;
    let got = world.records(expected.len(), |record| record.header.tgid == me);
    for (expected, got) in expected.iter().zip(&got) {
        let case = expected.case;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let header = got.header;
        let told = (text(&got.path), header.flags & !(flag::FOREIGN_USER_NS | flag::CREATED));
        assert_eq!(told, (text(&expected.path), expected.flags), "{case}");
        let created = header.flags & flag::CREATED != 0;
        assert_eq!(created, matches!(case, "creat" | "made"), "{case}: created");
        assert_eq!(got.path, expected.path, "{case}");
        assert_eq!(header.kind, kind::FILE_OPEN, "{case}");
        if expected.own_thread {
            assert_eq!(header.tid, tid, "{case}: thread");
        }
        let mask = libc::O_ACCMODE | libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_APPEND;
        assert_eq!(header.detail as i32 & mask, expected.open_flags & mask, "{case}: open flags");
        assert_eq!(header.inode, expected.stat.ino(), "{case}: inode");
        assert_eq!(header.mount_ns, expected.mount_ns, "{case}: mount namespace");
        // This hook comes before the file is emptied.
        if open_rung == "lsm" && expected.open_flags & libc::O_TRUNC != 0 {
            continue;
        }
        assert_eq!(header.size, expected.stat.size(), "{case}: size");
        let ctime = (expected.stat.ctime(), expected.stat.ctime_nsec());
        // An overlay's inode learns late that its file was copied up.
        if u64::from(header.sb_magic) != OVERLAY {
            assert_eq!((header.ctime_sec, i64::from(header.ctime_nsec)), ctime, "{case}: ctime");
        }
    }
    let surplus: Vec<_> = got.iter().skip(expected.len()).map(|record| record.text()).collect();
    assert_eq!(got.len(), expected.len(), "told too often: {surplus:?}");
    assert_eq!(world.source.losses().causes().iter().map(|cause| cause.1).sum::<u64>(), 0);
    taken.into_iter().for_each(routes::ok);
}

fn every_system_call_and_flag() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        std::env::set_current_dir(&dir).unwrap();
        doer.taken.extend(["open", "openat", "openat2", "creat", "symlink", "dirfd and .."]);
        doer.taken.extend(["descriptor over 256", "flags as the caller gave them"]);
        let file = make("rel.pem");
        doer.opened("relative", 0, sys::open("rel.pem", 0).unwrap());
        fs::create_dir_all("d1/d2").unwrap();
        make("d1/d2/x.pem");
        let d1 = sys::open("d1", libc::O_DIRECTORY).unwrap();
        let name = c"d2/../d2/x.pem";
        let opened = sys::openat(d1.as_raw_fd(), name, libc::O_RDWR).unwrap();
        doer.opened("directory descriptor and ..", libc::O_RDWR, opened);
        symlink(dir.join("d1/d2/x.pem"), "link.crt").unwrap();
        doer.opened("symlink", 0, sys::open("link.crt", 0).unwrap());
        let at = sys::path(&file);
        let flags = libc::O_WRONLY | libc::O_APPEND;
        let args = [at.as_ptr() as usize, flags as usize, 0, 0, 0];
        doer.opened("open", flags, sys::open_call(libc::SYS_open, args).unwrap());
        let args = [c"new.pem".as_ptr() as usize, 0o600, 0, 0, 0];
        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        doer.opened("creat", flags, sys::open_call(libc::SYS_creat, args).unwrap());
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        doer.opened("made", flags, sys::open("made.key", flags).unwrap());
        let how = [(libc::O_RDWR | libc::O_TRUNC) as u64, 0, 8];
        let name = c"d2/x.pem".as_ptr() as usize;
        let args = [d1.as_raw_fd() as usize, name, how.as_ptr() as usize, 24, 0];
        doer.opened("openat2", how[0] as i32, sys::open_call(libc::SYS_openat2, args).unwrap());
        if let Some(opened) = by_handle(&dir, &file) {
            doer.opened("open_by_handle_at", 0, opened);
            doer.takes("open_by_handle_at");
        }
        let many: Vec<_> = (0..300).map(|_| sys::open("/dev/null", 0).unwrap()).collect();
        doer.opened("descriptor over 256", 0, sys::open("rel.pem", 0).unwrap());
        drop(many);
    });
}

fn system_calls_of_32_bits() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        const CASES: &str = "32-bit open, openat, creat";
        std::env::set_current_dir(&dir).unwrap();
        make("rel.pem");
        let mut name = b"rel.pem".to_vec();
        name.push(0);
        let low = sys::low_memory(&name);
        let made = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        for (case, number, args, flags) in [
            ("32-bit open", 5, [low, libc::O_RDWR as u32, 0], libc::O_RDWR),
            ("32-bit openat", 295, [libc::AT_FDCWD as u32, low, libc::O_RDWR as u32], libc::O_RDWR),
            ("32-bit creat", 8, [low, 0o600, 0], made),
        ] {
            let fd = sys::call_32(number, args);
            if fd == -i64::from(libc::ENOSYS) {
                routes::not_tried(CASES, "this kernel has no 32-bit system calls");
                return;
            }
            let opened = sys::open_call(libc::SYS_dup, [fd as usize, 0, 0, 0, 0]).unwrap();
            doer.opened(case, flags, opened);
            sys::call(libc::SYS_close, [fd as usize, 0, 0, 0, 0]).unwrap();
        }
        doer.takes(CASES);
    });
}

fn io_uring() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        let file = make(dir.join("ring.pem"));
        for (case, how) in [
            ("io_uring, inline", How::Inline),
            ("io_uring, async", How::Async),
            ("io_uring, SQPOLL", How::Polled),
        ] {
            let flags = libc::O_RDWR | libc::O_APPEND;
            let Some(opened) = uring::open(&file, flags as u32, how) else {
                routes::not_tried(case, "this kernel has no io_uring");
                continue;
            };
            doer.opened(case, flags, opened);
            doer.takes(case);
            // The kernel's worker threads belong to the process too.
            doer.expected.last_mut().unwrap().own_thread = how == How::Inline;
        }
        let flags = libc::O_RDONLY;
        match uring::open_silent(&file, flags as u32) {
            None => routes::not_tried(route::URING_SILENT, "this kernel has no io_uring"),
            Some(opened) => {
                if doer.takes(route::URING_SILENT) {
                    doer.opened("silent", flags, opened);
                }
            }
        }
        let Some(_ring) = uring::open_direct(&file, libc::O_RDWR as u32) else {
            routes::not_tried(route::URING_DIRECT, "this kernel has no io_uring");
            return;
        };
        if doer.takes(route::URING_DIRECT) {
            // No descriptor leads to it, so the file is named from here.
            let again = sys::open(&file, libc::O_RDWR).unwrap();
            let path = sys::link_of(&again);
            doer.opened_as("direct", libc::O_RDWR, again.try_clone().unwrap(), &path, 0);
            doer.opened_as("to know its name", libc::O_RDWR, again, &path, 0);
        }
    });
}

/// Behind the permission checks a driver may still refuse: here a pipe that nobody reads.
fn refused_behind_the_permission_checks() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        let pipe = dir.join("pipe.pem");
        let name = sys::path(&pipe);
        // SAFETY: a string that ends with NUL.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let flags = libc::O_WRONLY | libc::O_NONBLOCK;
        let error = sys::open(&pipe, flags).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
        if !doer.takes(route::REFUSED_LATE) {
            // Told too early, as doctor says; to look at it costs no open that is told.
            let file = sys::open(&pipe, libc::O_PATH).unwrap();
            doer.opened("refused", flags, file);
        }
    });
}

/// A descriptor that another thread closes as soon as it is there.
fn closed_before_the_open_returns() {
    const OPENS: u64 = 3000;
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let options =
        CaptureOptions { pid: Some(std::process::id()), ..world::options(&interest, kinds) };
    let mut world = world::start(&options);
    let (_keep, dir) = world::directory();
    let file = make(dir.join("x.pem"));
    // The number that every open gets: the lowest that is free, far above those that anybody else uses.
    let low = sys::open("/dev/null", 0).unwrap();
    let args = [low.as_raw_fd() as usize, libc::F_DUPFD as usize, 500, 0, 0];
    let number = sys::call(libc::SYS_fcntl, args).unwrap();
    let close = move || sys::call(libc::SYS_close, [number, 0, 0, 0, 0]);
    let fill: Vec<_> = (0..number)
        .map_while(|_| low.try_clone().ok().filter(|fd| fd.as_raw_fd() < number as i32))
        .collect();
    close().unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
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
    let told =
        world.records(OPENS as usize, |record| record.path.ends_with(b"/x.pem")).len() as u64;
    let gone = world.source.losses().file_gone;
    assert_eq!(told + gone, OPENS, "{gone} gone, {others} with another number");
    match world.unseen(route::CLOSED_MEANWHILE) {
        Some(unseen) => routes::impossible(&unseen),
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

fn names_are_bytes_and_have_their_visible_form() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        std::env::set_current_dir(&dir).unwrap();
        doer.taken.extend(["name of 255 bytes", "newlines, quotes, escapes, no UTF-8"]);
        let long = [b"a".repeat(251), b".pem".to_vec()].concat();
        let middle = [b"b".repeat(124), b".pem".to_vec()].concat();
        let names: [(&str, &[u8]); 17] = [
            ("newline and space", b"sp ace\n.pem"),
            ("UTF-8", "\u{fc}n\u{ef}.pem".as_bytes()),
            ("no UTF-8", b"\xff\xfe\x80.pem"),
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
            ("prefix, no UTF-8", b"key_\xff"),
            ("prefix of 15 bytes only", b"fifteen-bytes-x"),
            ("prefix of 15 bytes, long name", b"fifteen-bytes-x-and-more-than-thirty-two-bytes"),
        ];
        for (case, name) in names {
            let name = std::ffi::OsString::from_vec(name.to_vec());
            make(&name);
            doer.opened(case, 0, sys::open(&name, 0).unwrap());
        }
        make("k");
        doer.opened("whole name of one byte", 0, sys::open("k", 0).unwrap());
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
            make(other);
            drop(sys::open(other, 0).unwrap());
        }
    });
}

fn what_gives_no_access_to_content_is_not_told() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        std::env::set_current_dir(&dir).unwrap();
        doer.taken.extend(["failed open: not told", "directory, O_PATH, O_TMPFILE: not told"]);
        make("x.pem");
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
        doer.opened("the one that counts", 0, sys::open("y.pem", 0).unwrap());
    });
}

fn mounts() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        sys::tmpfs(&dir);
        std::env::set_current_dir(&dir).unwrap();
        doer.taken.extend(["bind-mounted directory", "bind-mounted file", "detached mount"]);
        let at = |name: &str| dir.join(name);
        fs::create_dir_all("d1").unwrap();
        make("d1/hard.pem");
        sys::tmpfs(&at("one"));
        sys::tmpfs(&at("one/sub/two"));
        make("one/sub/two/m.pem");
        doer.opened("two mounts", 0, sys::open("one/sub/two/m.pem", 0).unwrap());
        fs::create_dir("bind").unwrap();
        sys::bind(&at("d1"), &at("bind"));
        doer.opened("bind-mounted directory", 0, sys::open("bind/hard.pem", 0).unwrap());
        make("plain.dat");
        make("single.key");
        sys::bind(&at("plain.dat"), &at("single.key"));
        doer.opened("bind-mounted file", 0, sys::open("single.key", 0).unwrap());
        make("stacked.key");
        sys::bind(&at("d1/hard.pem"), &at("stacked.key"));
        sys::bind(&at("plain.dat"), &at("stacked.key"));
        doer.opened("bind mount on a bind mount", 0, sys::open("stacked.key", 0).unwrap());
        make("plain.txt");
        sys::bind(&at("d1/hard.pem"), &at("plain.txt"));
        drop(sys::open("plain.txt", 0).unwrap());
        let two = sys::open("one/sub/two", libc::O_DIRECTORY).unwrap();
        sys::detach(&at("one/sub/two"));
        let opened = sys::openat(two.as_raw_fd(), c"m.pem", 0).unwrap();
        doer.opened_as("detached mount", 0, opened, b"/m.pem", flag::PATH_UNREACHABLE);
    });
}

fn overlays_are_told_once() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        sys::tmpfs(&dir);
        for name in ["lower/etc", "upper", "work", "merged"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        make(dir.join("lower/etc/ov.pem"));
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
        doer.taken.extend(OVERLAY_ROUTES);
        let at = dir.join("merged/etc/ov.pem");
        doer.opened("lower", 0, sys::open(&at, 0).unwrap());
        doer.opened("copied up", libc::O_RDWR, sys::open(&at, libc::O_RDWR).unwrap());
        let made = dir.join("merged/etc/made.pem");
        let flags = libc::O_CREAT | libc::O_RDWR;
        doer.opened("made", flags, sys::open(&made, flags).unwrap());
    });
}

fn files_without_a_name() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        std::env::set_current_dir(&dir).unwrap();
        doer.taken.extend(["/proc/self/fd/N", "deleted file"]);
        let at = make(dir.join("x.pem"));
        let first = sys::open("x.pem", 0).unwrap();
        doer.opened("first", 0, first.try_clone().unwrap());
        let again = format!("/proc/thread-self/fd/{}", first.as_raw_fd());
        fs::hard_link("x.pem", "hard.pem").unwrap();
        doer.opened("hard link", 0, sys::open("hard.pem", 0).unwrap());
        fs::remove_file("hard.pem").unwrap();
        doer.opened("by its descriptor", 0, sys::open(&again, 0).unwrap());
        fs::remove_file("x.pem").unwrap();
        let deleted = sys::open(&again, 0).unwrap();
        let name = at.as_os_str().as_bytes();
        doer.opened_as("deleted", 0, deleted, name, flag::PATH_DELETED);
        let memory = c"secret.pem".as_ptr() as usize;
        let memory = sys::open_call(libc::SYS_memfd_create, [memory, 0, 0, 0, 0]).unwrap();
        let again = format!("/proc/thread-self/fd/{}", memory.as_raw_fd());
        let opened = sys::open(&again, libc::O_RDWR).unwrap();
        // Every memfd is unlinked from its birth; the kernel's own name for it has no slash of the root's.
        let flags = flag::PATH_PSEUDO;
        doer.opened_as("memfd", libc::O_RDWR, opened, b"/memfd:secret.pem", flags);
    });
}

fn long_paths() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        sys::tmpfs(&dir);
        doer.takes("path of 4095 bytes");
        // Of every length around the borders of the records' sizes, deep and flat.
        std::env::set_current_dir(&dir).unwrap();
        for part in [1, 14, 15, 16, 30, 31, 32, 62, 63, 64, 127, 128, 200] {
            let mut deep = PathBuf::from(&dir);
            while deep.as_os_str().len() < 1100 {
                deep.push("d".repeat(part));
                fs::create_dir_all(&deep).unwrap();
                if part >= 14 || deep.as_os_str().len() % 16 == 0 {
                    let file = make(deep.join("f.pem"));
                    doer.opened("at a border", 0, sys::open(&file, 0).unwrap());
                }
            }
        }
        // The longest that a system call takes.
        let mut deep = PathBuf::from(&dir);
        while deep.as_os_str().len() + 201 + 10 < 4095 {
            deep.push("L".repeat(200));
            fs::create_dir_all(&deep).unwrap();
        }
        let rest = 4095 - deep.as_os_str().len() - 1 - 4;
        let file = deep.join(format!("{}.pem", "k".repeat(rest)));
        std::env::set_current_dir(&deep).unwrap();
        make(format!("{}.pem", "k".repeat(rest)));
        assert_eq!(file.as_os_str().len(), 4095);
        let name = file.as_os_str().as_bytes().to_vec();
        doer.opened_as("4095 bytes", 0, sys::open(&file, 0).unwrap(), &name, 0);
    });
}

fn more_than_a_path_can_be_keeps_the_end() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        sys::tmpfs(&dir);
        std::env::set_current_dir(&dir).unwrap();
        doer.taken.extend(["path of 2000 components", "path of over 4096 bytes: its end"]);
        let mut path = dir.as_os_str().as_bytes().to_vec();
        for _ in 0..2030 {
            if path.len() + 2 + 6 > 4095 {
                break;
            }
            fs::create_dir("a").unwrap();
            std::env::set_current_dir("a").unwrap();
            path.extend(b"/a");
        }
        make("z.pem");
        let whole = [&path[..], b"/z.pem"].concat();
        doer.opened_as("2000 components", 0, sys::open("z.pem", 0).unwrap(), &whole, 0);
        for _ in 0..3000 {
            fs::create_dir("b").unwrap();
            std::env::set_current_dir("b").unwrap();
        }
        make("deep.pem");
        // Leaf first, each with its end: 9 bytes for the leaf, 2 for every directory.
        let whole = [b"/b".repeat((4096 - 9) / 2), b"/deep.pem".to_vec()].concat();
        let opened = sys::open("deep.pem", 0).unwrap();
        doer.opened_as("beyond", 0, opened, &whole, flag::PATH_TRUNCATED);
        std::env::set_current_dir("/").unwrap();
    });
}

fn roots() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        sys::tmpfs(&dir);
        fs::create_dir_all(dir.join("root/etc")).unwrap();
        fs::create_dir_all(dir.join("outside")).unwrap();
        make(dir.join("root/etc/c.pem"));
        make(dir.join("outside/o.pem"));
        let outside = sys::open(dir.join("outside"), libc::O_DIRECTORY).unwrap();
        let me = sys::open("/proc/thread-self/ns/mnt", 0).unwrap();
        let mount_ns = fs::File::from(me).metadata().unwrap().ino() as u32;
        let root = sys::path(dir.join("root"));
        sys::call(libc::SYS_chroot, [root.as_ptr() as usize, 0, 0, 0, 0]).unwrap();
        std::env::set_current_dir("/").unwrap();
        doer.takes("chroot");
        let mut told = |case, file: OwnedFd, path: &[u8], flags| {
            let stat = fs::File::from(file).metadata().unwrap();
            let path = path.to_vec();
            let (open_flags, own_thread) = (0, true);
            doer.expected.push(Expected {
                case,
                path,
                flags,
                open_flags,
                stat,
                mount_ns,
                own_thread,
            });
        };
        told("chroot", sys::open("/etc/c.pem", 0).unwrap(), b"/etc/c.pem", 0);
        let opened = sys::openat(outside.as_raw_fd(), c"o.pem", 0).unwrap();
        let path = [dir.as_os_str().as_bytes(), b"/outside/o.pem"].concat();
        told("outside the root", opened, &path, flag::PATH_UNREACHABLE);
    });
}

fn pivoted_root() {
    let (_keep, dir) = world::directory();
    open_all(move |doer| {
        sys::tmpfs(&dir);
        fs::create_dir_all(dir.join("srv")).unwrap();
        fs::create_dir_all(dir.join("old")).unwrap();
        make(dir.join("srv/ns.pem"));
        let stat_of_ns = fs::metadata("/proc/thread-self/ns/mnt").unwrap().ino() as u32;
        std::env::set_current_dir(&dir).unwrap();
        let args = [c".".as_ptr() as usize, c"old".as_ptr() as usize, 0, 0, 0];
        if let Err(error) = sys::call(libc::SYS_pivot_root, args) {
            let why = format_args!("the first root of all cannot be replaced ({error})");
            routes::not_tried("pivot_root", why);
            return;
        }
        doer.takes("pivot_root");
        std::env::set_current_dir("/").unwrap();
        sys::detach(Path::new("/old"));
        let stat = fs::File::from(sys::open("/srv/ns.pem", 0).unwrap()).metadata().unwrap();
        doer.expected.push(Expected {
            case: "pivot_root",
            path: b"/srv/ns.pem".to_vec(),
            flags: 0,
            open_flags: 0,
            stat,
            mount_ns: stat_of_ns,
            own_thread: true,
        });
    });
}

fn the_header_says_who_and_where() {
    let interest = world::interest();
    let kinds = EventKinds { open: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let (_keep, dir) = world::directory();
    let file = make(dir.join("who.pem"));
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
    // A cgroup's number is its directory's inode number.
    let hierarchy = Hierarchy::of_this_system();
    let cgroup = hierarchy.path(&fs::read_to_string("/proc/self/cgroup").unwrap());
    let place = hierarchy.mount().zip(cgroup);
    let place = place.and_then(|(mount, path)| fs::metadata(mount.join(&path[1..])).ok());
    match place {
        Some(place) => assert_eq!(header.cgroup_id, place.ino(), "{hierarchy:?}"),
        None => println!("not tried: no hierarchy of cgroups is mounted here"),
    }
}

fn magic(path: &Path) -> u64 {
    // SAFETY: all zeros is a statfs, which the kernel then fills.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    let path = sys::path(path);
    // SAFETY: a string that ends with NUL, and one statfs to write to.
    assert_eq!(unsafe { libc::statfs(path.as_ptr(), &mut found) }, 0);
    found.f_type as u64
}
