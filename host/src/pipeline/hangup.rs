//! What a run does on SIGHUP: its output is opened anew, for logrotate, then configuration and plugins are read anew.

use std::fmt;

use super::{Line, Sink};
use crate::output::Target;
use crate::plugin::Plugins;
use crate::source::Source;

/// Opens and loads again what the run was started with.
pub struct Hangup {
    /// Opens the output file; None: the output is no file that was named.
    pub reopen: Option<Box<dyn FnMut() -> anyhow::Result<Target>>>,
    /// Reads the configuration and loads the plugins.
    pub reload: Box<dyn FnMut() -> anyhow::Result<Plugins>>,
}

impl fmt::Debug for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hangup").field("reopens", &self.reopen.is_some()).finish_non_exhaustive()
    }
}

impl Hangup {
    /// Does both. What fails stays as it was, and is told.
    pub(super) async fn take<S: Sink>(&mut self, line: &mut Line<S>, source: &mut Source) {
        if let Some(reopen) = &mut self.reopen {
            match reopen() {
                Ok(target) => line.sink.reopen(target).await,
                Err(error) => {
                    line.say.error(format_args!("the output stays as it is: {error:#}"));
                }
            }
        }
        if let Err(error) = self.reload(line, source) {
            line.say.error(format_args!("the plugins stay as they are: {error:#}"));
        }
    }

    fn reload<S>(&mut self, line: &mut Line<S>, source: &mut Source) -> anyhow::Result<()> {
        let next = (self.reload)()?;
        // The kernel first: what it sends too much is sorted out behind it, what it does not send is missing.
        source.set_interest(next.interest())?;
        let changes = line.plugins.replace(next);
        if changes.is_empty() {
            line.say.info("reloaded: nothing changed");
        }
        for change in changes {
            line.say.info(format_args!("reloaded: {change}"));
        }
        Ok(())
    }
}
