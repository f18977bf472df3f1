//! The consumer side of a BPF ring buffer (`BPF_MAP_TYPE_RINGBUF`).
//!
//! libbpf and aya map the data pages twice in a row, so that a record that wraps around the end is contiguous in memory. Each
//! page then counts twice in the resident set of the process: another 8 MiB with the default size. Here they are mapped
//! once, and the one record in tens of thousands that wraps is copied.
//!
//! Layout of the mapped file, each part a multiple of a page: the consumer's position, the producer's position, then the
//! data. Positions are bytes that were consumed and produced since the start. A record is a header of 8 bytes, whose first
//! word is the length and two flags, and its data, padded to 8 bytes. See the kernel's `Documentation/bpf/ringbuf.rst` and
//! `kernel/bpf/ringbuf.c`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;

/// Set in the length while the producer still writes the record.
const BUSY: u32 = 1 << 31;
/// Set in the length of a record that the producer has discarded.
const DISCARD: u32 = 1 << 30;
const HEADER_BYTES: usize = 8;

/// A mapped ring buffer.
pub(super) struct Ring {
    fd: OwnedFd,
    /// The page with the consumer's position, which the kernel reads.
    consumer: Mapping,
    /// The page with the producer's position, and the data pages.
    producer: Mapping,
    page: usize,
    /// Size of the data in bytes: a power of two.
    size: usize,
    /// The consumer's position.
    position: u64,
    /// The producer's position when it was last read.
    produced: u64,
    /// The last record that wrapped around the end.
    wrapped: Vec<u8>,
}

impl Ring {
    /// Maps the ring buffer of this file descriptor. `size`: of its data in bytes, a power of two and a multiple of the page
    /// size.
    ///
    /// # Errors
    /// The size is invalid, or the kernel refuses the mapping.
    pub(super) fn map(fd: OwnedFd, size: usize) -> io::Result<Ring> {
        let page = page_size();
        if !size.is_power_of_two() || size < page {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let consumer = Mapping::new(&fd, 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let producer = Mapping::new(&fd, page, page + size, ProtFlags::READ)?;
        let mut ring = Ring {
            fd,
            consumer,
            producer,
            page,
            size,
            position: 0,
            produced: 0,
            wrapped: Vec::new(),
        };
        ring.position = ring.consumer_position().load(Ordering::Relaxed);
        ring.produced = ring.position;
        Ok(ring)
    }

    /// Passes the next record to `f` and consumes it. Returns false if there is none.
    pub(super) fn take(&mut self, f: &mut dyn FnMut(&[u8])) -> bool {
        loop {
            if self.position == self.produced {
                // Sequentially consistent, like the store of the consumer's position: either the loads here see the kernel's
                // progress (a new reservation, or a cleared BUSY flag), or the kernel, which reads the consumer's position
                // when it commits, sees that all earlier records were consumed, and wakes up the waiting thread.
                self.produced = self.producer_position().load(Ordering::SeqCst);
                if self.position == self.produced {
                    return false;
                }
            }
            let Some(length) = self.length() else { return false };
            let is_discarded = length & DISCARD != 0;
            // The producer never writes a longer record. The limit keeps the reads below inside of the mapping.
            let length = (length & !(BUSY | DISCARD)) as usize;
            let length = length.min(self.size - HEADER_BYTES);
            if !is_discarded {
                f(self.data(length));
            }
            let advance = (HEADER_BYTES + length).next_multiple_of(HEADER_BYTES);
            self.position += advance as u64;
            self.consumer_position().store(self.position, Ordering::SeqCst);
            if !is_discarded {
                return true;
            }
        }
    }

    /// Whether more than half of the buffer is in use.
    pub(super) fn is_half_full(&self) -> bool {
        let produced = self.producer_position().load(Ordering::Relaxed);
        produced.wrapping_sub(self.position) > self.size as u64 / 2
    }

    /// The first word of the record at the consumer's position. `None`: the producer still writes the record.
    fn length(&self) -> Option<u32> {
        let at = self.page + self.offset(0);
        // SAFETY: `offset` is below `size` and a multiple of 8, because sizes of records are, so the word lies in the mapping
        // and is aligned. The kernel writes it atomically.
        let word = unsafe { self.producer.start.add(at).cast::<AtomicU32>().as_ref() };
        // Acquire: the data was written before the flag was cleared.
        Some(word.load(Ordering::Acquire)).filter(|length| length & BUSY == 0)
    }

    /// The data of the record at the consumer's position.
    fn data(&mut self, length: usize) -> &[u8] {
        let start = self.offset(HEADER_BYTES);
        let first = length.min(self.size - start);
        if first == length {
            return self.bytes(start, length);
        }
        let mut wrapped = std::mem::take(&mut self.wrapped);
        wrapped.clear();
        wrapped.extend_from_slice(self.bytes(start, first));
        wrapped.extend_from_slice(self.bytes(0, length - first));
        self.wrapped = wrapped;
        &self.wrapped
    }

    /// Bytes of a committed record that was not consumed yet. `start + length` is at most `size`.
    fn bytes(&self, start: usize, length: usize) -> &[u8] {
        debug_assert!(start + length <= self.size);
        // SAFETY: the range lies in the data pages. The kernel does not write to a committed record until the consumer's
        // position has passed it, and `take` moves that only after the borrow has ended.
        unsafe {
            let first = self.producer.start.add(self.page + start);
            std::slice::from_raw_parts(first.as_ptr(), length)
        }
    }

    /// Offset in the data pages of the byte that is `after` bytes past the consumer's position.
    fn offset(&self, after: usize) -> usize {
        // The mask makes the conversion lossless.
        (self.position as usize).wrapping_add(after) & (self.size - 1)
    }

    fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: the mapping begins with the position, is aligned to a page, and lives as long as `self`.
        unsafe { self.consumer.start.cast().as_ref() }
    }

    fn producer_position(&self) -> &AtomicU64 {
        // SAFETY: as above. The mapping is read-only, and only loads are made.
        unsafe { self.producer.start.cast().as_ref() }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A shared mapping, removed when it is dropped.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and `Mapping` alone unmaps it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: &OwnedFd, offset: usize, length: usize, access: ProtFlags) -> io::Result<Mapping> {
        // SAFETY: the kernel chooses the address, so no other mapping is replaced.
        let start = unsafe {
            mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, fd, offset as u64)?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping, and no reference into it outlives `Ring`.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use std::os::unix::fs::FileExt;

    /// The kernel's side of a ring, in a file with the same layout.
    struct Producer {
        file: std::fs::File,
        size: usize,
        position: u64,
    }

    impl Producer {
        /// `start`: both positions at the beginning.
        fn new(size: usize, start: u64) -> (Producer, Ring) {
            let fd = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
            ftruncate(&fd, (2 * page_size() + size) as u64).unwrap();
            let file = std::fs::File::from(fd);
            file.write_all_at(&start.to_le_bytes(), 0).unwrap();
            let producer = Producer { file, size, position: start };
            producer.publish();
            let fd = producer.file.try_clone().unwrap().into();
            (producer, Ring::map(fd, size).unwrap())
        }

        fn publish(&self) {
            self.file.write_all_at(&self.position.to_le_bytes(), page_size() as u64).unwrap();
        }

        fn write(&self, position: u64, bytes: &[u8]) {
            for (at, byte) in bytes.iter().enumerate() {
                let offset = (position as usize + at) & (self.size - 1);
                let offset = 2 * page_size() + offset;
                self.file.write_all_at(&[*byte], offset as u64).unwrap();
            }
        }

        /// Writes a record and returns the position of its header.
        fn push(&mut self, flags: u32, data: &[u8]) -> u64 {
            let header = self.position;
            self.write(header, &(data.len() as u32 | flags).to_le_bytes());
            self.write(header + 8, data);
            self.position += (8 + data.len()).next_multiple_of(8) as u64;
            self.publish();
            header
        }
    }

    fn taken(ring: &mut Ring) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while ring.take(&mut |record| records.push(record.to_vec())) {}
        records
    }

    fn pattern(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 7 + seed) as u8).collect()
    }

    #[test]
    fn a_record_is_whole_wherever_it_wraps() {
        let size = page_size();
        for length in [0, 1, 7, 8, 9, 63, 64, 1000] {
            // Each alignment at which the header or the data can reach the end.
            for before in (0..=length + 24).step_by(8) {
                let start = (3 * size - before.min(size)) as u64 / 8 * 8;
                let (mut producer, mut ring) = Producer::new(size, start);
                let (first, second) = (pattern(length, before), pattern(length / 2, 1));
                producer.push(0, &first);
                producer.push(0, &second);
                assert_eq!(taken(&mut ring), [first, second], "{length} bytes, {before} before");
                assert_eq!(ring.position, producer.position);
                let mut consumed = [0; 8];
                producer.file.read_exact_at(&mut consumed, 0).unwrap();
                assert_eq!(u64::from_le_bytes(consumed), producer.position, "the kernel sees it");
            }
        }
    }

    #[test]
    fn the_fill_level_follows_both_positions() {
        let (mut producer, mut ring) = Producer::new(page_size(), 3 * page_size() as u64);
        let record = pattern(page_size() / 4 - 8, 0);
        (0..2).for_each(|_| _ = producer.push(0, &record));
        assert!(!ring.is_half_full());
        producer.push(0, &record);
        assert!(ring.is_half_full());
        assert!(ring.take(&mut |_| {}) && !ring.is_half_full());
    }

    #[test]
    fn many_laps_lose_nothing() {
        let (mut producer, mut ring) = Producer::new(page_size(), 0);
        for round in 0..500 {
            let records: Vec<_> = (0..3).map(|at| pattern(round * 31 % 900, at)).collect();
            records.iter().for_each(|record| _ = producer.push(0, record));
            assert_eq!(taken(&mut ring), records, "round {round}");
        }
        assert!(producer.position > 100 * page_size() as u64);
    }

    #[test]
    fn a_busy_record_blocks_those_that_follow() {
        let (mut producer, mut ring) = Producer::new(page_size(), 0);
        producer.push(0, b"first");
        let busy = producer.push(BUSY, b"second");
        producer.push(0, b"third");
        assert_eq!(taken(&mut ring), [b"first"]);
        assert_eq!(taken(&mut ring), [[0; 0]; 0]);
        producer.write(busy, &6_u32.to_le_bytes());
        assert_eq!(taken(&mut ring), [b"second".as_slice(), b"third"]);
    }

    #[test]
    fn discarded_records_are_skipped() {
        let (mut producer, mut ring) = Producer::new(page_size(), 0);
        producer.push(DISCARD, b"gone");
        producer.push(0, b"kept");
        producer.push(DISCARD, b"gone too");
        assert_eq!(taken(&mut ring), [b"kept"]);
        assert_eq!(ring.position, producer.position);
    }

    #[test]
    fn a_length_beyond_the_ring_stays_inside_of_it() {
        let (mut producer, mut ring) = Producer::new(page_size(), 0);
        producer.write(0, &(BUSY - 1 - DISCARD).to_le_bytes());
        producer.position = page_size() as u64;
        producer.publish();
        let mut lengths = Vec::new();
        assert!(ring.take(&mut |record| lengths.push(record.len())));
        assert_eq!(lengths, [page_size() - 8]);
    }

    #[test]
    fn invalid_sizes_are_refused() {
        for size in [0, 1, page_size() / 2, page_size() * 3] {
            let fd = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
            assert!(Ring::map(fd, size).is_err(), "{size}");
        }
    }
}
