//! What is known of the processes that are there before a run.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::document::failed;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_capture::Source;
use crypto_tracer_event::ProcessKey;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_pipeline::Family;
use crypto_tracer_reader::{ExistingProcess, ReaderClient};
use crypto_tracer_system::console::Console;
use crypto_tracer_system::shutdown::Shutdown;

/// How long the look at `/proc` may take before the run starts without it.
const SCAN: Duration = Duration::from_secs(4);
/// How long where the run cannot do without it.
const SCAN_NEEDED: Duration = Duration::from_secs(10);
/// Time limit for the check of one `--pid`.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether `--pid` names anything at all.
pub(super) fn there(pid: u32) -> Result<(), Failure> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Another user's process answers that it may not be signalled: it is there.
    if raw.is_none_or(|raw| test_kill_process(raw) == Err(Errno::SRCH)) {
        return Err(failed(anyhow!("--pid {pid}: there is no such process")));
    }
    Ok(())
}

/// Refuses a `--pid` of which a run would never see anything. A process that `/proc` hides, or that blocks whoever reads its
/// files there, is accepted.
pub(super) fn check(
    pid: u32,
    reader: &mut ReaderClient,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    there(pid)?;
    match reader.unobservable(pid, Instant::now() + CHECK_TIMEOUT, shutdown) {
        Some(reason) => Err(failed(anyhow!("--pid {pid}: {reason}"))),
        None => Ok(()),
    }
}

/// All processes that are there already. `follow`: whose descendants are wanted is only to know from them. Of what
/// they have mapped, what somebody is interested in.
pub(super) fn scan(
    reader: &mut ReaderClient,
    interest: &Interest,
    follow: bool,
    shutdown: &Shutdown,
    console: Console,
) -> Result<Vec<ExistingProcess>, Failure> {
    let patience = if follow { SCAN_NEEDED } else { SCAN };
    let Some((seen, hidden)) = reader.scan(interest, Instant::now() + patience, shutdown) else {
        return unseen(follow, shutdown, console).map(|()| Vec::new());
    };
    if hidden > 0 {
        let processes = counted(hidden, "process");
        console.error(format_args!("cannot read {processes}: earlier libraries are unknown"));
    }
    Ok(seen)
}

/// Names to the kernel side all that descend from this process already; those that they make from then on it finds by
/// itself. Whoever is made between a look and the naming of its parent is found by the next look: until there is nobody.
pub(super) fn follow(
    pids: &[u32],
    source: &mut Source,
    reader: &mut ReaderClient,
    shutdown: &Shutdown,
    console: Console,
) -> Result<(), Failure> {
    let until = Instant::now() + SCAN_NEEDED;
    loop {
        let Some(kin) = reader.kin(until, shutdown) else { return unseen(true, shutdown, console) };
        let children: Vec<(u32, u32)> = kin.iter().map(|one| (one.ppid, one.pid)).collect();
        let family = Family::of(pids, &children);
        let members = kin.iter().filter(|one| family.has(one.pid));
        let keys: Vec<ProcessKey> = members
            .filter_map(|one| Some(ProcessKey { tgid: one.pid, start_ns: one.start_ns? }))
            .collect();
        let named = source.follow(&keys).map_err(|error| Failure::new(ExitStatus::Probe, error))?;
        if named == 0 {
            return Ok(());
        }
    }
}

/// The look took too long: a run that cannot do without it does not start.
fn unseen(follow: bool, shutdown: &Shutdown, console: Console) -> Result<(), Failure> {
    // Then it was given up because of that.
    if shutdown.is_requested() {
        return Ok(());
    }
    if follow {
        return Err(failed(anyhow!(
            "--follow-children: /proc could not be read in time, so the descendants are not known"
        )));
    }
    console
        .error("/proc could not be read in time: what processes had before the start is not known");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_system::console::Verbosity;

    #[test]
    fn descendants_that_are_not_known_are_a_failure() {
        let (shutdown, console) = (Shutdown::default(), Console(Verbosity::Quiet));
        assert!(unseen(false, &shutdown, console).is_ok());
        let said = format!("{:#}", unseen(true, &shutdown, console).unwrap_err().error);
        assert!(said.contains("--follow-children") && said.contains("/proc"), "{said}");
        shutdown.request();
        assert!(unseen(true, &shutdown, console).is_ok(), "asked to end, it ends");
    }
}
