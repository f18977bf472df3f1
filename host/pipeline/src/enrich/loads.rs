//! Tracks the files that each program image has mapped, so that each load is reported once.

use std::collections::HashSet;

use hashlink::{LinkedHashMap, LinkedHashSet};

use crypto_tracer_event::ProcessKey;

/// Maximum number of tracked loads. Beyond it, the loads of the least recently loading process are evicted, and may be
/// reported again.
const MAX_LOADS: usize = 16_384;
/// Maximum number of tracked loads of one process, so that one process cannot evict the loads of all others.
const MAX_PER_PROCESS: usize = 256;

/// Maximum number of ended processes whose memory is kept.
const MAX_SPARE: usize = 32;
/// Maximum number of files of a program image whose memory is kept: most load fewer, and a user can load many in each image.
const MAX_REUSED: usize = 8;

/// Device and inode number.
pub(super) type FileId = (u32, u64);

/// The tracked loads.
#[derive(Debug, Default)]
pub(super) struct Loads {
    images: LinkedHashMap<ProcessKey, Image>,
    count: usize,
    /// Memory of ended processes, for new ones.
    spare: Vec<Image>,
}

/// The program image of a process.
#[derive(Debug, Default)]
struct Image {
    exec_id: u64,
    files: LinkedHashSet<FileId>,
    /// Paths of files that were mapped before the tracer started. On an overlay, `/proc` shows the device and inode number
    /// of the underlying file, so the path identifies it.
    preloaded: HashSet<Vec<u8>>,
}

impl Image {
    /// Removes all files. A little memory remains for those of the image `exec_id`.
    fn restart(&mut self, exec_id: u64) {
        if self.files.len() + self.preloaded.len() > MAX_REUSED {
            *self = Image::default();
        }
        self.exec_id = exec_id;
        // `clear` would free the entries.
        while self.files.pop_front().is_some() {}
        self.preloaded.clear();
    }
}

impl Loads {
    /// Adds a file that was mapped before the tracer started.
    pub(super) fn add_preloaded(
        &mut self,
        process: ProcessKey,
        exec_id: u64,
        file: FileId,
        path: Vec<u8>,
    ) {
        self.is_first(process, exec_id, file, None);
        if let Some(image) = self.images.get_mut(&process)
            && image.preloaded.len() < MAX_PER_PROCESS
        {
            image.preloaded.insert(path);
        }
    }

    /// Adds a load. Returns whether it is the first one of this file in this program image. `overlay_path`: the path, if
    /// the file is on an overlay.
    pub(super) fn is_first(
        &mut self,
        process: ProcessKey,
        exec_id: u64,
        file: FileId,
        overlay_path: Option<&[u8]>,
    ) -> bool {
        if self.images.to_back(&process).is_none() {
            let image = Image { exec_id, ..self.spare.pop().unwrap_or_default() };
            self.images.insert(process, image);
        }
        let Some(image) = self.images.get_mut(&process) else { return true };
        if image.exec_id != exec_id {
            // The exec unmapped the files of the previous image.
            self.count -= image.files.len();
            image.restart(exec_id);
        }
        let before = image.files.len();
        let is_first = image.files.insert(file)
            && !overlay_path.is_some_and(|path| image.preloaded.remove(path));
        if image.files.len() > MAX_PER_PROCESS {
            image.files.pop_front();
        }
        self.count += image.files.len() - before;
        while self.count > MAX_LOADS {
            let Some((_, evicted)) = self.images.pop_front() else { break };
            self.count -= evicted.files.len();
        }
        is_first
    }

    /// Removes a process that has ended.
    pub(super) fn remove(&mut self, process: &ProcessKey) {
        if let Some(mut image) = self.images.remove(process) {
            self.count -= image.files.len();
            if self.spare.len() < MAX_SPARE {
                image.restart(0);
                self.spare.push(image);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ns: 1 }
    }

    #[test]
    fn ended_processes_are_removed() {
        let mut loads = Loads::default();
        assert!(loads.is_first(process(1), 1, (0, 5), None));
        for tgid in 2..2 + MAX_LOADS as u32 * 2 {
            assert!(loads.is_first(process(tgid), 1, (0, 5), None));
            loads.remove(&process(tgid));
        }
        assert!(!loads.is_first(process(1), 1, (0, 5), None), "it is still tracked");
        assert_eq!((loads.count, loads.images.len()), (1, 1));
    }

    #[test]
    fn loads_are_limited_for_each_process_and_for_all() {
        let mut loads = Loads::default();
        assert!(loads.is_first(process(1), 1, (0, 5), None));
        for inode in 0..MAX_LOADS as u64 * 2 {
            assert!(loads.is_first(process(2), 1, (0, inode), None));
        }
        assert!(!loads.is_first(process(1), 1, (0, 5), None), "another process is not affected");
        assert_eq!(loads.count, MAX_PER_PROCESS + 1);
        for tgid in 3..3 + MAX_LOADS as u32 {
            loads.is_first(process(tgid), 1, (0, 5), None);
        }
        assert!(loads.count <= MAX_LOADS && loads.images.len() <= MAX_LOADS);
        assert!(loads.is_first(process(1), 1, (0, 5), None), "least recently used");
    }

    #[test]
    fn a_preloaded_file_on_an_overlay_is_identified_by_its_path() {
        let mut loads = Loads::default();
        loads.add_preloaded(process(1), 1, (9, 9), b"/lib/libssl.so.3".to_vec());
        assert!(!loads.is_first(process(1), 1, (0, 5), Some(b"/lib/libssl.so.3")));
        assert!(loads.is_first(process(1), 1, (0, 7), Some(b"/lib/libssl.so.3")), "replaced");
        assert!(loads.is_first(process(1), 1, (0, 6), Some(b"/lib/libcrypto.so.3")));
        assert!(
            loads.is_first(process(1), 2, (0, 5), Some(b"/lib/libssl.so.3")),
            "another program"
        );
        assert_eq!(loads.count, 1);
    }

    #[test]
    fn an_exec_replaces_the_image() {
        let mut loads = Loads::default();
        assert!(
            loads.is_first(process(1), 1, (0, 5), None)
                && loads.is_first(process(1), 1, (0, 6), None)
        );
        assert!(
            loads.is_first(process(1), 2, (0, 5), None)
                && !loads.is_first(process(1), 2, (0, 5), None)
        );
        assert_eq!(loads.count, 1);
    }
}
