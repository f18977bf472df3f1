//! The first start of the program: its messages, and its checks of configuration, kernel and patterns.

crypto_tracer_tests::tests![
    resource_use_before_exec_is_not_counted,
    first_line_is_short_and_counts_blind_spots,
    missing_default_configuration_is_accepted,
    kernel_is_accepted_by_features_not_version,
    glob_that_begins_with_a_link_causes_a_warning,
    glob_below_an_unresponsive_mount_does_not_block,
];

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crypto_tracer_tests::{
    actor, fuse_device, is_root, needs_bpf, output, program, skip, temp_dir, trusted_dir, workspace,
};

const BTF: &str = "/sys/kernel/btf/vmlinux";

fn recording() -> PathBuf {
    workspace().join("tests/fixtures/recordings/every-event.rec")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns the processor time in seconds and the peak memory in MiB of the last line.
fn resource_use(output: &Output) -> (f64, f64) {
    let stderr = stderr(output);
    let last = stderr.lines().last().unwrap();
    let (before, peak) = last.split_once(" s of processor time, peak ").unwrap();
    let seconds = before.rsplit(' ').next().unwrap();
    (seconds.parse().unwrap(), peak.split(' ').next().unwrap().parse().unwrap())
}

/// The resource use excludes what the process used before it executed the tracer, as with `cargo run`.
fn resource_use_before_exec_is_not_counted() {
    let plain =
        output(Command::new(program()).arg("replay").arg(recording()).args(["-o", "/dev/null"]));
    // Uses two seconds of processor time and over 200 MiB, then executes the tracer in the same process.
    let script = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); x=$x$x; \
        i=0; while [ $i -lt 1500000 ]; do i=$((i+1)); done; \
        read -r before < /proc/$$/stat; echo \"before: $before\" >&2; \
        exec \"$0\" replay \"$1\" -o /dev/null";
    let after = output(Command::new("sh").args(["-c", script]).arg(program()).arg(recording()));
    let ((cpu, peak), (exec_cpu, exec_peak)) = (resource_use(&plain), resource_use(&after));
    let text = stderr(&after);
    let before = text.lines().find_map(|line| line.strip_prefix("before: ")).unwrap();
    let fields: Vec<&str> = before.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    // Fields 14 and 15 of proc(5): user and system time in hundredths of a second.
    let burnt = (ticks(11) + ticks(12)) / 100.0;
    assert!(burnt > 0.5, "the shell used only {burnt} s");
    assert!(exec_cpu < cpu * 2.0 + burnt / 2.0, "{exec_cpu} s, including {burnt} s before exec");
    assert!(exec_peak < peak + 60.0, "{exec_peak} MiB instead of {peak}");
}

fn first_line_is_short_and_counts_blind_spots() {
    needs_bpf!();
    for probe in [&[][..], &["--probe", "tp_btf"]] {
        let arguments = [&["monitor", "-d", "1", "-o", "/dev/null"], probe].concat();
        let run = stderr(&output(Command::new(program()).args(arguments)));
        let ready = run.lines().find(|line| line.contains("ready: ")).unwrap();
        assert!(ready.len() < 250, "{} characters: {ready}", ready.len());
        let doctor = output(Command::new(program()).arg("doctor").args(probe));
        let text = String::from_utf8(doctor.stdout).unwrap();
        let listed = text.lines().filter(|line| line.starts_with("  it cannot see ")).count();
        let spots = match listed {
            0 => "no blind spots".to_owned(),
            1 => "1 blind spot (see 'crypto-tracer doctor".to_owned(),
            several => format!("{several} blind spots (see 'crypto-tracer doctor"),
        };
        assert!(ready.contains(&spots), "{ready}, but doctor lists {listed}: {text}");
    }
}

/// Runs `replay` with this folder as `XDG_CONFIG_HOME`.
fn with_config_home(home: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    command.env("XDG_CONFIG_HOME", home).arg("replay").arg(recording()).args(["-o", "/dev/null"]);
    let output = output(&mut command);
    (output.status.code(), stderr(&output))
}

fn missing_default_configuration_is_accepted() {
    if !is_root() {
        skip("only root distrusts the files of other users");
    }
    let dir = temp_dir();
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let make = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.join("crypto-tracer")).unwrap();
        path
    };
    let open = make("open");
    chmod(&open, 0o777);
    let below = make("below");
    chmod(&below.join("crypto-tracer"), 0o777);
    let sticky = make("sticky");
    chmod(&sticky, 0o1777);
    let group = make("group");
    chmod(&group, 0o775);
    let foreign = make("foreign");
    std::os::unix::fs::chown(&foreign, Some(65_534), Some(65_534)).unwrap();
    let dangling = make("dangling");
    chmod(&dangling, 0o777);
    symlink("nowhere", dangling.join("crypto-tracer/config.toml")).unwrap();
    let linked = dir.path().join("linked");
    symlink(&open, &linked).unwrap();
    let no_folder = dir.path().join("no-folder");
    fs::write(&no_folder, "").unwrap();
    chmod(&no_folder, 0o666);
    let missing = dir.path().join("missing/deep");
    let homes = [open, below, sticky, group, foreign, dangling, linked, no_folder, missing];
    for home in &homes {
        let (code, stderr) = with_config_home(home);
        assert_eq!(code, Some(0), "{}: {stderr}", home.display());
    }
    // A configuration that exists in such a folder is not trusted.
    for home in homes.iter().filter(|home| home.join("crypto-tracer").is_dir()) {
        let file = home.join("crypto-tracer/config.toml");
        let _ = fs::remove_file(&file);
        fs::write(&file, "").unwrap();
        chmod(&file, 0o644);
        let (code, stderr) = with_config_home(home);
        assert_eq!(code, Some(2), "{}: {stderr}", home.display());
    }
    // A configuration that `--config` names must exist; the message says that it does not.
    let named = output(
        Command::new(program())
            .args(["replay", "--config"])
            .arg(dir.path().join("open/none.toml"))
            .arg(recording()),
    );
    assert!(named.status.code() == Some(2) && stderr(&named).contains("No such file"), "{named:?}");
}

/// Runs the program with another kernel release and, if `btf` is given, with other kernel types.
fn on_a_kernel(btf: Option<&Path>, arguments: &[&str]) -> Output {
    let script = match btf {
        Some(_) => format!("mount --bind \"$1\" {BTF} || exit 99; shift; exec \"$@\""),
        None => "shift; exec \"$@\"".to_owned(),
    };
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(btf.unwrap_or(Path::new("-")));
    // `--uname-2.6` changes the release of Linux 6.18 to 2.6.78.
    command.args(["setarch", "--uname-2.6"]).arg(program()).args(arguments);
    output(&mut command)
}

/// Writes a copy of the kernel's BTF in which the name of one helper is misspelt.
fn types_without(dir: &Path, name: &str) -> PathBuf {
    let mut bytes = fs::read(BTF).unwrap();
    let wanted = format!("\0BPF_FUNC_{name}\0").into_bytes();
    let at = bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
    bytes[at + wanted.len() - 2] = b'_';
    let path = dir.join(format!("without-{name}"));
    fs::write(&path, bytes).unwrap();
    path
}

fn kernel_is_accepted_by_features_not_version() {
    needs_bpf!();
    let dir = temp_dir();
    let name = on_a_kernel(None, &["doctor", "--format", "json-stream"]);
    let text = String::from_utf8(name.stdout.clone()).unwrap();
    assert!(text.contains("\"release\":\"2.6."), "the release is not changed: {text}");
    for btf in [None, Some(types_without(dir.path(), "trace_printk"))] {
        let run = on_a_kernel(btf.as_deref(), &["monitor", "-d", "1", "-o", "/dev/null"]);
        assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
        let doctor = on_a_kernel(btf.as_deref(), &["doctor"]);
        assert_eq!(doctor.status.code(), Some(0), "{doctor:?}");
    }
    for helper in ["loop", "ktime_get_boot_ns", "ringbuf_reserve", "get_current_task_btf"] {
        let btf = types_without(dir.path(), helper);
        let run = on_a_kernel(Some(&btf), &["monitor", "-d", "1", "-o", "/dev/null"]);
        assert_eq!(run.status.code(), Some(4), "{helper}: {}", stderr(&run));
        let lacks = format!("does not have the BPF helper bpf_{helper}");
        assert!(stderr(&run).contains(&lacks), "{helper}: {}", stderr(&run));
        let doctor = on_a_kernel(Some(&btf), &["doctor"]);
        let text = String::from_utf8(doctor.stdout).unwrap();
        assert_eq!(doctor.status.code(), Some(4), "{helper}: {text}");
        assert!(text.contains(&lacks) && text.contains("remedy: "), "{helper}: {text}");
    }
}

/// Returns the warning about this pattern, if the program prints one.
fn warning(pattern: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program());
    command.args(["files", "-d", "1", "-o", "/dev/null", "--file", pattern]).args(arguments);
    let output = output(&mut command);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let stderr = stderr(&output);
    let line = stderr.lines().find(|line| line.contains("symbolic link"))?;
    Some(line.to_owned())
}

fn glob_that_begins_with_a_link_causes_a_warning() {
    needs_bpf!();
    let dir = temp_dir();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("real[1]/deep")).unwrap();
    fs::write(root.join("real[1]/a.pem"), "").unwrap();
    symlink("real[1]", root.join("link")).unwrap();
    symlink("link/deep", root.join("twice")).unwrap();
    symlink("real[1]/a.pem", root.join("file.pem")).unwrap();
    let at = root.to_str().unwrap();
    for (pattern, right) in [
        ("link/*.pem", Some(r"real\[1\]/*.pem")),
        ("link/**", Some(r"real\[1\]/**")),
        ("link/{a,b}.pem", Some(r"real\[1\]/{a,b}.pem")),
        ("link/a.pem", Some(r"real\[1\]/a.pem")),
        ("link/missing/*.pem", Some(r"real\[1\]/missing/*.pem")),
        ("twice/x?.pem", Some(r"real\[1\]/deep/x?.pem")),
        ("file.pem", Some(r"real\[1\]/a.pem")),
        (r"real\[1\]/*.pem", None),
        ("lin*/a.pem", None),
        ("missing/*.pem", None),
        ("*.pem", None),
    ] {
        let warned = warning(&format!("{at}/{pattern}"), &[]);
        match right {
            Some(right) => {
                let warned = warned.unwrap();
                assert!(warned.ends_with(&format!("write '{at}/{right}'")), "{warned}");
            }
            None => assert_eq!(warned, None, "{pattern}"),
        }
    }
    assert_eq!(warning("*/link/*.pem", &[]), None, "the pattern has no fixed leading part");
}

/// The tracer does not look for links on a file system that may never answer.
fn glob_below_an_unresponsive_mount_does_not_block() {
    needs_bpf!();
    let dir = trusted_dir();
    let device = fuse_device(dir.path());
    let below = dir.path().join("root");
    fs::create_dir(&below).unwrap();
    let mut mount = actor!["fuse", "root", &device, &below];
    mount.go();
    assert_eq!(mount.line(), "open");
    symlink(&below, dir.path().join("link")).unwrap();
    for start in [below.clone(), dir.path().join("link")] {
        let begun = Instant::now();
        let run = output(
            Command::new("nsenter")
                .args(["-m", "-t", &mount.pid().to_string()])
                .arg(program())
                .args(["files", "-d", "1", "-o", "/dev/null", "--file"])
                .arg(format!("{}/hang.pem/deep/*.pem", start.display())),
        );
        assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
