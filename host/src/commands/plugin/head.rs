//! `plugin head`: what a plugin would see of a file.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, ensure};

use super::super::help;
use super::report::bytes;
use crate::cli::plugin::HeadArgs;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_event::printable::printable;
use crypto_tracer_reader::public_head;
use crypto_tracer_system::console::Console;

/// Bytes that are read: more than the reader process ever reads, so that a longer file is seen to be longer.
const MAX_BYTES: u64 = 2 << 20;

/// Prints the head of a file.
pub(super) fn head(arguments: &HeadArgs, console: Console) -> Result<(), Failure> {
    let path = printable(&arguments.file.display().to_string()).to_string();
    let read = read(arguments).with_context(|| path.clone());
    let (content, size) = read.map_err(|error| Failure { code: ExitStatus::Usage, error })?;
    let head = public_head(&content);
    let (seen, whole) = (bytes(head.len() as u64), bytes(size));
    console.info(format_args!("{path}: a plugin with the grant file-head sees {seen} of {whole}"));
    if std::io::stdout().is_terminal() {
        let text = String::from_utf8_lossy(&head);
        let lines = text.lines().map(|line| format!("{}\n", printable(line)));
        return help::print(lines.collect::<String>().as_bytes());
    }
    help::print(&head)
}

/// The content, up to [`MAX_BYTES`], and the size of the file.
fn read(arguments: &HeadArgs) -> Result<(Vec<u8>, u64)> {
    // Opening a FIFO must not block.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let open = || File::options().read(true).custom_flags(flags).open(&arguments.file);
    let file = crypto_tracer_system::confine::as_invoker(open)
        .context("cannot switch to the caller's permissions")??;
    let found = file.metadata()?;
    ensure!(found.is_file(), "is not a regular file");
    let mut content = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut content)?;
    Ok((content, found.len()))
}
