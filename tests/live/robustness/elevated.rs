//! The program with file capabilities, run by an unprivileged user. It reads and writes no file that this user cannot
//! access, and a run keeps only the privileges that it needs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crypto_tracer_tests::{
    Material, NOBODY_UID, Tracer, needs_bpf, output, program, run, temp_dir, until, workspace,
};

crypto_tracer_tests::tests![
    no_command_reads_files_its_caller_cannot_read,
    no_command_writes_files_its_caller_cannot_write,
    no_message_reveals_whether_a_path_exists,
    caller_cannot_start_a_reader,
    only_the_reader_keeps_two_capabilities,
];

/// Content of a file that only root can read.
const SECRET: &str = "root-only-7f3a";

/// A folder with a copy of the program that has file capabilities, as in docs/unprivileged.md, and with files of root.
struct Installation(tempfile::TempDir);

impl Installation {
    fn new() -> Installation {
        let dir = temp_dir();
        mode(dir.path(), 0o755);
        let copy = dir.path().join("crypto-tracer");
        fs::copy(program(), &copy).unwrap();
        let capabilities = "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep";
        let set = output(Command::new("setcap").arg(capabilities).arg(&copy));
        assert!(set.status.success(), "{set:?}");
        Installation(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that only root can read.
    fn write_private(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        mode(&path, 0o600);
        path
    }

    fn write_public(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write_private(name, content);
        mode(&path, 0o644);
        path
    }

    fn command(&self, words: &[&OsStr]) -> Command {
        let mut command = Command::new(self.path("crypto-tracer"));
        command.args(words).uid(NOBODY_UID).gid(NOBODY_UID).current_dir("/");
        command
    }

    /// Runs the program as an unprivileged user.
    fn run_as_nobody(&self, words: &[&OsStr]) -> Output {
        output(&mut self.command(words))
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn text_of(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

macro_rules! words {
    ($($word:expr),+ $(,)?) => { &[$(OsStr::new($word)),+] };
}

fn no_command_reads_files_its_caller_cannot_read() {
    needs_bpf!();
    let installed = Installation::new();
    // The copy has the capabilities, so it can trace.
    let traced = installed.run_as_nobody(words!["monitor", "--duration", "1"]);
    assert!(traced.status.success(), "{}", text_of(&traced));

    let secret = installed.write_private("secret", SECRET);
    let bundled = fs::read(workspace().join("artifacts/classify-default.wasm")).unwrap();
    let plugin = installed.write_private("closed.wasm", &bundled);
    let own = installed.write_public("own.wasm", &bundled);
    let case = format!(
        "{{\"cases\": [{{\"name\": \"a\", \"expect\": {{\"file_type\": \"unknown\"}}, \
         \"file\": {{\"path\": \"/a.pem\", \"content_file\": {secret:?}}}}}]}}"
    );
    let cases = installed.write_public("cases.json", case);
    let recording = installed.path("closed.rec");
    let tracer = Tracer::monitor(["--record", recording.to_str().unwrap()]);
    let pid = run(Command::new("cat").arg(installed.write_private(&format!("{SECRET}.pem"), "x")));
    tracer.all_of(pid);
    tracer.finish();
    mode(&recording, 0o600);

    for words in [
        &words!["replay", &recording][..],
        words!["replay", &secret],
        words!["replay", &recording, "--config", &secret],
        words!["plugin", "check", &plugin],
        words!["plugin", "check", &secret],
        words!["plugin", "check", &own, "--config", &secret],
        words!["plugin", "test", &plugin],
        words!["plugin", "test", &own, "--cases", &secret],
        words!["plugin", "test", &own, "--cases", &cases],
        words!["plugin", "bench", &plugin],
        words!["plugin", "bench", &own, "--cases", &secret],
        words!["plugin", "list", "--config", &secret],
        words!["plugin", "list", "--classifier", &plugin],
        words!["monitor", "--duration", "1", "--config", &secret],
        words!["monitor", "--duration", "1", "--classifier", &plugin],
        words!["snapshot", "--config", &secret],
        words!["profile", "--pid", "1", "--duration", "1", "--redactor", &plugin],
        words!["doctor", "--config", &secret],
    ] {
        let ended = installed.run_as_nobody(words);
        let printed = text_of(&ended);
        assert!(matches!(ended.status.code(), Some(1 | 2)), "{words:?}: {printed}");
        assert!(!printed.contains(SECRET), "{words:?}: {printed}");
    }
    // The message is that the caller has no permission; it does not describe the content.
    for words in [
        &words!["replay", &recording][..],
        words!["plugin", "test", &own, "--cases", &secret],
        words!["plugin", "test", &own, "--cases", &cases],
    ] {
        let printed = text_of(&installed.run_as_nobody(words));
        assert!(printed.contains("Permission denied"), "{words:?}: {printed}");
    }
}

fn no_command_writes_files_its_caller_cannot_write() {
    needs_bpf!();
    let installed = Installation::new();
    let folder = installed.path("closed");
    fs::create_dir(&folder).unwrap();
    mode(&folder, 0o700);
    // Every user could write the file, but only root can enter the folder.
    let file = installed.write_private("closed/file", "as it was");
    mode(&file, 0o666);
    for words in [
        &words!["monitor", "--duration", "1", "--output", &file][..],
        words!["files", "--duration", "1", "--output", &file],
        words!["monitor", "--duration", "1", "--record", &folder.join("new")],
        words!["snapshot", "--output", &file],
        words!["profile", "--pid", "1", "--duration", "1", "--output", &file],
        words!["doctor", "--output", &file],
    ] {
        let ended = installed.run_as_nobody(words);
        let printed = text_of(&ended);
        assert_eq!(ended.status.code(), Some(1), "{words:?}: {printed}");
        assert!(printed.contains("Permission denied"), "{words:?}: {printed}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "as it was");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

/// A file and a missing file in a folder that is closed to the caller cause the same message.
fn no_message_reveals_whether_a_path_exists() {
    needs_bpf!();
    let installed = Installation::new();
    let closed = installed.path("closed");
    fs::create_dir_all(closed.join("there.d")).unwrap();
    mode(&closed, 0o700);
    installed.write_private("closed/there", "");
    fs::write(closed.join("there.d/x.toml"), "").unwrap();
    let own = installed.write_public("own.wasm", "");
    let commands = [
        &["monitor", "--duration", "1", "--record"][..],
        &["monitor", "--duration", "1", "--output"],
        &["monitor", "--duration", "1", "--config"],
        &["monitor", "--duration", "1", "--classifier"],
        &["monitor", "--duration", "1", "--filter"],
        &["files", "--duration", "1", "--file"],
        &["libs", "--duration", "1", "--library"],
        &["profile", "--pid", "1", "--duration", "1", "--record"],
        &["profile", "--pid", "1", "--duration", "1", "--output"],
        &["snapshot", "--output"],
        &["snapshot", "--config"],
        &["doctor", "--output"],
        &["doctor", "--config"],
        &["replay"],
        &["replay", "--config"],
        &["plugin", "check"],
        &["plugin", "test", own.to_str().unwrap(), "--cases"],
    ];
    for command in commands {
        // `there.d/` exists, and `there/` is a file.
        for (exists, missing) in [
            ("there", "absent"),
            ("there.d", "absent.d"),
            ("there.d/x.toml", "absent.d/x.toml"),
            ("there/x", "absent/x"),
        ] {
            let message = |name: &str| {
                let path = closed.join(name);
                let words: Vec<&OsStr> =
                    command.iter().map(OsStr::new).chain([path.as_os_str()]).collect();
                let ended = installed.run_as_nobody(&words);
                let messages: Vec<String> = String::from_utf8_lossy(&ended.stderr)
                    .lines()
                    // The counters of two runs differ.
                    .filter(|line| !line.contains(" shown, ") && !line.contains("ready: "))
                    .map(|line| line.replace(name, "NAME"))
                    .collect();
                (ended.status.code(), messages)
            };
            assert_eq!(message(exists), message(missing), "{command:?} {exists}");
        }
    }
}

fn caller_cannot_start_a_reader() {
    let refused = output(Command::new(program()).arg("__reader"));
    assert_eq!(refused.status.code(), Some(2), "{}", text_of(&refused));
    assert!(
        text_of(&refused).contains("__reader"),
        "not refused as an unknown command: {}",
        text_of(&refused)
    );
}

/// Privileges of a process or thread.
#[derive(Debug, PartialEq, Eq)]
struct Privileges {
    /// `CapInh`, `CapPrm`, `CapEff` and `CapAmb`.
    capabilities: [u64; 4],
    no_new: bool,
}

fn privileges(status: &Path) -> Privileges {
    let status = fs::read_to_string(status).unwrap();
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let capabilities = ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"].map(value);
    Privileges { capabilities, no_new: value("NoNewPrivs:") == 1 }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn only_the_reader_keeps_two_capabilities() {
    needs_bpf!();
    /// CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE.
    const READER: u64 = 1 << 2 | 1 << 19;
    let dir = temp_dir();
    let file = dir.path().join("events");
    for options in [&[][..], &["--output", file.to_str().unwrap()]] {
        let tracer = Tracer::monitor(options);
        // After the first event, all threads have been started.
        fs::write(dir.path().join("a.pem"), &Material::get().certificate).unwrap();
        let pid = run(Command::new("cat").arg(dir.path().join("a.pem")));
        if options.is_empty() {
            tracer.all_of(pid);
        } else {
            // When the event is printed, the reader has closed the file.
            let named = format!("\"pid\":{pid},");
            until("the event", || {
                fs::read_to_string(&file).ok().filter(|text| text.contains(&named))
            });
        }
        let nothing = Privileges { capabilities: [0; 4], no_new: true };
        let tasks = fs::read_dir(format!("/proc/{}/task", tracer.pid())).unwrap();
        let mut threads = 0;
        for task in tasks {
            let status = task.unwrap().path().join("status");
            assert_eq!(privileges(&status), nothing, "{}", fs::read_to_string(&status).unwrap());
            threads += 1;
        }
        assert!(threads >= 3, "fewer threads than main, signals and the plugins' ticker");
        // The opener of the output.
        let is_opener = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "crypto-tracer-o\n"
        };
        let (openers, spawners): (Vec<u32>, Vec<u32>) =
            children(tracer.pid()).into_iter().partition(is_opener);
        assert_eq!(openers.len(), usize::from(!options.is_empty()));
        for pid in openers {
            // It sets the group of new files.
            let chown = Privileges { capabilities: [0, 1, 1, 0], no_new: true };
            assert_eq!(privileges(Path::new(&format!("/proc/{pid}/status"))), chown);
        }
        let readers: Vec<u32> = spawners.iter().copied().flat_map(children).collect();
        assert_eq!((spawners.len(), readers.len()), (1, 1));
        let two = Privileges { capabilities: [0, READER, READER, 0], no_new: true };
        for pid in spawners.into_iter().chain(readers) {
            let of = |path: &str| PathBuf::from(format!("/proc/{pid}/{path}"));
            assert_eq!(privileges(&of("status")), two);
            // It has no descriptor of the tracer's output, so a process that waits for the end of the output does not
            // wait for a blocked reader. It may still have files of /proc open.
            until("an idle reader", || {
                let open = fs::read_dir(of("fd")).unwrap();
                let open: Vec<_> =
                    open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()).collect();
                let null = open.iter().filter(|path| path.as_os_str() == "/dev/null").count();
                let sockets =
                    open.iter().filter(|path| path.to_string_lossy().starts_with("socket:"));
                ((open.len(), null, sockets.count()) == (4, 3, 1)).then_some(())
            });
        }
        tracer.finish();
    }
}
