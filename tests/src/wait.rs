//! Waits for a condition.

use std::time::{Duration, Instant};

/// How long anything may take before a test fails for it. Generous: a loaded machine is no failure.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks until there is an answer.
///
/// # Panics
///
/// When there is none within [`DEADLINE`]; `what` says what was waited for.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        // A pause between two looks, not a wait for something to have happened.
        std::thread::sleep(Duration::from_millis(5));
    }
}
