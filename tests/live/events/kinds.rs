//! The four documented events, from real programs to JSON.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crypto_tracer_tests::{Event, Material, Tracer, actor, needs_bpf, run, temp_dir, until};

crypto_tracer_tests::tests![
    openssl_run_is_reported_completely,
    every_documented_extension_has_its_type,
    path_is_that_of_the_opened_file,
    access_without_content_is_not_reported,
    flags_are_those_of_the_caller,
    arguments_of_a_short_process_are_complete,
    special_characters_are_escaped_in_json,
    process_with_threads_exits_once,
    exit_codes_and_signals_are_reported,
    script_is_reported_as_exec_of_its_interpreter,
    thousand_new_pem_files_have_their_types,
    kernel_threads_are_never_reported,
    libraries_of_a_musl_program_are_reported,
    libraries_from_before_the_start_are_not_repeated,
    libraries_from_before_the_start_are_not_repeated_on_overlayfs,
];

/// The tracer's defaults.
const NO_OPTIONS: [&str; 0] = [];

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::kind).collect()
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}

fn openssl_run_is_reported_completely() {
    needs_bpf!();
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    let tracer = Tracer::monitor(NO_OPTIONS);
    let before = now_us();
    let pid = run(Command::new("openssl").args(["x509", "-noout", "-in", bundle]));
    let events = tracer.all_of(pid);
    let after = now_us();

    // OpenSSL 3 opens its input once or twice, depending on the version. All other events are the same.
    let mut once = kinds(&events);
    once.dedup_by(|this, last| this == last && *this == "file_open");
    let expected = ["process_exec", "lib_load", "lib_load", "file_open", "process_exit"];
    assert_eq!(once, expected, "{events:#?}");
    events.iter().for_each(Event::assert_documented);
    assert!(events.iter().all(|event| event.text("process") == "openssl"), "{events:#?}");

    let times: Vec<i64> = events.iter().map(Event::micros).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(
        times.iter().all(|time| (before - 1000..=after).contains(time)),
        "{before} {times:?} {after}"
    );

    let [exec, one, other, opens @ .., exit] = events.as_slice() else { unreachable!() };
    assert_eq!(exec.number("ppid"), Some(i64::from(std::process::id())));
    assert_eq!(exec.text("cmdline"), format!("openssl x509 -noout -in {bundle}"));
    let mut names = [one.text("library_name"), other.text("library_name")];
    names.sort_unstable();
    assert_eq!(names, ["libcrypto", "libssl"]);
    for load in [one, other] {
        let library = Path::new(load.text("library"));
        assert_eq!(fs::canonicalize(library).unwrap(), library, "not the real path");
        let name = library.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(load.text("library_name")), "{name}");
    }
    for open in opens {
        assert_eq!(open.text("file"), bundle);
        assert_eq!(open.text("file_type"), "certificate");
        assert_eq!(open.text("flags"), "O_RDONLY");
        assert_eq!(open.number("uid"), Some(0));
    }
    assert_eq!(exit.number("exit_code"), Some(0));
    tracer.finish();
}

fn every_documented_extension_has_its_type() {
    needs_bpf!();
    let dir = temp_dir();
    let material = Material::get();
    let (certificate, key, other) = (&material.certificate, &material.key, b"no crypto".to_vec());
    let expected = [
        ("a.crt", &other, "certificate"),
        ("a.cer", &other, "certificate"),
        ("A.CRT", &other, "certificate"),
        ("a.key", &other, "private_key"),
        ("id_rsa", &other, "private_key"),
        ("a.p12", &other, "keystore"),
        ("a.pfx", &other, "keystore"),
        ("a.jks", &other, "keystore"),
        ("a.keystore", &other, "keystore"),
        ("certificate.pem", certificate, "certificate"),
        ("key.pem", key, "private_key"),
        ("neither.pem", &other, "unknown"),
        ("a.csr", &other, "unknown"),
    ];
    for (name, bytes, _) in expected {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let tracer = Tracer::monitor(NO_OPTIONS);
    let pid = run(Command::new("cat").args(expected.map(|(name, ..)| name)).current_dir(&dir));
    let events = tracer.all_of(pid);
    let opens: Vec<_> = events.iter().filter(|event| event.kind() == "file_open").collect();
    let reported: Vec<_> =
        opens.iter().map(|open| (Path::new(open.text("file")), open.text("file_type"))).collect();
    let paths = expected.map(|(name, ..)| dir.path().join(name));
    let right: Vec<_> = paths.iter().map(|p| p.as_path()).zip(expected.map(|e| e.2)).collect();
    assert_eq!(reported, right);
    opens.iter().for_each(|open| open.assert_documented());
    tracer.finish();
}

fn path_is_that_of_the_opened_file() {
    needs_bpf!();
    let dir = temp_dir();
    fs::create_dir_all(dir.path().join("etc/tls")).unwrap();
    let real = dir.path().join("etc/tls/real.key");
    fs::write(&real, &Material::get().key).unwrap();
    symlink("etc/tls/real.key", dir.path().join("link")).unwrap();
    let tracer = Tracer::monitor(NO_OPTIONS);
    let ways = ["link", "etc/tls/real.key", "etc/../etc//tls/./real.key", "/proc/self/cwd/link"];
    let pid = run(Command::new("cat").args(ways).current_dir(&dir));
    let events = tracer.all_of(pid);
    let files: Vec<_> = events
        .iter()
        .filter(|event| event.kind() == "file_open")
        .map(|event| Path::new(event.text("file")))
        .collect();
    assert_eq!(files, [real.as_path(); 4]);
    tracer.finish();
}

fn access_without_content_is_not_reported() {
    needs_bpf!();
    let dir = temp_dir();
    fs::create_dir(dir.path().join("folder.pem")).unwrap();
    fs::write(dir.path().join("last.key"), "").unwrap();
    let tracer = Tracer::monitor(NO_OPTIONS);
    let pid = run(Command::new("sh")
        .args([
            "-c",
            "ls folder.pem; cat missing.pem; stat last.key; cat last.key >/dev/null; true",
        ])
        .current_dir(&dir));
    tracer.all_of(pid);
    let inside = dir.path().to_str().unwrap();
    let events = tracer.events();
    let opens: Vec<_> = events
        .iter()
        .filter(|event| event.text("file").starts_with(inside) && !event.is_from_reader())
        .map(|event| (event.kind(), event.text("process")))
        .collect();
    assert_eq!(opens, [("file_open", "cat")]);
    tracer.finish();
}

fn flags_are_those_of_the_caller() {
    needs_bpf!();
    let dir = temp_dir();
    let tracer = Tracer::monitor(NO_OPTIONS);
    let script = ": > new.key; : >> new.key; : <> new.key; : < new.key; set -C; : > other.key";
    let pid = run(Command::new("sh").args(["-c", script]).current_dir(&dir));
    let events = tracer.all_of(pid);
    let flags: Vec<_> = events
        .iter()
        .filter(|event| event.kind() == "file_open")
        .map(|event| event.text("flags"))
        .collect();
    assert_eq!(
        flags,
        [
            "O_WRONLY|O_CREAT|O_TRUNC",
            "O_WRONLY|O_CREAT|O_APPEND",
            "O_RDWR|O_CREAT",
            "O_RDONLY",
            "O_WRONLY|O_CREAT|O_EXCL",
        ]
    );
    tracer.finish();
}

fn arguments_of_a_short_process_are_complete() {
    needs_bpf!();
    let tracer = Tracer::monitor(NO_OPTIONS);
    let short = "-".repeat(4000);
    let pid = run(Command::new("/bin/true").args([short.as_str(), "end"]));
    let events = tracer.all_of(pid);
    assert_eq!(kinds(&events), ["process_exec", "process_exit"]);
    let cmdline = events.first().unwrap().text("cmdline").to_owned();
    assert_eq!(cmdline, format!("/bin/true {short} end"));

    let long: Vec<String> = (0..600).map(|i| format!("argument{i:03}")).collect();
    let pid = run(Command::new("/bin/true").args(&long));
    let events = tracer.all_of(pid);
    assert_eq!(kinds(&events), ["process_exec", "process_exit"]);
    let whole = format!("/bin/true {}", long.join(" "));
    let kept = whole.get(..4096).unwrap();
    assert_eq!(events.first().unwrap().text("cmdline"), format!("{kept} …"));
    events.iter().for_each(Event::assert_documented);
    tracer.finish();
}

fn special_characters_are_escaped_in_json() {
    needs_bpf!();
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let tracer = Tracer::monitor(NO_OPTIONS);
    let argument = OsStr::from_bytes(b"a\"b\\c\nd\x1b[2J\xff");
    let pid = run(Command::new("/bin/true").arg(argument).arg(""));
    let events = tracer.all_of(pid);
    let exec = events.first().unwrap();
    assert_eq!(exec.text("cmdline"), "/bin/true a\"b\\c\nd\u{1b}[2J\u{fffd} ");
    let control = exec.line().chars().find(|c| c.is_control());
    assert_eq!(control, None, "a control character reaches the output: {:?}", exec.line());
    tracer.finish();
}

fn process_with_threads_exits_once() {
    needs_bpf!();
    let tracer = Tracer::monitor(NO_OPTIONS);
    let actor = actor!["threads", "8"];
    let pid = actor.pid();
    actor.end();
    // The exit of a second process follows all events of the first one's threads.
    tracer.all_of(pid);
    tracer.all_of(run(&mut Command::new("/bin/true")));
    let events = tracer.events();
    let exits: Vec<_> = events
        .iter()
        .filter(|event| event.kind() == "process_exit" && event.pid() == Some(pid))
        .collect();
    assert_eq!(exits.len(), 1, "{exits:#?}");
    let exit = exits.first().unwrap();
    exit.assert_documented();
    assert_eq!((exit.text("process"), exit.number("exit_code")), ("actor", Some(0)));
    tracer.finish();
}

fn exit_codes_and_signals_are_reported() {
    needs_bpf!();
    let tracer = Tracer::monitor(NO_OPTIONS);
    for (script, code) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
        ("kill -SEGV $$", 128 + 11),
    ] {
        let pid = run(Command::new("sh").args(["-c", script]));
        let events = tracer.all_of(pid);
        assert_eq!(kinds(&events), ["process_exec", "process_exit"], "{script}");
        let exit = events.last().unwrap();
        exit.assert_documented();
        assert_eq!(exit.number("exit_code"), Some(code), "{script}");
    }
    tracer.finish();
}

fn script_is_reported_as_exec_of_its_interpreter() {
    needs_bpf!();
    use std::os::unix::fs::PermissionsExt;
    let dir = temp_dir();
    let script = dir.path().join("script");
    fs::write(&script, "#!/bin/sh\nexit 7\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let tracer = Tracer::monitor(NO_OPTIONS);
    let pid = run(Command::new(&script).arg("word"));
    let events = tracer.all_of(pid);
    assert_eq!(kinds(&events), ["process_exec", "process_exit"]);
    let [exec, exit] = events.as_slice() else { unreachable!() };
    assert_eq!(exec.text("cmdline"), format!("/bin/sh {} word", script.display()));
    assert_eq!(exec.text("process"), "script");
    assert_eq!(exit.number("exit_code"), Some(7));
    tracer.finish();
}

fn thousand_new_pem_files_have_their_types() {
    needs_bpf!();
    let dir = temp_dir();
    let material = Material::get();
    let tracer = Tracer::monitor(["--file", &format!("{}/*", dir.path().display())]);
    for i in 0..1000 {
        let (kind, bytes) = if i % 2 == 0 {
            ("certificate", &material.certificate)
        } else {
            ("private_key", &material.key)
        };
        let path = dir.path().join(format!("{kind}-{i}.pem"));
        fs::write(&path, bytes).unwrap();
        run(Command::new("cat").arg(&path));
    }
    tracer.wait_for("the last file", |event| {
        event.text("file").ends_with("-999.pem") && event.text("process") == "cat"
    });
    let events = tracer.finish().events;
    let read: Vec<_> = events.iter().filter(|event| event.text("process") == "cat").collect();
    let wrong: Vec<_> = read
        .iter()
        .filter(|event| {
            let name = event.text("file").rsplit('/').next().unwrap_or_default();
            name.split('-').next() != Some(event.text("file_type"))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} wrong, the first: {:?}",
        wrong.len(),
        read.len(),
        wrong.first()
    );
    assert_eq!(read.len(), 1000);
}

/// A kernel thread that the test starts and ends: the thread of an entry in a BPF cpumap.
struct KernelThread {
    map: OwnedFd,
    pid: u32,
}

/// Calls `bpf(2)` with these attributes, as 32-bit words.
fn bpf(command: u32, words: &[u32]) -> i32 {
    let mut attributes = [0_u32; 32];
    attributes.iter_mut().zip(words).for_each(|(to, from)| *to = *from);
    let size = size_of_val(&attributes);
    // SAFETY: `size` is the size of the attributes, and the data that they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size) };
    assert!(result >= 0, "bpf: {}", std::io::Error::last_os_error());
    result.try_into().unwrap()
}

fn kernel_threads() -> Vec<(u32, String)> {
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| pid(entry.ok()?));
    pids.filter_map(|pid| Some((pid, fs::read_to_string(format!("/proc/{pid}/comm")).ok()?)))
        .filter(|(_, name)| name.starts_with("cpumap/"))
        .collect()
}

impl KernelThread {
    fn start() -> KernelThread {
        const CREATE: u32 = 0;
        const UPDATE: u32 = 2;
        const CPUMAP: u32 = 16;
        let before = kernel_threads();
        let map = bpf(CREATE, &[CPUMAP, 4, 4, 1]);
        // SAFETY: the descriptor is new and has no other owner.
        let map = unsafe { OwnedFd::from_raw_fd(map) };
        let (key, length) = (0_u32, 16_u32);
        let halves = |to: &u32| {
            let at = std::ptr::from_ref(to).addr() as u64;
            [at as u32, (at >> 32) as u32]
        };
        let (key, length) = (halves(&key), halves(&length));
        let fd = u32::try_from(map.as_raw_fd()).unwrap();
        bpf(UPDATE, &[fd, 0, key[0], key[1], length[0], length[1], 0, 0]);
        let new = kernel_threads().into_iter().find(|thread| !before.contains(thread));
        KernelThread { map, pid: new.unwrap().0 }
    }

    fn end(self) {
        drop(self.map);
        let path = Path::new("/proc").join(self.pid.to_string());
        until("the end of the kernel thread", || (!path.exists()).then_some(()));
    }
}

fn kernel_threads_are_never_reported() {
    needs_bpf!();
    let tracer = Tracer::monitor(NO_OPTIONS);
    let thread = KernelThread::start();
    let pid = thread.pid;
    thread.end();
    tracer.all_of(run(&mut Command::new("true")));
    let events = tracer.finish().events;
    let reported: Vec<_> = events.iter().filter(|event| event.pid() == Some(pid)).collect();
    assert!(reported.is_empty(), "{reported:?}");
}

/// The program has another C library and another dynamic loader.
fn libraries_of_a_musl_program_are_reported() {
    needs_bpf!();
    const LIBRARY: &str = "int answer(void) { return 42; }";
    const PROGRAM: &str = "#include <dlfcn.h>\nint answer(void);\n\
         int main(void) { return answer() != 42 || !dlopen(\"./libcrypto.so.3\", RTLD_NOW); }";
    let dir = temp_dir();
    fs::write(dir.path().join("library.c"), LIBRARY).unwrap();
    fs::write(dir.path().join("program.c"), PROGRAM).unwrap();
    let compile =
        |words: &str| Command::new("musl-gcc").args(words.split(' ')).current_dir(&dir).status();
    match compile("-shared -fPIC -o libssl.so.3 library.c") {
        Err(error) => {
            assert!(
                std::env::var_os("CRYPTO_TRACER_REQUIRE_BPF").is_none(),
                "apt-get install musl-tools: {error}"
            );
            return;
        }
        Ok(status) => assert!(status.success()),
    }
    fs::copy(dir.path().join("libssl.so.3"), dir.path().join("libcrypto.so.3")).unwrap();
    assert!(compile("-o program program.c ./libssl.so.3").unwrap().success());
    let tracer = Tracer::monitor(["--no-redact"]);
    let pid = run(Command::new(dir.path().join("program")).current_dir(&dir));
    let wanted = ["libssl.so.3", "libcrypto.so.3"].map(|name| dir.path().join(name));
    let events = tracer.all_of(pid);
    let loads = events.iter().filter(|event| event.kind() == "lib_load");
    let libraries: Vec<_> = loads.map(|event| Path::new(event.text("library"))).collect();
    assert_eq!(libraries, wanted);
    tracer.finish();
}

/// Builds a program that loads a library, waits for a byte on standard input, and then loads that library again and
/// another one.
fn build_loader(dir: &Path) {
    const LIBRARY: &str = "int answer(void) { return 42; }";
    const PROGRAM: &str = "#include <dlfcn.h>\n#include <unistd.h>\n\
         int main(void) {\n\
         void *before = dlopen(\"./libssl.so.3\", RTLD_NOW); char go;\n\
         if (!before || write(1, \"x\", 1) != 1 || read(0, &go, 1) != 1) return 1;\n\
         return dlclose(before) || !dlopen(\"./libssl.so.3\", RTLD_NOW)\n\
         || !dlopen(\"./libcrypto.so.3\", RTLD_NOW); }";
    fs::write(dir.join("library.c"), LIBRARY).unwrap();
    fs::write(dir.join("program.c"), PROGRAM).unwrap();
    for words in ["-shared -fPIC -o libssl.so.3 library.c", "-o program program.c -ldl"] {
        let status = Command::new("cc").args(words.split(' ')).current_dir(dir).status();
        assert!(status.unwrap().success());
    }
    fs::copy(dir.join("libssl.so.3"), dir.join("libcrypto.so.3")).unwrap();
}

/// Runs the loader, starts a tracer while it waits, and returns the paths of the reported libraries.
fn libraries_of_loader(command: &mut Command) -> Vec<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let tracer = Tracer::monitor(["--no-redact"]);
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    let pid = child.id();
    assert!(child.wait().unwrap().success());
    let events = tracer.all_of(pid);
    tracer.finish();
    let loads = events.iter().filter(|event| event.kind() == "lib_load");
    loads.map(|event| event.text("library").to_owned()).collect()
}

/// A library that is mapped when the tracer starts is not reported when it is mapped again; another library is.
fn libraries_from_before_the_start_are_not_repeated() {
    needs_bpf!();
    let dir = temp_dir();
    build_loader(dir.path());
    let reported = libraries_of_loader(Command::new(dir.path().join("program")).current_dir(&dir));
    assert_eq!(reported, [dir.path().join("libcrypto.so.3").to_str().unwrap()]);
}

/// On some kernels, `/proc` shows another device and inode number for a file on overlayfs than an open or a mapping
/// has.
fn libraries_from_before_the_start_are_not_repeated_on_overlayfs() {
    needs_bpf!();
    let dir = temp_dir();
    let lower = dir.path().join("lower");
    fs::create_dir_all(&lower).unwrap();
    build_loader(&lower);
    let script = "mkdir room merged && mount -t tmpfs none room && mkdir room/upper room/work && \
                  mount -t overlay none merged \
                  -o lowerdir=$PWD/lower,upperdir=$PWD/room/upper,workdir=$PWD/room/work && \
                  cd merged && exec ./program";
    let mut command = Command::new("unshare");
    let reported = libraries_of_loader(command.args(["-m", "sh", "-c", script]).current_dir(&dir));
    assert_eq!(reported, [dir.path().join("merged/libcrypto.so.3").to_str().unwrap()]);
}
