//! `doctor`: what this kernel and these privileges allow, without tracing.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use crypto_tracer_common::record::{ARGS_MAX, PATH_MAX};

use super::capture::{RING_BYTES, refused as refusal};
use super::document::{self, failed};
use super::setup;
use crate::cli::{self, DocumentPrint, PluginArgs};
use crate::config::Config;
use crate::error::Failure;
use crypto_tracer_capture::{self as capture, Preemption, RungSurvey, Survey, SurveyRequest};
use crypto_tracer_event::interest::{MOST_LIBRARIES, MOST_NAMES, MOST_PREFIXES, MOST_SUFFIXES};
use crypto_tracer_output::NewFile;
use crypto_tracer_output::document::{
    CapabilityReport, DoctorReport, KernelReport, PidNamespace, ProbeReport, ProgramReport,
    RunLimits,
};
use crypto_tracer_pipeline::enrich::MOST_PROCESSES;
use crypto_tracer_plugin::Trust;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::confine;
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;

/// How often the wish to end is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Tries all probes and prints what came of it; ends as `monitor` would.
pub(super) fn doctor(arguments: &cli::DoctorArgs, console: Console) -> Result<(), Failure> {
    let shutdown = Shutdown::default();
    let _signals =
        Signals::start(shutdown.clone()).context("cannot take signals").map_err(failed)?;
    let print = DocumentPrint {
        output: arguments.output.clone(),
        format: arguments.format,
        no_redact: true,
    };
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
        console.info("nothing is printed: it was asked to end");
        return Ok(());
    };
    // A run reads its configuration first.
    let refused = survey.refused.take().map(refusal);
    let failure = configured.err().or(refused);
    // The rest is a matter of the caller's own files.
    confine::drop_to_invoker().map_err(failed)?;
    let told = tell(survey, failure.as_ref(), ring_bytes);
    if let Some(target) = document::target(&print, new, &shutdown)? {
        document::print(&told, &print, target, &shutdown)?;
    }
    failure.map_or(Ok(()), Err)
}

/// Tries all probes on a thread of its own: a verifier that takes long holds up no wish to end. None: there was one.
/// What is attached by then the kernel detaches when this process ends.
fn survey(request: SurveyRequest, shutdown: &Shutdown) -> Result<Option<Survey>, Failure> {
    let (done, result) = mpsc::channel();
    let tries = std::thread::Builder::new().name("survey".to_owned());
    let tries = tries.spawn(move || {
        let _ = done.send(capture::survey(&request));
    });
    tries.context("cannot start a thread").map_err(failed)?;
    loop {
        match result.recv_timeout(LOOK) {
            Ok(survey) => return Ok(Some(survey)),
            Err(RecvTimeoutError::Timeout) if !shutdown.is_requested() => {}
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(failed(anyhow!("the probes could not be tried")));
            }
        }
    }
}

/// What `monitor` reads before it traces: configuration and plugins.
fn configured(
    arguments: &cli::DoctorArgs,
    shutdown: &Shutdown,
) -> Result<(Config, NewFile), Failure> {
    let arguments = PluginArgs {
        classifier: Vec::new(),
        redactor: Vec::new(),
        filter: Vec::new(),
        config: arguments.config.clone(),
    };
    capture::check_user_namespace().map_err(refusal)?;
    let trust = Trust::of_this_process();
    let config = setup::config(&arguments, &trust)?;
    setup::plugins(&arguments, &config, &trust, shutdown, &Clock::system())?;
    let new = setup::new_file(&config)?;
    Ok((config, new))
}

fn tell(survey: Survey, failure: Option<&Failure>, ring_bytes: u32) -> DoctorReport {
    let chosen = survey.rungs.iter().filter(|rung| rung.chosen);
    let unseen = chosen.flat_map(|rung| &rung.cannot_see).map(|unseen| unseen.what.to_string());
    let cannot_see = unseen.collect();
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
        pid_namespace: PidNamespace { initial: survey.outside.is_none(), note: survey.outside },
        limits: RunLimits {
            ring_bytes,
            path_bytes: PATH_MAX,
            cmdline_bytes: ARGS_MAX,
            suffixes: MOST_SUFFIXES,
            file_names: MOST_NAMES,
            file_prefixes: MOST_PREFIXES,
            libraries: MOST_LIBRARIES,
            processes: MOST_PROCESSES,
            followed: capture::FAMILY_ROOM,
        },
        probes: survey.rungs.into_iter().map(probe).collect(),
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
        cannot_see: rung.cannot_see.into_iter().map(|unseen| unseen.what.into_owned()).collect(),
        costs: rung.costs,
        hooks: rung.hooks,
        programs: rung.programs.into_iter().map(program).collect(),
    }
}
