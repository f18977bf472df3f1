//! Starts the kernel side of a run, and prints its probes.

use super::run_request::RunRequest;
use crate::config::Config;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_capture::{self as capture, Source};
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::counted::counted;
use crypto_tracer_pipeline::select::{COMM_BYTES, Select};
use crypto_tracer_plugin::Plugins;
use crypto_tracer_reader::ReaderClient;

/// Size of the ring buffer in bytes: more than 100 ms of events at full speed. The writer's buffer adds 2 MiB.
pub(super) const RING_BYTES: u32 = 8 << 20;

/// Attaches the kernel side, with the filters that it can apply. `pid_started`: the start time of the process of `--pid`.
pub(super) fn start(
    run: &RunRequest<'_>,
    select: &Select,
    plugins: &Plugins,
    reader: &ReaderClient,
    config: &Config,
    pid_started: Option<u64>,
) -> Result<Source, Failure> {
    let comm = select.names.iter().find(|name| name.len() <= COMM_BYTES).cloned();
    // An ancestor may have any name, so its forks and execs are needed too.
    let comm = comm.filter(|_| run.names_in_kernel && !plugins.asks_for_ancestors());
    let probe = named_probe(run, config).map(str::to_owned);
    let options = capture::CaptureOptions {
        interest: plugins.interest(),
        kinds: EventKinds {
            open: select.kinds.open && select.libraries.is_empty(),
            load: select.kinds.load && select.files.is_empty(),
            // The others are always captured: an exec has the executable of later events, a fork that of the child, and an
            // exit ends the tracking of a process.
            ..EventKinds::ALL
        },
        pid: run.trace.processes.watched.pid.first().copied(),
        pid_started,
        follow_children: run.trace.processes.watched.follow_children,
        comm,
        ring_bytes: config.capture.ring_bytes.unwrap_or(RING_BYTES),
        limit_floods: config.capture.flood.unwrap_or(true),
        probe,
        excluded_pids: reader.pids().into_iter().chain([std::process::id()]).collect(),
    };
    Source::start(&options).map_err(capture_failure)
}

/// Converts an error of the kernel side to a failure with its exit code.
pub(super) fn capture_failure(error: capture::Error) -> Failure {
    let code = match error.exit_code() {
        2 => ExitStatus::Usage,
        3 => ExitStatus::Privileges,
        4 => ExitStatus::Kernel,
        _ => ExitStatus::Probe,
    };
    Failure::new(code, error)
}

/// Returns the probe for opens and loads that the arguments or the configuration name.
fn named_probe<'a>(run: &'a RunRequest<'_>, config: &'a Config) -> Option<&'a str> {
    run.capture.probe.as_deref().or(config.capture.open_probe.as_deref())
}

/// Prints the running plugins, the attached probes and their blind spots.
pub(super) fn announce(source: &Source, plugins: &Plugins, config: &Config, run: &RunRequest<'_>) {
    for plugin in plugins.running() {
        run.console.detail(format_args!("plugin {plugin}"));
    }
    for probe in source.attached() {
        for blind_spot in &probe.cannot_see {
            run.console.detail(format_args!("{} cannot see {}", probe.rung, blind_spot.what));
        }
        if let Some(costs) = probe.overhead {
            run.console.detail(format_args!("{} costs {costs}", probe.rung));
        }
    }
    if let Some(outside) = source.pid_namespace_limit() {
        run.console.info(outside);
    }
    let hooks: Vec<&str> = source.attached().iter().map(|probe| probe.hook.as_str()).collect();
    let spots = source.attached().iter().map(|probe| probe.cannot_see.len()).sum();
    let doctor = doctor(named_probe(run, config));
    run.console.info(format_args!("ready: {}; {}", hooks.join(", "), blind_spots(spots, &doctor)));
}

/// Describes the number of blind spots, and the command that lists them.
fn blind_spots(count: usize, doctor: &str) -> String {
    match count {
        0 => "no blind spots".to_owned(),
        count => format!("{} (see '{doctor}')", counted(count, "blind spot")),
    }
}

/// Returns the `doctor` command for the same probes.
fn doctor(probe: Option<&str>) -> String {
    let probe = probe.map(|name| format!(" --probe {name}")).unwrap_or_default();
    format!("crypto-tracer doctor{probe}")
}

#[cfg(test)]
mod tests {
    use super::{RING_BYTES, blind_spots, doctor};
    use crypto_tracer_output::BUFFER_BYTES;

    #[test]
    fn the_number_of_blind_spots_comes_with_the_command_that_lists_them() {
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
    fn the_event_buffers_have_ten_megabytes() {
        assert_eq!((RING_BYTES, BUFFER_BYTES), (8 << 20, 2 << 20));
    }
}
