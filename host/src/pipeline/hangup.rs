//! What a run does on SIGHUP: its output is opened anew, for logrotate, then configuration and plugins are read anew.

use std::fmt;
use std::sync::Arc;
use std::thread;

use anyhow::anyhow;
use tokio::sync::oneshot;

use super::{Line, Sink};
use crate::output::Target;
use crate::plugin::Plugins;
use crate::say::Say;
use crate::source::Source;

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
}

/// Opens and loads again what the run was started with.
pub struct Hangup {
    reopen: Option<Reopen>,
    reload: Reload,
    /// What a thread of its own is loading: to compile a plugin takes longer than a signal may wait.
    loading: Option<oneshot::Receiver<anyhow::Result<Reloaded>>>,
    /// Asked for once more while it was loading.
    again: bool,
}

impl fmt::Debug for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hangup").field("reopens", &self.reopen.is_some()).finish_non_exhaustive()
    }
}

impl Hangup {
    /// `reopen` is None where the output is no file that was named.
    pub fn new(reopen: Option<Reopen>, reload: Reload) -> Hangup {
        Hangup { reopen, reload, loading: None, again: false }
    }

    /// Opens the output anew and begins to load the plugins. What fails stays as it was, and is told.
    pub(super) async fn take<S: Sink>(&mut self, line: &mut Line<S>) {
        if let Some(reopen) = &mut self.reopen {
            match reopen() {
                Ok(target) => line.sink.reopen(target).await,
                Err(error) => {
                    line.say.error(format_args!("the output stays as it is: {error:#}"));
                }
            }
        }
        if self.loading.is_some() {
            self.again = true;
        } else {
            self.load(line.say);
        }
    }

    fn load(&mut self, say: Say) {
        let (tell, loading) = oneshot::channel();
        let reload = self.reload.clone();
        let load = move || drop(tell.send(reload()));
        match thread::Builder::new().name("reload".to_owned()).spawn(load) {
            Ok(_) => self.loading = Some(loading),
            Err(error) => stays(say, &error.into()),
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
    pub(super) fn replace<S>(
        &mut self,
        line: &mut Line<S>,
        source: &mut Source,
        loaded: anyhow::Result<Reloaded>,
    ) -> bool {
        if std::mem::take(&mut self.again) {
            // The files were changed once more meanwhile.
            self.load(line.say);
            return false;
        }
        let replaced = loaded.and_then(|next| replace(line, source, next));
        replaced.map_err(|error| stays(line.say, &error)).is_ok()
    }
}

fn replace<S>(line: &mut Line<S>, source: &mut Source, next: Reloaded) -> anyhow::Result<()> {
    // The kernel first: what it sends too much is sorted out behind it, what it does not send is missing.
    source.set_interest(next.plugins.interest())?;
    let changes = line.plugins.replace(next.plugins);
    if changes.is_empty() && next.needs_restart.is_empty() {
        line.say.info("reloaded: nothing changed");
    }
    for change in changes {
        line.say.info(format_args!("reloaded: {change}"));
    }
    for key in next.needs_restart {
        line.say.info(format_args!("reloaded: {key} was changed: that needs a restart"));
    }
    Ok(())
}

fn stays(say: Say, error: &anyhow::Error) {
    say.error(format_args!("the plugins stay as they are: {error:#}"));
}
