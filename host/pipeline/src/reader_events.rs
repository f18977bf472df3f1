//! What happens to the reader process during a run.

use crypto_tracer_capture::Source;
use crypto_tracer_reader::{ReaderEnd, ReaderEvent};
use crypto_tracer_system::console::Console;

/// Excludes a new reader process from the trace before it opens a file. A new one replaces a blocked one.
pub fn register_reader(event: Option<ReaderEvent>, source: &mut Source, console: Console) {
    match event {
        None => {}
        Some(ReaderEvent::Off) => console.error(format_args!(
            "the reader process ended or blocked too often: file heads are not read for a while"
        )),
        Some(ReaderEvent::SpawnerEnded) => console.error(format_args!(
            "the process that starts readers has ended: no more file heads are read; restart crypto-tracer"
        )),
        Some(ReaderEvent::Replaced(pids, end)) => {
            let own: Vec<u32> = pids.into_iter().chain([std::process::id()]).collect();
            let what = match end {
                ReaderEnd::Hung => "blocked",
                ReaderEnd::Ended => "ended",
            };
            match source.set_excluded_pids(&own) {
                Ok(()) => {
                    console.info(format_args!("the reader process {what} and was replaced"));
                }
                Err(error) => console.error(format_args!(
                    "cannot exclude the new reader process from the trace: {error}"
                )),
            }
        }
    }
}
