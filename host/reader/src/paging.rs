//! Splits responses about processes into pages: a message has a maximum size, and a process with many long paths must
//! not keep others out of the response.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::proc_probe::{ProbePool, Probed, Timeouts};

/// Maximum bytes of paths of one process, and of a page. A page and one more process of each thread stay below the maximum
/// message.
pub(super) const PAGE_BYTES: usize = 16 << 20;
/// Size of a file in a message, without its path.
pub(super) const ENTRY_BYTES: usize = 96;

/// What is known of a process of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Paged<T> {
    /// `None`: it has exited, or is of no interest.
    Read(Option<T>),
    /// It blocks accesses.
    Blocked,
}

/// Collects `read(pid)`, with its size in bytes, for each process until the page is full or the time is over. Also
/// returns the last process of the page if more follow.
pub(super) fn collect<T: Send + 'static>(
    pids: &[u32],
    max_bytes: usize,
    probes: &ProbePool,
    read: impl Fn(u32) -> Option<(T, usize)> + Send + Sync + 'static,
) -> (Vec<(u32, Paged<T>)>, Option<u32>) {
    let bytes = AtomicUsize::new(0);
    let read_if_fits = move |pid| {
        if bytes.load(Ordering::Relaxed) > max_bytes {
            return None;
        }
        let read = read(pid);
        bytes.fetch_add(read.as_ref().map_or(0, |(_, size)| *size), Ordering::Relaxed);
        Some(read.map(|(item, _)| item))
    };
    let results = probes.each_process(pids.iter().copied(), Timeouts::RESPONSE, read_if_fits);
    let (mut page, mut last) = (Vec::new(), None);
    for (&pid, result) in pids.iter().zip(results) {
        let paged = match result {
            Probed::Done(Some(item)) => Paged::Read(item),
            Probed::Blocked(_) => Paged::Blocked,
            // A page has at least one process, so that the caller makes progress.
            Probed::NotStarted if page.is_empty() => Paged::Blocked,
            Probed::Done(None) | Probed::NotStarted => {
                return (page, last);
            }
        };
        page.push((pid, paged));
        last = Some(pid);
    }
    (page, None)
}
