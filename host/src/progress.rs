//! The progress bar on standard error, where that is a terminal. A thread of its own draws it: a terminal that is
//! stopped holds up nothing else.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crypto_tracer_event::counted::counted;
use crypto_tracer_system::console::{self, Console, Verbosity};

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(200);
/// How long the last drawing may take.
const LAST: Duration = Duration::from_millis(50);

/// A bar that is shown until this is dropped.
#[derive(Debug)]
pub struct RunProgress {
    /// Dropped, it ends the thread.
    running: Option<Sender<()>>,
    /// Closed when the bar is gone.
    gone: Receiver<()>,
}

impl RunProgress {
    /// Shows how much of `duration` is over, and how many events there were. None: there is nowhere to show it.
    pub fn show(
        console: Console,
        duration: Option<Duration>,
        events: Arc<AtomicU64>,
    ) -> Option<RunProgress> {
        if console.0 == Verbosity::Quiet || !std::io::stderr().is_terminal() {
            return None;
        }
        let (running, asked) = channel();
        let (left, gone) = channel();
        let draw = move || {
            draw(&asked, duration, &events);
            drop(left);
        };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(draw);
        thread.ok().map(|_| RunProgress { running: Some(running), gone })
    }
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        self.running = None;
        let _ = self.gone.recv_timeout(LAST);
        console::bar(false);
    }
}

fn draw(asked: &Receiver<()>, duration: Option<Duration>, events: &AtomicU64) {
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
        let of = duration.map_or(String::new(), |all| format!("/{}", all.as_secs()));
        let events = events.load(Ordering::Relaxed);
        bar.set_message(format!("{}{of} s, {}", elapsed.as_secs(), counted(events, "event")));
        bar.tick();
        if asked.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    bar.finish_and_clear();
}
