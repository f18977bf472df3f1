//! Reload on SIGHUP: reopens the output, for logrotate, then reads the configuration and loads the plugins again.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::sync::oneshot;

use super::{Pipeline, StatusSchedule};
use crate::enrich::RunningProcess;
use crypto_tracer_capture::Source;
use crypto_tracer_output::{NewFile, OutputControl, Target};
use crypto_tracer_plugin::Plugins;
use crypto_tracer_system::console::Console;

/// Time limit for reading `/proc`. Events wait that long.
const RUNNING_TIMEOUT: Duration = Duration::from_millis(500);

/// Reopens the output file.
pub type Reopen = Box<dyn FnMut() -> anyhow::Result<Target>>;
/// Reads the configuration and loads the plugins.
pub type Reload = Arc<dyn Fn() -> anyhow::Result<Reloaded> + Send + Sync>;

/// Result of a reload.
#[derive(Debug)]
pub struct Reloaded {
    /// The plugins.
    pub plugins: Plugins,
    /// Changed keys of the configuration that need a restart.
    pub needs_restart: Vec<&'static str>,
    /// Settings of the output.
    pub output: OutputSettings,
}

/// `[output]` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputSettings {
    /// Permissions and group of a new file.
    pub new: NewFile,
    /// Interval of `status`.
    pub status_every: Option<Duration>,
}

impl OutputSettings {
    /// Returns the changed settings, one line each.
    fn changes(&self, before: &OutputSettings) -> Vec<String> {
        let mut changes = Vec::new();
        if self.new.mode != before.new.mode {
            changes.push(format!("[output] mode of new files is now {:04o}", self.new.mode));
        }
        if self.new.gid != before.new.gid {
            let gid = self.new.gid.map_or_else(|| "not set".to_owned(), |gid| gid.to_string());
            changes.push(format!("[output] group of new files is now {gid}"));
        }
        if self.status_every != before.status_every {
            let every = self.status_every.map_or_else(|| "off".to_owned(), |it| format!("{it:?}"));
            changes.push(format!("[output] status_every is now {every}"));
        }
        changes
    }
}

/// Handles reloads.
pub struct Reloader {
    reopen: Option<Reopen>,
    reload: Reload,
    /// The reload in progress. It runs on its own thread, because compiling a plugin takes longer than events may wait.
    loading: Option<oneshot::Receiver<anyhow::Result<Reloaded>>>,
    /// Another reload was requested during the one in progress.
    is_requested_again: bool,
    /// Current settings of the output.
    output: OutputSettings,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("reopens", &self.reopen.is_some()).finish_non_exhaustive()
    }
}

impl Reloader {
    /// `reopen`: `None` if the output is not a file of `--output`.
    pub fn new(reopen: Option<Reopen>, reload: Reload, output: OutputSettings) -> Reloader {
        Reloader { reopen, reload, loading: None, is_requested_again: false, output }
    }

    /// Reopens the output and starts loading the plugins. After a failure, the output or the plugins remain unchanged.
    pub(super) async fn start(&mut self, pipeline: &mut Pipeline, control: &OutputControl) {
        if let Some(reopen) = &mut self.reopen {
            match reopen() {
                Ok(target) => {
                    control.reopen(target);
                    pipeline.flush().await;
                }
                Err(error) => {
                    pipeline.console.error(format_args!("the output is unchanged: {error:#}"));
                }
            }
        }
        if self.loading.is_some() {
            self.is_requested_again = true;
        } else {
            self.load(pipeline.console);
        }
    }

    fn load(&mut self, console: Console) {
        let (sender, loading) = oneshot::channel();
        let reload = self.reload.clone();
        let load = move || drop(sender.send(reload()));
        match thread::Builder::new().name("reload".to_owned()).spawn(load) {
            Ok(_) => self.loading = Some(loading),
            Err(error) => report_failure(console, &error.into()),
        }
    }

    /// Returns the result of the reload in progress; pending if there is none.
    pub(super) async fn loaded(&mut self) -> anyhow::Result<Reloaded> {
        let Some(loading) = &mut self.loading else { return std::future::pending().await };
        let loaded = loading.await;
        self.loading = None;
        loaded.unwrap_or_else(|_| Err(anyhow!("the reload thread panicked")))
    }

    /// Replaces plugins and settings by the reloaded ones. Returns whether they were replaced.
    pub(super) fn replace(
        &mut self,
        pipeline: &mut Pipeline,
        source: &mut Source,
        schedule: &mut StatusSchedule,
        loaded: anyhow::Result<Reloaded>,
    ) -> bool {
        if std::mem::take(&mut self.is_requested_again) {
            // The files may have changed during the reload.
            self.load(pipeline.console);
            return false;
        }
        let replaced = loaded.and_then(|next| {
            let output = next.output;
            replace(pipeline, source, next, &output.changes(&self.output))?;
            if output.status_every != self.output.status_every {
                schedule.set_interval(output.status_every);
            }
            self.output = output;
            Ok(())
        });
        replaced.map_err(|error| report_failure(pipeline.console, &error)).is_ok()
    }
}

fn replace(
    pipeline: &mut Pipeline,
    source: &mut Source,
    next: Reloaded,
    output_changes: &[String],
) -> anyhow::Result<()> {
    // The kernel side first: user space filters surplus events, but events that the kernel side omits are lost.
    source.set_interest(next.plugins.interest())?;
    let changes = pipeline.stages.plugins.replace(next.plugins);
    track_ancestors(pipeline);
    if changes.is_empty() && output_changes.is_empty() && next.needs_restart.is_empty() {
        pipeline.console.info("reloaded: nothing changed");
    }
    for change in changes.iter().chain(output_changes) {
        pipeline.console.info(format_args!("reloaded: {change}"));
    }
    for key in next.needs_restart {
        pipeline.console.info(format_args!("reloaded: {key} has changed and needs a restart"));
    }
    Ok(())
}

/// Begins the table of ancestors if a new plugin is the first one that asks for them, and ends it if none does any more.
fn track_ancestors(pipeline: &mut Pipeline) {
    let ancestry = &pipeline.enrich.ancestry;
    if !pipeline.stages.plugins.asks_for_ancestors() {
        ancestry.end();
    } else if !ancestry.is_tracked() {
        let until = Instant::now() + RUNNING_TIMEOUT;
        let (running, _) = RunningProcess::all(&mut *pipeline.stages.reader, until);
        ancestry.begin();
        ancestry.add(&running);
    }
}

fn report_failure(console: Console, error: &anyhow::Error) {
    console.error(format_args!("the plugins are unchanged: {error:#}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_changed_setting_of_the_output_is_reported() {
        let before = OutputSettings::default();
        let every = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(before.changes(&before), [""; 0]);
        for (new, status_every, change) in [
            (NewFile { mode: 0o640, ..before.new }, None, "[output] mode of new files is now 0640"),
            (NewFile { gid: Some(4), ..before.new }, None, "[output] group of new files is now 4"),
            (before.new, every(60), "[output] status_every is now 60s"),
        ] {
            let after = OutputSettings { new, status_every };
            assert_eq!(after.changes(&before), [change]);
            assert_eq!(before.changes(&after).len(), 1);
        }
        let all =
            OutputSettings { new: NewFile { mode: 0o644, gid: Some(7) }, status_every: every(1) };
        assert_eq!(all.changes(&before).len(), 3);
        assert_eq!(before.changes(&all)[1], "[output] group of new files is now not set");
        assert_eq!(before.changes(&all)[2], "[output] status_every is now off");
    }
}
