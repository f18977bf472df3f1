//! The progress bar on standard error, if that is a terminal. A separate thread draws it, because writing to a stopped
//! terminal blocks.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crypto_tracer_event::counted::counted;
use crypto_tracer_system::console::{self, Console, Verbosity};

/// Interval between two drawings.
const INTERVAL: Duration = Duration::from_millis(200);
/// Time limit of the last drawing.
const LAST_TIMEOUT: Duration = Duration::from_millis(50);

/// The progress bar. Dropping this value removes it.
#[derive(Debug)]
pub struct RunProgress {
    /// Dropping it ends the thread.
    stop: Option<Sender<()>>,
    /// Closed by the thread when it has removed the bar.
    removed: Receiver<()>,
}

impl RunProgress {
    /// Shows the elapsed part of `duration`, and the number of events and of uses. Returns `None` if standard error is not a terminal or
    /// the verbosity is quiet.
    pub fn show(
        console: Console,
        duration: Option<Duration>,
        events: Arc<AtomicU64>,
        uses: Option<Arc<AtomicU64>>,
    ) -> Option<RunProgress> {
        if console.0 == Verbosity::Quiet || !std::io::stderr().is_terminal() {
            return None;
        }
        let (stop, stopped) = channel();
        let (remove, removed) = channel::<()>();
        let draw = move || {
            draw(&stopped, duration, &events, uses.as_deref());
            drop(remove);
        };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(draw);
        thread.ok().map(|_| RunProgress { stop: Some(stop), removed })
    }
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        self.stop = None;
        let _ = self.removed.recv_timeout(LAST_TIMEOUT);
        console::bar(false);
    }
}

fn draw(
    stopped: &Receiver<()>,
    duration: Option<Duration>,
    events: &AtomicU64,
    uses: Option<&AtomicU64>,
) {
    let start = Instant::now();
    let bar = ProgressBar::with_draw_target(
        duration.map(|duration| duration.as_millis() as u64),
        ProgressDrawTarget::stderr(),
    );
    let template = match duration {
        Some(_) => "[{wide_bar}] {msg}",
        None => "{spinner} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    console::bar(true);
    loop {
        let elapsed = start.elapsed();
        bar.set_position(elapsed.as_millis() as u64);
        let total = duration.map_or(String::new(), |total| format!("/{}", total.as_secs()));
        let events = events.load(Ordering::Relaxed);
        let uses = uses.map(|uses| format!(", {}", counted(uses.load(Ordering::Relaxed), "use")));
        let (seconds, events) = (elapsed.as_secs(), counted(events, "event"));
        bar.set_message(format!("{seconds}{total} s, {events}{}", uses.unwrap_or_default()));
        bar.tick();
        if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    bar.finish_and_clear();
}
