//! The kernel side of a run: which filters it gets, and what the start prints about it.

use super::run_request::RunRequest;
use crate::config::Config;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_capture::{self as capture, Source};
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::counted::counted;
use crypto_tracer_pipeline::select::{COMM_BYTES, Select};
use crypto_tracer_plugin::Plugins;
use crypto_tracer_reader::ReaderClient;

/// Size of the ring buffer in bytes. It holds more than 100 ms of events at full speed; the writer's buffer is another
/// 2 MiB.
pub(super) const RING_BYTES: u32 = 8 << 20;

/// Attaches the kernel side, with those filters that it can apply.
pub(super) fn start(
    run: &RunRequest<'_>,
    select: &Select,
    plugins: &Plugins,
    reader: &ReaderClient,
    config: &Config,
) -> Result<Source, Failure> {
    let comm = select.names.iter().find(|name| name.len() <= COMM_BYTES).cloned();
    let comm = comm.filter(|_| run.names_in_kernel);
    let probe = named_probe(run, config).map(str::to_owned);
    let options = capture::CaptureOptions {
        interest: plugins.interest(),
        kinds: EventKinds {
            open: select.kinds.open && select.libraries.is_empty(),
            load: select.kinds.load && select.files.is_empty(),
            // Always: the executable of later events comes from the exec.
            exec: true,
            // Always: it ends what is remembered of a process.
            exit: true,
            // Always: a child that executes nothing has its parent's executable.
            fork: true,
        },
        pid: run.trace.processes.watched.pid.first().copied(),
        follow_children: run.trace.processes.watched.follow_children,
        comm,
        ring_bytes: config.capture.ring_bytes.unwrap_or(RING_BYTES),
        probe,
        own: reader.pids().into_iter().chain([std::process::id()]).collect(),
    };
    Source::start(&options).map_err(refused)
}

/// The failure of the kernel side, with its exit code.
pub(super) fn refused(error: capture::Error) -> Failure {
    let code = match error.exit_code() {
        2 => ExitStatus::Usage,
        3 => ExitStatus::Privileges,
        4 => ExitStatus::Kernel,
        _ => ExitStatus::Probe,
    };
    Failure::new(code, error)
}

/// The probe for opens and loads that the operator named.
fn named_probe<'a>(run: &'a RunRequest<'_>, config: &'a Config) -> Option<&'a str> {
    run.capture.probe.as_deref().or(config.capture.open_probe.as_deref())
}

/// Prints which plugins run, which probes are attached, and what they cannot see.
pub(super) fn announce(source: &Source, plugins: &Plugins, config: &Config, run: &RunRequest<'_>) {
    for plugin in plugins.running() {
        run.console.detail(format_args!("plugin {plugin}"));
    }
    for probe in source.attached() {
        for unseen in &probe.cannot_see {
            run.console.detail(format_args!("{} cannot see {}", probe.probe, unseen.what));
        }
        if let Some(costs) = probe.costs {
            run.console.detail(format_args!("{} costs {costs}", probe.probe));
        }
    }
    if let Some(outside) = source.outside() {
        run.console.info(outside);
    }
    let hooks: Vec<&str> = source.attached().iter().map(|probe| probe.hook.as_str()).collect();
    let spots = source.attached().iter().map(|probe| probe.cannot_see.len()).sum();
    let doctor = doctor(named_probe(run, config));
    run.console.info(format_args!("ready: {}; {}", hooks.join(", "), blind_spots(spots, &doctor)));
}

/// How many things the probes cannot see, and where they are listed.
fn blind_spots(count: usize, doctor: &str) -> String {
    match count {
        0 => "no blind spots".to_owned(),
        count => format!("{} (see '{doctor}')", counted(count, "blind spot")),
    }
}

/// The command that judges the same probes.
fn doctor(probe: Option<&str>) -> String {
    let probe = probe.map(|name| format!(" --probe {name}")).unwrap_or_default();
    format!("crypto-tracer doctor{probe}")
}

#[cfg(test)]
mod tests {
    use super::{RING_BYTES, blind_spots, doctor};
    use crypto_tracer_output::BUFFER_BYTES;

    #[test]
    fn the_start_says_how_much_is_not_seen_and_where_that_is_listed() {
        let doctor = doctor(Some("tp_btf"));
        assert_eq!(blind_spots(0, &doctor), "no blind spots");
        assert_eq!(
            blind_spots(1, &doctor),
            "1 blind spot (see 'crypto-tracer doctor --probe tp_btf')"
        );
        let doctor = super::doctor(None);
        assert_eq!(blind_spots(3, &doctor), "3 blind spots (see 'crypto-tracer doctor')");
    }

    #[test]
    fn events_have_ten_megabytes_between_kernel_and_output() {
        assert_eq!((RING_BYTES, BUFFER_BYTES), (8 << 20, 2 << 20));
    }
}
