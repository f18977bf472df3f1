//! `doctor`: reports what this kernel and these privileges allow, without tracing.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use crypto_tracer_common::record::{ARGS_MAX, PATH_MAX};

use super::capture::{RING_BYTES, capture_failure};
use super::document::{self, failed};
use super::setup;
use crate::cli::{self, DocumentOutput, PluginArgs};
use crate::config::Config;
use crate::error::Failure;
use crypto_tracer_capture::{self as capture, Preemption, RungSurvey, Survey, SurveyRequest};
use crypto_tracer_event::interest::{MAX_LIBRARIES, MAX_NAMES, MAX_PREFIXES, MAX_SUFFIXES};
use crypto_tracer_output::NewFile;
use crypto_tracer_output::document::{
    CapabilityReport, ConfinedProcess, ConfinementReport, DoctorReport, KernelReport, PidNamespace,
    ProbeReport, ProgramReport, RunLimits,
};
use crypto_tracer_pipeline::enrich::MAX_PROCESSES;
use crypto_tracer_plugin::Trust;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::confine;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::seccomp::{self, Role};
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;

/// Interval of the checks for a shutdown request.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Tests all probes and prints the results. The exit code is that of `monitor`.
pub(super) fn doctor(arguments: &cli::DoctorArgs, console: Console) -> Result<(), Failure> {
    let shutdown = Shutdown::default();
    let _signals =
        Signals::start(shutdown.clone()).context("cannot handle signals").map_err(failed)?;
    let print = DocumentOutput { output: arguments.output.clone(), format: arguments.format };
    document::check(&print)?;
    let configured = configured(arguments, &shutdown);
    let (capture, new) = match &configured {
        Ok((config, new)) => (config.capture.clone(), *new),
        Err(_) => Default::default(),
    };
    let ring_bytes = capture.ring_bytes.unwrap_or(RING_BYTES);
    let request =
        SurveyRequest { ring_bytes, probe: arguments.probe.clone().or(capture.open_probe) };
    let survey = if shutdown.is_requested() { None } else { survey(request, &shutdown)? };
    let Some(mut survey) = survey else {
        console.info("nothing is printed: shutdown was requested");
        return Ok(());
    };
    // A run reads its configuration first.
    let refused = survey.refused.take().map(capture_failure);
    let failure = configured.err().or(refused);
    // Only files of the caller are opened from here on.
    confine::drop_to_invoker().map_err(failed)?;
    let report = report(survey, failure.as_ref(), ring_bytes);
    if let Some(target) = document::target(&print, new, &shutdown)? {
        document::print(&report, &print, target, &shutdown)?;
    }
    failure.map_or(Ok(()), Err)
}

/// Tests all probes on a separate thread, so that a slow verifier does not delay a shutdown. Returns `None` if a shutdown
/// is requested: the kernel detaches the probes when this process ends.
fn survey(request: SurveyRequest, shutdown: &Shutdown) -> Result<Option<Survey>, Failure> {
    let (sender, result) = mpsc::channel();
    let thread = std::thread::Builder::new().name("survey".to_owned());
    let thread = thread.spawn(move || {
        let _ = sender.send(capture::survey(&request));
    });
    thread.context("cannot start a thread").map_err(failed)?;
    loop {
        match result.recv_timeout(POLL_INTERVAL) {
            Ok(survey) => return Ok(Some(survey)),
            Err(RecvTimeoutError::Timeout) if !shutdown.is_requested() => {}
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(failed(anyhow!("cannot test the probes")));
            }
        }
    }
}

/// Reads the configuration and the plugins, as `monitor` does before it traces.
fn configured(
    arguments: &cli::DoctorArgs,
    shutdown: &Shutdown,
) -> Result<(Config, NewFile), Failure> {
    let arguments = PluginArgs {
        classifier: Vec::new(),
        redactor: Vec::new(),
        filter: Vec::new(),
        inspector: Vec::new(),
        config: arguments.config.clone(),
    };
    capture::check_user_namespace().map_err(capture_failure)?;
    let trust = Trust::of_this_process();
    let config = setup::config(&arguments, &trust)?;
    setup::plugins(&arguments, &config, &trust, shutdown, &Clock::system(), true)?;
    let new = setup::new_file(&config)?;
    Ok((config, new))
}

fn report(survey: Survey, failure: Option<&Failure>, ring_bytes: u32) -> DoctorReport {
    let chosen = survey.rungs.iter().filter(|rung| rung.chosen);
    let blind_spots = chosen.flat_map(|rung| &rung.cannot_see);
    let cannot_see = blind_spots.map(|blind_spot| blind_spot.what.to_string()).collect();
    let capabilities = survey.capabilities.into_iter().map(|capability| {
        let capture::Capability { name, held, needed_for } = capability;
        CapabilityReport { name, held, needed_for }
    });
    DoctorReport {
        doctor_version: "1.0",
        generated_at: DoctorReport::format_time(Clock::system().now()),
        program_version: env!("CARGO_PKG_VERSION"),
        ready: failure.is_none(),
        exit_code: failure.map_or(0, |failure| failure.code as u8),
        reason: failure.map(|failure| format!("{:#}", failure.error)),
        cannot_see,
        kernel: KernelReport {
            release: survey.release,
            preemption: match survey.preemption {
                Preemption::Chosen => "chosen",
                Preemption::Full => "full",
                Preemption::Unknown => "unknown",
            },
            btf_bytes: survey.btf_bytes,
            lockdown: survey.lockdown,
            security_modules: survey.security_modules,
        },
        capabilities: capabilities.collect(),
        confinement: confinement(),
        pid_namespace: PidNamespace {
            initial: survey.pid_namespace_limit.is_none(),
            note: survey.pid_namespace_limit,
        },
        limits: RunLimits {
            ring_bytes,
            path_bytes: PATH_MAX,
            cmdline_bytes: ARGS_MAX,
            suffixes: MAX_SUFFIXES,
            file_names: MAX_NAMES,
            file_prefixes: MAX_PREFIXES,
            libraries: MAX_LIBRARIES,
            processes: MAX_PROCESSES,
            followed: capture::MAX_FOLLOWED,
        },
        probes: survey.rungs.into_iter().map(probe).collect(),
    }
}

/// The restrictions that a run applies on this kernel.
fn confinement() -> ConfinementReport {
    let process = |(role, process, capabilities, writes): (Role, _, &[&'static str], _)| {
        let (capabilities, system_calls) = (capabilities.to_vec(), role.allowed_calls());
        ConfinedProcess { process, capabilities, system_calls, writes }
    };
    let processes = [
        (Role::Main, "main", &[][..], "the open output; the folder of a document"),
        (Role::Reader, "reader", &["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"], "nothing"),
        (
            Role::Opener,
            "opener",
            &["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"],
            "the path of --output, which it opens again on SIGHUP",
        ),
    ];
    ConfinementReport {
        seccomp: seccomp::is_available(),
        landlock: confine::landlock_version(),
        processes: processes.map(process).into(),
    }
}

fn probe(rung: RungSurvey) -> ProbeReport {
    let works = rung.refused.is_none();
    let program = |(name, verified_instructions)| ProgramReport { name, verified_instructions };
    ProbeReport {
        purpose: rung.purpose,
        name: rung.name,
        works,
        chosen: rung.chosen,
        reason: rung.refused.or(rung.unfit.map(str::to_owned)),
        remedy: rung.remedy,
        cannot_see: rung.cannot_see.into_iter().map(|spot| spot.what.into_owned()).collect(),
        costs: rung.overhead,
        hooks: rung.hooks,
        programs: rung.programs.into_iter().map(program).collect(),
    }
}
