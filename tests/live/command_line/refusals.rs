//! Refusals that need a tracer with all privileges, and a machine without a required feature.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crypto_tracer_tests::{actor, invalid_values, needs_bpf, program, refused, refused_arguments};

crypto_tracer_tests::tests![
    unknown_probes_are_refused,
    process_that_ends_during_the_start_is_handled,
    kernel_without_btf_is_refused
];

/// The list of probes is known only after the privileges have been checked.
fn unknown_probes_are_refused() {
    needs_bpf!();
    for value in invalid_values().iter().filter(|value| !value.is_empty()) {
        let mut arguments = ["monitor", "--duration", "1", "--probe"].map(OsStr::new).to_vec();
        arguments.push(value);
        refused_arguments(&arguments, &[2], &["--probe"]);
    }
}

fn process_that_ends_during_the_start_is_handled() {
    needs_bpf!();
    // The process exists when the option is checked, and may end before it is inspected. Either result is reported.
    for _ in 0..3 {
        let ended = actor!["threads", "1"];
        let pid = ended.pid().to_string();
        let mut command = Command::new(program());
        command.args(["profile", "--quiet", "--duration", "5", "--pid", &pid]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        ended.end();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => assert!(output.stdout.starts_with(b"{"), "{stderr}"),
            code => {
                assert_eq!(code, Some(1), "{stderr}");
                assert!(stderr.contains(&format!("--pid {pid}")), "{stderr}");
            }
        }
    }
}

fn kernel_without_btf_is_refused() {
    needs_bpf!();
    // In a new mount namespace with an empty /sys/kernel.
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            "mount -t tmpfs none /sys/kernel && exec \"$0\" monitor -d 1",
        ])
        .arg(program());
    refused(&mut command, 4, &["BTF", "/sys/kernel/btf/vmlinux"]);
}
