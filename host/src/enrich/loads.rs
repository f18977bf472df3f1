//! Which files are mapped into which program image: each is told once.

use hashlink::{LinkedHashMap, LinkedHashSet};

use crate::event::ProcessKey;

/// Loads that are remembered. When there are more, those of the process that loaded nothing for longest are forgotten, and
/// may be told twice.
const MOST: usize = 16_384;
/// Loads of one process: nobody makes the others forgotten.
const MOST_OF_ONE: usize = 256;

/// Device and inode number.
pub(super) type File = (u32, u64);

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
    files: LinkedHashSet<File>,
}

impl Loads {
    /// Whether this program image did not have the file yet.
    pub(super) fn is_first(&mut self, process: ProcessKey, exec_id: u64, file: File) -> bool {
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
        let first = image.files.insert(file);
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
        assert!(loads.is_first(process(1), 1, (0, 5)));
        for tgid in 2..2 + MOST as u32 * 2 {
            assert!(loads.is_first(process(tgid), 1, (0, 5)));
            loads.forget(&process(tgid));
        }
        assert!(!loads.is_first(process(1), 1, (0, 5)), "it is still there");
        assert_eq!((loads.count, loads.images.len()), (1, 1));
    }

    #[test]
    fn nobody_fills_the_memory_alone_and_it_has_an_end() {
        let mut loads = Loads::default();
        assert!(loads.is_first(process(1), 1, (0, 5)));
        for inode in 0..MOST as u64 * 2 {
            assert!(loads.is_first(process(2), 1, (0, inode)));
        }
        assert!(!loads.is_first(process(1), 1, (0, 5)), "another one's loads");
        assert_eq!(loads.count, MOST_OF_ONE + 1);
        for tgid in 3..3 + MOST as u32 {
            loads.is_first(process(tgid), 1, (0, 5));
        }
        assert!(loads.count <= MOST && loads.images.len() <= MOST);
        assert!(loads.is_first(process(1), 1, (0, 5)), "the one that was silent longest");
    }

    #[test]
    fn another_program_takes_the_place_of_the_first() {
        let mut loads = Loads::default();
        assert!(loads.is_first(process(1), 1, (0, 5)) && loads.is_first(process(1), 1, (0, 6)));
        assert!(loads.is_first(process(1), 2, (0, 5)) && !loads.is_first(process(1), 2, (0, 5)));
        assert_eq!(loads.count, 1);
    }
}
