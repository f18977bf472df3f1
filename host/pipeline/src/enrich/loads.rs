//! Which files are mapped into which program image: each is told once.

use std::collections::HashSet;

use hashlink::{LinkedHashMap, LinkedHashSet};

use crypto_tracer_event::ProcessKey;

/// Loads that are remembered. When there are more, those of the process that loaded nothing for longest are forgotten, and
/// may be told twice.
const MOST: usize = 16_384;
/// Loads of one process: nobody makes the others forgotten.
const MOST_OF_ONE: usize = 256;

/// Device and inode number.
pub(super) type FileId = (u32, u64);

/// The step's memory of loads.
#[derive(Debug, Default)]
pub(super) struct Loads {
    images: LinkedHashMap<ProcessKey, Image>,
    count: usize,
}

/// A program that a process runs.
#[derive(Debug, Default)]
struct Image {
    exec_id: u64,
    files: LinkedHashSet<FileId>,
    /// Paths of what was mapped before the tracer was there: on an overlay `/proc` shows the numbers of the file below.
    before: HashSet<Vec<u8>>,
}

impl Loads {
    /// What the program image had mapped before the tracer was there.
    pub(super) fn preloaded(
        &mut self,
        process: ProcessKey,
        exec_id: u64,
        file: FileId,
        path: Vec<u8>,
    ) {
        self.is_first(process, exec_id, file, None);
        if let Some(image) = self.images.get_mut(&process)
            && image.before.len() < MOST_OF_ONE
        {
            image.before.insert(path);
        }
    }

    /// Whether this program image did not have the file yet. `overlaid`: its path, where it is on an overlay.
    pub(super) fn is_first(
        &mut self,
        process: ProcessKey,
        exec_id: u64,
        file: FileId,
        overlaid: Option<&[u8]>,
    ) -> bool {
        if self.images.to_back(&process).is_none() {
            self.images.insert(process, Image { exec_id, ..Image::default() });
        }
        let Some(image) = self.images.get_mut(&process) else { return true };
        if image.exec_id != exec_id {
            // Another program: what the old one had is not mapped any more.
            self.count -= image.files.len();
            *image = Image { exec_id, ..Image::default() };
        }
        let before = image.files.len();
        let first =
            image.files.insert(file) && !overlaid.is_some_and(|path| image.before.remove(path));
        if image.files.len() > MOST_OF_ONE {
            image.files.pop_front();
        }
        self.count += image.files.len() - before;
        while self.count > MOST {
            let Some((_, forgotten)) = self.images.pop_front() else { break };
            self.count -= forgotten.files.len();
        }
        first
    }

    /// The process ended.
    pub(super) fn forget(&mut self, process: &ProcessKey) {
        if let Some(image) = self.images.remove(process) {
            self.count -= image.files.len();
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
    fn those_that_ended_take_no_room() {
        let mut loads = Loads::default();
        assert!(loads.is_first(process(1), 1, (0, 5), None));
        for tgid in 2..2 + MOST as u32 * 2 {
            assert!(loads.is_first(process(tgid), 1, (0, 5), None));
            loads.forget(&process(tgid));
        }
        assert!(!loads.is_first(process(1), 1, (0, 5), None), "it is still there");
        assert_eq!((loads.count, loads.images.len()), (1, 1));
    }

    #[test]
    fn nobody_fills_the_memory_alone_and_it_has_an_end() {
        let mut loads = Loads::default();
        assert!(loads.is_first(process(1), 1, (0, 5), None));
        for inode in 0..MOST as u64 * 2 {
            assert!(loads.is_first(process(2), 1, (0, inode), None));
        }
        assert!(!loads.is_first(process(1), 1, (0, 5), None), "another one's loads");
        assert_eq!(loads.count, MOST_OF_ONE + 1);
        for tgid in 3..3 + MOST as u32 {
            loads.is_first(process(tgid), 1, (0, 5), None);
        }
        assert!(loads.count <= MOST && loads.images.len() <= MOST);
        assert!(loads.is_first(process(1), 1, (0, 5), None), "the one that was silent longest");
    }

    #[test]
    fn by_its_path_where_numbers_are_those_of_another_file() {
        let mut loads = Loads::default();
        loads.preloaded(process(1), 1, (9, 9), b"/lib/libssl.so.3".to_vec());
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
    fn another_program_takes_the_place_of_the_first() {
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
