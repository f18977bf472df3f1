//! Installed files: completion scripts, the service, the program.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crypto_tracer_tests::{
    is_installed, needs_bpf, needs_program, output, program, temp_dir, workspace,
};
use serde_json::Value;

crypto_tracer_tests::tests![
    shells_accept_their_completions,
    systemd_accepts_the_unit,
    logrotate_accepts_the_rule,
    cargo_install_resolves_from_the_lock_file,
];

/// Maximum exposure level of the service in tenths, as systemd computes it: 0 is confined, 100 is unconfined.
const MAX_EXPOSURE: &str = "20";

fn all_of(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Each installed shell checks the syntax of its script.
fn shells_accept_their_completions() {
    let dir = temp_dir();
    let mut checked = 0;
    for shell in ["bash", "zsh", "fish"] {
        let script = output(Command::new(program()).args(["completions", shell]));
        assert_eq!(script.status.code(), Some(0));
        let path = dir.path().join(shell);
        fs::write(&path, script.stdout).unwrap();
        if is_installed(shell) {
            let read = output(Command::new(shell).arg("-n").arg(&path));
            assert!(read.status.success(), "{shell}: {}", all_of(&read));
            assert_eq!(all_of(&read), "", "{shell}");
            checked += 1;
        }
        // The check detects a truncated script.
        let text = fs::read_to_string(&path).unwrap();
        let half: String = text.chars().take(text.chars().count() / 2).collect();
        fs::write(&path, half + "\nif (\n").unwrap();
        if is_installed(shell) {
            assert!(!output(Command::new(shell).arg("-n").arg(&path)).status.success(), "{shell}");
        }
    }
    assert!(checked > 0, "no shell is installed");
}

/// Runs a script in a mount namespace that discards changes to the system.
fn run_isolated(script: &str) -> Output {
    let dir = temp_dir();
    let over = "set -eu; mkdir over; mount -t tmpfs none over
        for folder in etc usr/local var/log; do
            mkdir -p over/$folder/upper over/$folder/work
            mount -t overlay overlay \
                -o lowerdir=/$folder,upperdir=over/$folder/upper,workdir=over/$folder/work /$folder
        done\n";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &format!("{over}{script}")]);
    output(command.current_dir(dir.path()).env("ROOT", workspace()).env("PROGRAM", program()))
}

/// The unit is installed as in docs/service.md.
fn systemd_accepts_the_unit() {
    // Mounts need root, like the BPF programs.
    needs_bpf!();
    needs_program("systemd-analyze");
    needs_program("systemd-sysusers");
    let ended = run_isolated(&format!(
        "install -m 0755 \"$PROGRAM\" /usr/local/bin/crypto-tracer
        install -D -m 0644 $ROOT/dist/crypto-tracer.sysusers /etc/sysusers.d/crypto-tracer.conf
        install -D -m 0644 $ROOT/dist/crypto-tracer.service /etc/systemd/system/crypto-tracer.service
        install -D -m 0644 -t /usr/local/share/man/man1 $ROOT/docs/man/*.1
        systemd-sysusers /etc/sysusers.d/crypto-tracer.conf
        getent passwd crypto-tracer
        systemd-analyze verify --man=no /etc/systemd/system/crypto-tracer.service
        systemd-analyze security --offline=yes --threshold={MAX_EXPOSURE} \
            /etc/systemd/system/crypto-tracer.service"
    ));
    let printed = all_of(&ended);
    assert!(ended.status.success(), "{printed}");
    assert!(
        printed.contains("crypto-tracer:x:") && printed.contains("Overall exposure level"),
        "{printed}"
    );
    for wrong in ["Unknown", "ignoring", "not executable", "Failed"] {
        assert!(!printed.contains(wrong), "{printed}");
    }
}

fn logrotate_accepts_the_rule() {
    needs_bpf!();
    needs_program("logrotate");
    let ended = run_isolated(
        "useradd --system crypto-tracer
        install -d -o crypto-tracer -g crypto-tracer -m 0750 /var/log/crypto-tracer
        echo '{}' > /var/log/crypto-tracer/events.json
        chown crypto-tracer:crypto-tracer /var/log/crypto-tracer/events.json
        install -D -m 0644 $ROOT/dist/crypto-tracer.logrotate /etc/logrotate.d/crypto-tracer
        logrotate --debug --force /etc/logrotate.d/crypto-tracer",
    );
    let printed = all_of(&ended);
    assert!(ended.status.success(), "{printed}");
    assert!(printed.contains("considering log /var/log/crypto-tracer/events.json"), "{printed}");
    assert!(
        printed.contains("log needs rotating") && printed.contains("events.json.1"),
        "{printed}"
    );
    assert!(!printed.contains("error"), "{printed}");
}

/// `cargo install --path host --locked` takes minutes. This test checks its packages and its target without a build.
fn cargo_install_resolves_from_the_lock_file() {
    let manifest = workspace().join("host/Cargo.toml");
    let mut metadata = Command::new(env!("CARGO"));
    // On a new machine this downloads the packages that only the BPF programs need.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    metadata.args(["metadata", "--locked", "--format-version", "1"]);
    metadata.args(["--filter-platform", &platform]);
    let ended = output(metadata.arg("--manifest-path").arg(&manifest));
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let metadata: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let host = packages.iter().find(|package| package["name"] == "crypto-tracer").unwrap();
    assert_eq!(Path::new(host["manifest_path"].as_str().unwrap()), manifest);
    let programs: Vec<_> = host["targets"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|target| target["kind"] == serde_json::json!(["bin"]))
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    assert_eq!(programs, ["crypto-tracer"]);
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    assert!(readme.contains("cargo install --path host --locked"));
}
