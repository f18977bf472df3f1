use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write as _};

use rustix::fs::{MemfdFlags, OFlags, SealFlags, fcntl_add_seals, fcntl_setfl, memfd_create};

use super::*;

const ARRAY: Trailer = Trailer { close: b"\n]\n", empty: b"[]\n" };

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Returns a chunk of `count` events of `bytes` bytes each.
fn events(count: usize, bytes: usize) -> Chunk {
    let mut chunk = Chunk::default();
    for _ in 0..count {
        chunk.add(true, |out| {
            out.resize(out.len() + bytes - 1, b'x');
            out.push(b'\n');
        });
    }
    chunk
}

fn target(file: &File) -> Target {
    Target::from_fd(file.try_clone().unwrap().into(), "a file".to_owned()).unwrap()
}

fn content(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Returns a file that cannot grow beyond this many bytes, a multiple of the page size.
fn full_at(bytes: u64) -> File {
    let file = File::from(memfd_create("full", MemfdFlags::ALLOW_SEALING).unwrap());
    file.set_len(bytes).unwrap();
    fcntl_add_seals(&file, SealFlags::GROW).unwrap();
    file
}

#[test]
fn a_full_disk_has_complete_events_and_the_others_are_counted() {
    for trailer in [Trailer::NONE, ARRAY] {
        let disk = full_at(4096);
        let writer = Writer::start(target(&disk), trailer, None).unwrap();
        let ended = writer.finish(events(6, 1000), soon());
        assert_eq!((ended.written, ended.not_written), (4, 2), "{ended:?}");
        assert!(ended.error.is_some() && !ended.reader_closed, "{ended:?}");
        assert_eq!(content(&disk), events(4, 1000).bytes);
    }
}

#[test]
fn an_array_keeps_the_content_in_front_of_it() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"before\n").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let writer = Writer::start(target(&file), ARRAY, None).unwrap();
    for _ in 0..2 {
        runtime.block_on(writer.reserve()).send(events(1, 3));
    }
    let ended = writer.finish(events(1, 4), soon());
    assert_eq!((ended.written, ended.not_written), (3, 0));
    assert_eq!(String::from_utf8(content(&file)).unwrap(), "before\nxx\nxx\nxxx\n\n]\n");
}

/// Another process may have set O_NONBLOCK on the pipe.
#[test]
fn the_writer_waits_for_a_non_blocking_pipe() {
    let (reads, writes) = rustix::pipe::pipe().unwrap();
    fcntl_setfl(&writes, OFlags::NONBLOCK).unwrap();
    let writer =
        Writer::start(Target::from_fd(writes, "a pipe".to_owned()).unwrap(), Trailer::NONE, None)
            .unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        File::from(reads).read_to_end(&mut bytes).map(|_| bytes)
    });
    let ended = writer.finish(events(30_000, 50), soon());
    assert_eq!((ended.written, ended.not_written), (30_000, 0), "{ended:?}");
    assert_eq!(reader.join().unwrap().unwrap(), events(30_000, 50).bytes);
}

#[test]
fn events_after_the_end_of_the_thread_count_as_not_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let disk = full_at(0);
    let writer = Writer::start(target(&disk), Trailer::NONE, None).unwrap();
    runtime.block_on(async {
        writer.reserve().await.send(events(2, 10));
        writer.state().ended().await;
        writer.reserve().await.send(events(3, 10));
    });
    let ended = writer.finish(events(4, 10), soon());
    assert_eq!((ended.written, ended.not_written), (0, 9), "{ended:?}");
    assert!(ended.error.is_some());
}

#[test]
fn the_buffer_is_allocated_at_the_start_and_never_grows() {
    let file: OwnedFd = tempfile::tempfile().unwrap().into();
    let target = Target::from_fd(file, "a file".to_owned()).unwrap();
    let writer = Writer::start(target, Trailer::NONE, None).unwrap();
    let room = |writer: &Writer| {
        writer.shared.spare().iter().map(|chunk| chunk.bytes.capacity()).sum::<usize>()
    };
    assert_eq!((room(&writer), BUFFER_BYTES), (BUFFER_BYTES, 2 << 20));
    for _ in 0..10 * CHUNKS {
        let slot = loop {
            if let Ok(permit) = writer.messages.try_reserve() {
                break WriterSlot { permit: Some(permit), shared: &writer.shared };
            }
            std::thread::yield_now();
        };
        let mut chunk = writer.spare();
        assert_eq!(chunk.bytes.capacity(), ROOM, "a chunk is always available");
        chunk.add(true, |out| out.extend([b'x'; ROOM / 2]));
        slot.send(chunk);
    }
    let shared = Arc::clone(&writer.shared);
    let ended = writer.finish(Chunk::default(), Instant::now() + SCHEDULING_GRACE);
    assert_eq!((ended.written, ended.not_written), (10 * CHUNKS as u64, 0));
    assert_eq!(shared.spare().len(), CHUNKS);
}
