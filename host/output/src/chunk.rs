//! Bytes between the pipeline and the writer, with the places where an item is whole.

/// Bytes that a chunk has room for from the start.
pub(super) const ROOM: usize = 64 << 10;
/// Bytes gathered before they are handed to the writer: the last item seldom takes more than what is left.
const FULL: usize = ROOM - (8 << 10);
/// Items that it has room for from the start.
const ITEMS: usize = 512;

/// Some whole items.
#[derive(Debug, Default)]
pub struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// Where each item ends, and whether it is an event.
    ends: Vec<(usize, bool)>,
}

impl Chunk {
    /// An empty one that takes no memory from the system until it is full.
    pub(super) fn with_room() -> Chunk {
        Chunk { bytes: Vec::with_capacity(ROOM), ends: Vec::with_capacity(ITEMS) }
    }

    /// The same, empty, without what one long item took.
    pub(super) fn emptied(mut self) -> Chunk {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM);
        self.ends.clear();
        self.ends.shrink_to(ITEMS);
        self
    }

    /// Adds what `render` appends, if that is anything.
    pub(super) fn add(&mut self, is_event: bool, render: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        render(&mut self.bytes);
        if self.bytes.len() > start {
            self.ends.push((self.bytes.len(), is_event));
        }
    }

    /// Bytes that are items of somebody else's making, as one item that is no event.
    pub fn raw(bytes: Vec<u8>) -> Chunk {
        Chunk { ends: vec![(bytes.len(), false)], bytes }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Ends of the parts that it can be written in: whole items together, up to `most` bytes each.
    pub(super) fn parts(&self, most: usize) -> impl Iterator<Item = usize> {
        let mut ends = self.ends.iter().map(|(end, _)| *end).peekable();
        let mut start = 0;
        std::iter::from_fn(move || {
            let mut end = ends.next()?;
            while let Some(next) = ends.next_if(|next| next - start <= most) {
                end = next;
            }
            start = end;
            Some(end)
        })
    }

    /// How many events it tells.
    pub(super) fn events(&self) -> u64 {
        self.ends.iter().filter(|(_, is_event)| *is_event).count() as u64
    }

    /// Of the first `written` bytes: how many belong to whole items, and how many events those tell.
    pub(super) fn whole(&self, written: usize) -> (usize, u64) {
        let whole = self.ends.iter().take_while(|(end, _)| *end <= written);
        whole.fold((0, 0), |(_, events), &(end, is_event)| (end, events + u64::from(is_event)))
    }
}

/// What makes a file valid behind the items that are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Behind the last item.
    pub(super) close: &'static [u8],
    /// All of it, when there is no item.
    pub(super) empty: &'static [u8],
}

impl Trailer {
    /// Lines need nothing.
    pub(super) const NONE: Trailer = Trailer { close: b"", empty: b"" };

    /// What comes behind so many bytes of items.
    pub(super) fn behind(self, items: u64) -> &'static [u8] {
        if items == 0 { self.empty } else { self.close }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_chunk_has_the_room_of_a_new_one() {
        let mut chunk = Chunk::with_room();
        while !chunk.is_full() {
            chunk.add(true, |out| out.extend([b'x'; 100]));
        }
        assert_eq!(chunk.bytes.capacity(), ROOM, "what is full was there from the start");
        chunk.add(true, |out| out.extend(vec![b'x'; 2 * ROOM]));
        let chunk = chunk.emptied();
        assert_eq!((chunk.bytes.len(), chunk.bytes.capacity(), chunk.events()), (0, ROOM, 0));
    }

    #[test]
    fn only_whole_items_count() {
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
        assert_eq!(chunk.whole(3), (0, 0));
        assert_eq!(chunk.whole(4), (4, 1));
        assert_eq!(chunk.whole(9), (9, 1));
        assert_eq!(chunk.whole(11), (9, 1));
        assert_eq!(chunk.whole(12), (12, 2));
    }

    #[test]
    fn it_is_full_when_it_is_worth_a_write() {
        let mut chunk = Chunk::default();
        assert!(chunk.is_empty() && !chunk.is_full());
        chunk.add(true, |out| out.resize(FULL - 1, b'x'));
        assert!(!chunk.is_empty() && !chunk.is_full());
        chunk.add(false, |out| out.push(b'\n'));
        assert!(chunk.is_full());
        let raw = Chunk::raw(b"abc".to_vec());
        assert_eq!((raw.events(), raw.whole(3), raw.whole(2)), (0, (3, 0), (0, 0)));
        assert_eq!(raw.parts(1).collect::<Vec<_>>(), [3]);
    }
}
