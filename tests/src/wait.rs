//! Waits for a condition.

use std::time::{Duration, Instant};

/// Time limit of every wait. It is long, so that a loaded machine does not fail a test.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Calls `ask` until it returns a value, and returns that value.
///
/// # Panics
///
/// If that takes longer than [`DEADLINE`]; `what` names the awaited condition.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        // A pause between two checks of the condition; no test relies on its length.
        std::thread::sleep(Duration::from_millis(5));
    }
}
