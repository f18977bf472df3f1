//! The file of `--output` is opened again on SIGHUP at its path, also where a link or a new folder leads elsewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crypto_tracer_tests::{Tracer, needs_bpf, run, trusted_dir, until};

crypto_tracer_tests::tests![output_behind_a_link_is_reopened, output_in_a_new_folder_is_reopened];

/// Runs a process, and waits until its events are in the file.
fn wait_for_events(file: &Path) {
    let pid = run(&mut Command::new("true"));
    let field = format!("\"pid\":{pid},");
    until(&format!("events in {}", file.display()), || {
        fs::read_to_string(file).is_ok_and(|text| text.contains(&field)).then_some(())
    });
}

fn reload(tracer: &Tracer) {
    let reloads = || tracer.said().iter().filter(|line| line.contains("reloaded: ")).count();
    let before = reloads();
    tracer.signal(libc::SIGHUP);
    until("the reload", || (reloads() > before).then_some(()));
    let unchanged = tracer.said().into_iter().find(|line| line.contains("output is unchanged"));
    assert_eq!(unchanged, None);
}

fn start(output: &Path) -> Tracer {
    let mut command = Command::new("setsid");
    command.arg(crypto_tracer_tests::program()).args(["monitor", "--output"]).arg(output);
    Tracer::start(command)
}

fn output_behind_a_link_is_reopened() {
    needs_bpf!();
    let (dir, elsewhere) = (trusted_dir(), trusted_dir());
    let (link, real) = (dir.path().join("out.json"), elsewhere.path().join("real.json"));
    symlink(&real, &link).unwrap();
    let tracer = start(&link);
    wait_for_events(&real);
    fs::rename(&real, elsewhere.path().join("real.json.1")).unwrap();
    reload(&tracer);
    wait_for_events(&real);
    // The link leads to another folder from now on.
    let third = trusted_dir();
    let other = third.path().join("other.json");
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    reload(&tracer);
    wait_for_events(&other);
    tracer.finish();
}

fn output_in_a_new_folder_is_reopened() {
    needs_bpf!();
    let dir = trusted_dir();
    let folder = dir.path().join("log");
    fs::create_dir(&folder).unwrap();
    let output = folder.join("out.json");
    let tracer = start(&output);
    wait_for_events(&output);
    fs::rename(&folder, dir.path().join("log.old")).unwrap();
    fs::create_dir(&folder).unwrap();
    reload(&tracer);
    wait_for_events(&output);
    tracer.finish();
}
