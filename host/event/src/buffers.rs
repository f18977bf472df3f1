//! Memory of texts, reused for those of later events.

/// Paths and texts that are no longer used. Their memory is used again, so that an event in the steady state allocates
/// nothing.
#[derive(Debug, Default)]
pub struct Buffers {
    paths: Vec<Vec<u8>>,
    texts: Vec<String>,
    /// Capacity of all of them.
    bytes: usize,
}

impl Buffers {
    /// Limit for the capacity of all buffers: that of a thousand events with usual paths.
    const MAX_BYTES: usize = 256 << 10;

    /// Returns an empty buffer for the path of an event.
    pub fn path(&mut self) -> Vec<u8> {
        let path = self.paths.pop().unwrap_or_default();
        self.bytes -= path.capacity();
        path
    }

    /// Keeps the memory of a path.
    pub fn put_path(&mut self, mut path: Vec<u8>) {
        if self.has_room(path.capacity()) {
            path.clear();
            self.paths.push(path);
        }
    }

    /// Returns an empty buffer for a text.
    pub fn text(&mut self) -> String {
        let text = self.texts.pop().unwrap_or_default();
        self.bytes -= text.capacity();
        text
    }

    /// Keeps the memory of a text.
    pub fn put_text(&mut self, mut text: String) {
        if self.has_room(text.capacity()) {
            text.clear();
            self.texts.push(text);
        }
    }

    fn has_room(&mut self, capacity: usize) -> bool {
        let has_room = capacity > 0 && self.bytes + capacity <= Self::MAX_BYTES;
        self.bytes += if has_room { capacity } else { 0 };
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reused_and_bounded() {
        let mut buffers = Buffers::default();
        for _ in 0..10_000 {
            buffers.put_path(Vec::with_capacity(4096));
            buffers.put_text("x".repeat(100));
        }
        let held: usize = buffers.paths.iter().map(Vec::capacity).sum::<usize>()
            + buffers.texts.iter().map(String::capacity).sum::<usize>();
        assert_eq!(held, buffers.bytes);
        assert!((Buffers::MAX_BYTES / 2..=Buffers::MAX_BYTES).contains(&held), "{held}");
        assert!(buffers.path().is_empty() && buffers.path().capacity() == 4096);
        assert!(buffers.text().is_empty() && buffers.text().capacity() == 100);
        while buffers.path().capacity() > 0 || buffers.text().capacity() > 0 {}
        assert_eq!(buffers.bytes, 0);
    }
}
