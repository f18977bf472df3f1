//! Faults around a run: killed and stopped processes, a deleted output, few descriptors.

use std::fs;
use std::path::Path;
use std::process::Command;

use crypto_tracer_tests::{Tracer, needs_bpf, program, run, temp_dir, until};

crypto_tracer_tests::tests![
    killed_tracer_leaves_no_process_and_no_probe,
    killed_helper_does_not_end_the_run,
    stopped_tracer_reports_what_happened_meanwhile,
    deleted_output_does_not_end_the_run,
    few_descriptors_suffice,
];

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    children.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: the call accesses no memory. The process is of this test's run.
    unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) };
}

/// Whether a process exists and is not a zombie.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// Number of the kernel's BPF links and programs of this program. They end with the descriptors of a run.
fn bpf_descriptors(pid: u32) -> usize {
    let fds = fs::read_dir(format!("/proc/{pid}/fd"));
    let links = fds.into_iter().flatten().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("bpf")).count()
}

fn wait_for_exec(tracer: &Tracer) {
    let pid = run(&mut Command::new("true"));
    tracer.all_of(pid);
}

fn killed_tracer_leaves_no_process_and_no_probe() {
    needs_bpf!();
    let dir = temp_dir();
    let output = dir.path().join("events");
    let tracer = Tracer::monitor(["--output", output.to_str().unwrap()]);
    let helpers = children(tracer.pid());
    let all: Vec<u32> =
        helpers.iter().copied().chain(helpers.iter().copied().flat_map(children)).collect();
    assert_eq!(all.len(), 3, "spawner, reader and opener");
    assert!(bpf_descriptors(tracer.pid()) > 0);
    for &helper in &all {
        assert_eq!(bpf_descriptors(helper), 0, "{helper} would keep probes attached");
    }
    signal(tracer.pid(), libc::SIGKILL);
    until("the end of the helpers", || (!all.iter().any(|&pid| is_running(pid))).then_some(()));
    drop(tracer);
    let next = Tracer::monitor::<&str>([]);
    wait_for_exec(&next);
    next.finish();
}

fn killed_helper_does_not_end_the_run() {
    needs_bpf!();
    let dir = temp_dir();
    let output = dir.path().join("events");
    let tracer = Tracer::monitor(["--output", output.to_str().unwrap()]);
    let written = |pid: u32| {
        let field = format!("\"pid\":{pid},");
        until("the events of a process", || {
            fs::read_to_string(&output).is_ok_and(|text| text.contains(&field)).then_some(())
        });
    };
    let helpers = children(tracer.pid());
    let readers: Vec<u32> = helpers.iter().copied().flat_map(children).collect();
    for victim in readers.into_iter().chain(helpers) {
        signal(victim, libc::SIGKILL);
        until("the end of the helper", || (!is_running(victim)).then_some(()));
        written(run(&mut Command::new("true")));
    }
    tracer.finish();
}

/// The ring holds the events until the tracer continues.
fn stopped_tracer_reports_what_happened_meanwhile() {
    needs_bpf!();
    let tracer = Tracer::monitor::<&str>([]);
    wait_for_exec(&tracer);
    tracer.signal(libc::SIGSTOP);
    until("the stop", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", tracer.pid())).unwrap();
        stat.rsplit(')').next().unwrap().starts_with(" T").then_some(())
    });
    let pids: Vec<u32> = (0..50).map(|_| run(&mut Command::new("true"))).collect();
    tracer.signal(libc::SIGCONT);
    for pid in pids {
        let kinds: Vec<String> =
            tracer.all_of(pid).iter().map(|event| event.kind().to_owned()).collect();
        assert!(kinds.iter().any(|kind| kind == "process_exec"), "{pid}: {kinds:?}");
    }
    assert_eq!(tracer.finish().summary().lost, 0);
}

fn deleted_output_does_not_end_the_run() {
    needs_bpf!();
    let dir = temp_dir();
    let output = dir.path().join("events");
    let tracer = Tracer::monitor(["--output", output.to_str().unwrap()]);
    let has_events = |path: &Path| fs::metadata(path).is_ok_and(|found| found.len() > 0);
    run(&mut Command::new("true"));
    until("the first events", || has_events(&output).then_some(()));
    fs::remove_file(&output).unwrap();
    run(&mut Command::new("true"));
    let ended = tracer.finish();
    assert!(!output.exists());
    assert!(ended.summary().shown > 0, "{:?}", ended.said);
}

fn few_descriptors_suffice() {
    needs_bpf!();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 128 && exec \"$0\" monitor"]).arg(program());
    let tracer = Tracer::start(command);
    wait_for_exec(&tracer);
    tracer.finish();
}
