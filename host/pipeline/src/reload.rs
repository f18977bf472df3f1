//! What a run does on SIGHUP: its output is opened anew, for logrotate, then configuration and plugins are read anew.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::oneshot;

use super::{Pipeline, StatusSchedule};
use crypto_tracer_capture::Source;
use crypto_tracer_output::{NewFile, Output, OutputControl, Target};
use crypto_tracer_plugin::Plugins;
use crypto_tracer_system::console::Console;

/// Opens the output file once more.
pub type Reopen = Box<dyn FnMut() -> anyhow::Result<Target>>;
/// Reads the configuration and loads the plugins.
pub type Reload = Arc<dyn Fn() -> anyhow::Result<Reloaded> + Send + Sync>;

/// What was read anew.
#[derive(Debug)]
pub struct Reloaded {
    /// The plugins.
    pub plugins: Plugins,
    /// Keys of the configuration that were changed, and that only the next start obeys.
    pub needs_restart: Vec<&'static str>,
    /// What is to be done with the output.
    pub output: OutputSettings,
}

/// `[output]` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputSettings {
    /// What a new file is given.
    pub new: NewFile,
    /// How often `status` comes.
    pub status_every: Option<Duration>,
}

impl OutputSettings {
    /// What is another setting now, a line for each.
    fn changes(&self, before: &OutputSettings) -> Vec<String> {
        let mut changes = Vec::new();
        if self.new.mode != before.new.mode {
            changes.push(format!("now [output] mode is {:04o}: for new files", self.new.mode));
        }
        if self.new.gid != before.new.gid {
            let gid = self.new.gid.map_or_else(|| "not set".to_owned(), |gid| gid.to_string());
            changes.push(format!("now the group of [output] is {gid}: for new files"));
        }
        if self.status_every != before.status_every {
            let every = self.status_every.map_or_else(|| "off".to_owned(), |it| format!("{it:?}"));
            changes.push(format!("now [output] status_every is {every}"));
        }
        changes
    }
}

/// Opens and loads again what the run was started with.
pub struct Reloader {
    reopen: Option<Reopen>,
    reload: Reload,
    /// What a thread of its own is loading: to compile a plugin takes longer than a signal may wait.
    loading: Option<oneshot::Receiver<anyhow::Result<Reloaded>>>,
    /// Asked for once more while it was loading.
    again: bool,
    /// What holds for the output.
    output: OutputSettings,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("reopens", &self.reopen.is_some()).finish_non_exhaustive()
    }
}

impl Reloader {
    /// `reopen` is None where the output is no file that was named.
    pub fn new(reopen: Option<Reopen>, reload: Reload, output: OutputSettings) -> Reloader {
        Reloader { reopen, reload, loading: None, again: false, output }
    }

    /// Opens the output anew and begins to load the plugins. What fails stays as it was, and is told.
    pub(super) async fn take<O: Output>(
        &mut self,
        pipeline: &mut Pipeline<O>,
        control: &OutputControl,
    ) {
        if let Some(reopen) = &mut self.reopen {
            match reopen() {
                Ok(target) => {
                    control.reopen(target);
                    pipeline.output.flush().await;
                }
                Err(error) => {
                    pipeline.console.error(format_args!("the output stays as it is: {error:#}"));
                }
            }
        }
        if self.loading.is_some() {
            self.again = true;
        } else {
            self.load(pipeline.console);
        }
    }

    fn load(&mut self, console: Console) {
        let (tell, loading) = oneshot::channel();
        let reload = self.reload.clone();
        let load = move || drop(tell.send(reload()));
        match thread::Builder::new().name("reload".to_owned()).spawn(load) {
            Ok(_) => self.loading = Some(loading),
            Err(error) => stays(console, &error.into()),
        }
    }

    /// What was loaded; for ever where nothing is loading.
    pub(super) async fn loaded(&mut self) -> anyhow::Result<Reloaded> {
        let Some(loading) = &mut self.loading else { return std::future::pending().await };
        let loaded = loading.await;
        self.loading = None;
        loaded.unwrap_or_else(|_| Err(anyhow!("they could not be loaded")))
    }

    /// Puts what was loaded in the place of what runs; whether other plugins run now.
    pub(super) fn replace<O>(
        &mut self,
        pipeline: &mut Pipeline<O>,
        source: &mut Source,
        word: &mut StatusSchedule,
        loaded: anyhow::Result<Reloaded>,
    ) -> bool {
        if std::mem::take(&mut self.again) {
            // The files were changed once more meanwhile.
            self.load(pipeline.console);
            return false;
        }
        let replaced = loaded.and_then(|next| {
            let output = next.output;
            replace(pipeline, source, next, &output.changes(&self.output))?;
            if output.status_every != self.output.status_every {
                word.come_every(output.status_every);
            }
            self.output = output;
            Ok(())
        });
        replaced.map_err(|error| stays(pipeline.console, &error)).is_ok()
    }
}

fn replace<O>(
    pipeline: &mut Pipeline<O>,
    source: &mut Source,
    next: Reloaded,
    of_output: &[String],
) -> anyhow::Result<()> {
    // The kernel first: what it sends too much is sorted out behind it, what it does not send is missing.
    source.set_interest(next.plugins.interest())?;
    let changes = pipeline.stages.plugins.replace(next.plugins);
    if changes.is_empty() && of_output.is_empty() && next.needs_restart.is_empty() {
        pipeline.console.info("reloaded: nothing changed");
    }
    for change in changes.iter().chain(of_output) {
        pipeline.console.info(format_args!("reloaded: {change}"));
    }
    for key in next.needs_restart {
        pipeline.console.info(format_args!("reloaded: {key} was changed: that needs a restart"));
    }
    Ok(())
}

fn stays(console: Console, error: &anyhow::Error) {
    console.error(format_args!("the plugins stay as they are: {error:#}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_of_the_output_that_changed_is_named() {
        let before = OutputSettings::default();
        let every = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(before.changes(&before), [""; 0]);
        for (new, status_every, said) in [
            (
                NewFile { mode: 0o640, ..before.new },
                None,
                "now [output] mode is 0640: for new files",
            ),
            (
                NewFile { gid: Some(4), ..before.new },
                None,
                "now the group of [output] is 4: for new files",
            ),
            (before.new, every(60), "now [output] status_every is 60s"),
        ] {
            let after = OutputSettings { new, status_every };
            assert_eq!(after.changes(&before), [said]);
            assert_eq!(before.changes(&after).len(), 1);
        }
        let all =
            OutputSettings { new: NewFile { mode: 0o644, gid: Some(7) }, status_every: every(1) };
        assert_eq!(all.changes(&before).len(), 3);
        assert_eq!(before.changes(&all)[1], "now the group of [output] is not set: for new files");
        assert_eq!(before.changes(&all)[2], "now [output] status_every is off");
    }
}
