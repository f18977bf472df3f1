//! Splits responses about processes into pages: a message has a maximum size, and a process with many long paths must
//! not keep others out of the response.

use std::time::{Duration, Instant};

/// Maximum bytes of paths of one process, and of a page. A page and one more process stay below the maximum message.
pub(super) const PAGE_BYTES: usize = 16 << 20;
/// Size of a file in a message, without its path.
pub(super) const ENTRY_BYTES: usize = 96;
/// How long the collection of a page may take. With one more process it stays below the client's timeout.
const PAGE_TIME: Duration = Duration::from_secs(1);

/// Collects `read(pid)`, with its size in bytes, for each process until the page is full. Also returns the last process
/// of the page if more follow. Processes that have exited are omitted.
pub(super) fn collect<T>(
    pids: &[u32],
    max_bytes: usize,
    read: impl Fn(u32) -> Option<(T, usize)>,
) -> (Vec<T>, Option<u32>) {
    let (start, mut bytes) = (Instant::now(), 0);
    let mut page = Vec::new();
    for (index, &pid) in pids.iter().enumerate() {
        let Some((item, size)) = read(pid) else { continue };
        bytes += size;
        page.push(item);
        let is_last = index + 1 == pids.len();
        if !is_last && (bytes > max_bytes || start.elapsed() > PAGE_TIME) {
            return (page, Some(pid));
        }
    }
    (page, None)
}
