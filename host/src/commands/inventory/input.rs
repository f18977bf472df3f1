//! The files of the commands that work on finished inventories.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::commands::document::failed;
use crate::commands::{output_conflict, setup};
use crate::error::{ExitStatus, Failure};
use crate::interruptible_read::Input;
use crypto_tracer_inventory::{InputError, Source};
use crypto_tracer_output::{DocumentTarget, NewFile, Target};
use crypto_tracer_system::confine;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::signals::Signals;

/// Signals, and the request to end that they cause.
pub(in crate::commands) struct Run {
    pub(in crate::commands) shutdown: Shutdown,
    _signals: Signals,
}

impl Run {
    pub(in crate::commands) fn start() -> Result<Run, Failure> {
        let shutdown = Shutdown::default();
        let signals = Signals::start(shutdown.clone());
        let signals = signals.context("cannot handle signals").map_err(failed)?;
        Ok(Run { shutdown, _signals: signals })
    }

    /// Opens a document with the permissions of the caller. One that cannot be read is a usage error.
    pub(in crate::commands) fn open(
        &self,
        path: &Path,
        output: Option<&Path>,
    ) -> Result<Source, Failure> {
        let name = path.display().to_string();
        let open = || -> anyhow::Result<Input> {
            Ok(confine::as_invoker(|| Input::open(path, &self.shutdown))??)
        };
        let input = open().with_context(|| format!("cannot open {name}"));
        let input = input.map_err(|error| Failure { code: ExitStatus::Usage, error })?;
        if input.metadata().is_file() {
            output_conflict::check_input(&name, input.metadata(), output)?;
            return Ok(Source::new(name, input.into_file(), &self.shutdown));
        }
        Source::of_pipe(name, input, &self.shutdown).map_err(invalid)
    }

    /// Opens the target of the result. Returns `None` if a shutdown is requested while a FIFO has no reader.
    pub(in crate::commands) fn target(
        &self,
        output: Option<&PathBuf>,
    ) -> Result<Option<DocumentTarget>, Failure> {
        match output {
            Some(path) => {
                let open = || DocumentTarget::open(path, NewFile::default(), &self.shutdown);
                setup::open_as_caller(open).map_err(failed)
            }
            None => {
                let target = DocumentTarget::standard_output().map(Some);
                target.context("cannot use standard output").map_err(failed)
            }
        }
    }
}

/// Checks whether the output can be opened later, without creating it.
pub(in crate::commands) fn check(output: Option<&PathBuf>) -> Result<(), Failure> {
    let Some(path) = output else { return Ok(()) };
    setup::open_as_caller(|| Target::check(path)).map_err(failed)
}

/// A document that cannot be used is a usage error.
pub(in crate::commands) fn invalid(error: InputError) -> Failure {
    Failure::new(ExitStatus::Usage, error)
}
