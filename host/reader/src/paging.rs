//! When an answer about processes ends: a message has an end, and who fills one process with long paths shall not hide
//! the others.

use std::time::{Duration, Instant};

/// Bytes of paths, of one process or of an answer, after which there is no more. An answer and one more process stay
/// below the longest message.
pub(super) const BYTES: usize = 16 << 20;
/// What a file adds to its path.
pub(super) const ENTRY_BYTES: usize = 96;
/// How long an answer may take; with one more process that stays below the asker's patience.
const TIME: Duration = Duration::from_secs(1);

/// Asks about each process until that is enough for one answer; and which was the last one, if there are more.
/// One that ends meanwhile is left out.
pub(super) fn each<T>(
    pids: &[u32],
    most_bytes: usize,
    ask: impl Fn(u32) -> Option<(T, usize)>,
) -> (Vec<T>, Option<u32>) {
    let (start, mut bytes) = (Instant::now(), 0);
    let mut answers = Vec::new();
    for (at, &pid) in pids.iter().enumerate() {
        let Some((answer, size)) = ask(pid) else { continue };
        bytes += size;
        answers.push(answer);
        let is_last = at + 1 == pids.len();
        if !is_last && (bytes > most_bytes || start.elapsed() > TIME) {
            return (answers, Some(pid));
        }
    }
    (answers, None)
}
