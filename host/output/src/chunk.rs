//! Bytes between the pipeline and the writer, with the boundaries of their items.

/// Initial capacity of a chunk in bytes.
pub(super) const ROOM: usize = 64 << 10;
/// Bytes in a chunk that goes to the writer. The last item rarely exceeds the remaining capacity.
const FULL: usize = ROOM - (8 << 10);
/// Initial capacity of a chunk in items.
const ITEMS: usize = 512;

/// A sequence of complete items.
#[derive(Debug, Default)]
pub struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// End offset of each item, and the number of its events.
    ends: Vec<(usize, u64)>,
    /// Number of bytes that the target has already taken.
    pub(super) written: usize,
    /// Its events are counted as passed to the writer.
    pub(super) accepted: bool,
}

impl Chunk {
    /// Returns an empty chunk that does not allocate until it is full.
    pub(super) fn with_room() -> Chunk {
        Chunk {
            bytes: Vec::with_capacity(ROOM),
            ends: Vec::with_capacity(ITEMS),
            ..Chunk::default()
        }
    }

    /// Clears the chunk and shrinks it to the initial capacity.
    pub(super) fn cleared(mut self) -> Chunk {
        self.clear();
        self
    }

    /// Clears the chunk and shrinks it to the initial capacity.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM);
        self.ends.clear();
        self.ends.shrink_to(ITEMS);
        (self.written, self.accepted) = (0, false);
    }

    /// Adds the bytes that `render` appends as one item; no item if there are none.
    pub(super) fn add(&mut self, is_event: bool, render: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        render(&mut self.bytes);
        if self.bytes.len() > start {
            self.ends.push((self.bytes.len(), u64::from(is_event)));
        }
    }

    /// Returns a chunk of `bytes`, as one item that contains this number of events.
    pub fn raw(bytes: Vec<u8>, events: u64) -> Chunk {
        Chunk { ends: vec![(bytes.len(), events)], bytes, ..Chunk::default() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Iterates over the end offsets of parts for separate writes: complete items of together at most `max` bytes, or one
    /// longer item.
    pub(super) fn parts(&self, max: usize) -> impl Iterator<Item = usize> {
        let mut ends = self.ends.iter().map(|(end, _)| *end).peekable();
        let mut start = 0;
        std::iter::from_fn(move || {
            let mut end = ends.next()?;
            while let Some(next) = ends.next_if(|next| next - start <= max) {
                end = next;
            }
            start = end;
            Some(end)
        })
    }

    /// Returns the number of events.
    pub(super) fn events(&self) -> u64 {
        self.ends.iter().map(|(_, events)| events).sum()
    }

    /// Returns the length of the complete items in the first `written` bytes, and the number of events among them.
    pub(super) fn complete(&self, written: usize) -> (usize, u64) {
        let complete = self.ends.iter().take_while(|(end, _)| *end <= written);
        complete.fold((0, 0), |(_, events), &(end, more)| (end, events + more))
    }
}

/// Bytes after the last item that make a file valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Bytes after the last item.
    pub(super) close: &'static [u8],
    /// Bytes of a file without items.
    pub(super) empty: &'static [u8],
}

impl Trailer {
    /// No trailer, for line-based formats.
    pub(super) const NONE: Trailer = Trailer { close: b"", empty: b"" };

    /// Returns the trailer after `item_bytes` bytes of items.
    pub(super) fn after(self, item_bytes: u64) -> &'static [u8] {
        if item_bytes == 0 { self.empty } else { self.close }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_chunk_has_the_initial_capacity() {
        let mut chunk = Chunk::with_room();
        while !chunk.is_full() {
            chunk.add(true, |out| out.extend([b'x'; 100]));
        }
        assert_eq!(chunk.bytes.capacity(), ROOM, "a full chunk has not grown");
        chunk.add(true, |out| out.extend(vec![b'x'; 2 * ROOM]));
        let chunk = chunk.cleared();
        assert_eq!((chunk.bytes.len(), chunk.bytes.capacity(), chunk.events()), (0, ROOM, 0));
    }

    #[test]
    fn only_complete_items_count() {
        let mut chunk = Chunk::default();
        chunk.add(true, |out| out.extend(b"abc\n"));
        chunk.add(false, |out| out.extend(b"note\n"));
        chunk.add(true, |_| {});
        chunk.add(true, |out| out.extend(b"de\n"));
        assert_eq!(chunk.events(), 2);
        assert_eq!(chunk.parts(100).collect::<Vec<_>>(), [12]);
        assert_eq!(chunk.parts(9).collect::<Vec<_>>(), [9, 12]);
        assert_eq!(chunk.parts(8).collect::<Vec<_>>(), [4, 12]);
        assert_eq!(chunk.parts(1).collect::<Vec<_>>(), [4, 9, 12]);
        assert_eq!(chunk.complete(3), (0, 0));
        assert_eq!(chunk.complete(4), (4, 1));
        assert_eq!(chunk.complete(9), (9, 1));
        assert_eq!(chunk.complete(11), (9, 1));
        assert_eq!(chunk.complete(12), (12, 2));
    }

    #[test]
    fn a_chunk_is_full_at_its_threshold() {
        let mut chunk = Chunk::default();
        assert!(chunk.is_empty() && !chunk.is_full());
        chunk.add(true, |out| out.resize(FULL - 1, b'x'));
        assert!(!chunk.is_empty() && !chunk.is_full());
        chunk.add(false, |out| out.push(b'\n'));
        assert!(chunk.is_full());
        let raw = Chunk::raw(b"abc".to_vec(), 5);
        assert_eq!((raw.events(), raw.complete(3), raw.complete(2)), (5, (3, 5), (0, 0)));
        assert_eq!(raw.parts(1).collect::<Vec<_>>(), [3]);
    }
}
