//! Tests of streams to files and pipes, in every format.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crypto_tracer_event::{Loss, Notice, Timestamp};

const FORMATS: [Format; 4] = [
    Format::JsonStream,
    Format::JsonArray,
    Format::JsonPretty,
    Format::Table(TableStyle { width: None, color: false }),
];

fn notice(count: u64) -> Notice {
    Notice::EventsLost(Timestamp(0), Loss { count, cause: "ring_full".into(), exact: true })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn open(path: &Path, format: Format) -> Target {
    Target::open(path, format.appends(), NewFile::default()).unwrap()
}

/// Asserts that `text` is complete and has `count` objects or rows.
fn assert_counts(format: Format, text: &str, count: usize) {
    let found = match format {
        Format::JsonStream => {
            let parsed = text.lines().map(serde_json::from_str::<Value>);
            parsed.collect::<Result<Vec<_>, _>>().unwrap().len()
        }
        Format::Table(_) => text.lines().filter(|line| !line.starts_with("TIME")).count(),
        Format::JsonArray | Format::JsonPretty => {
            assert!(text.ends_with("]\n"), "{text:?}");
            serde_json::from_str::<Vec<Value>>(text).unwrap().len()
        }
    };
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    assert_eq!(found, count, "{format:?}: {text}");
}

fn flush(output: &mut Stream) {
    if let Some(flush) = output.flush() {
        block(flush);
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_file_is_complete_after_each_flush_and_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    for (at, format) in FORMATS.into_iter().enumerate() {
        let path = dir.path().join(at.to_string());
        let mut output = Stream::start(open(&path, format), format, false, None).unwrap();
        let read = || fs::read_to_string(&path).unwrap();
        for count in 1..4 {
            output.notice(&notice(1));
            flush(&mut output);
            let end = soon();
            // The writer's thread may not have written the trailer yet.
            while read().matches("ring_full").count() < count
                || (format != Format::JsonStream && !is_complete(format, &read()))
            {
                assert!(Instant::now() < end, "{format:?}: {:?}", read());
                std::thread::yield_now();
            }
            assert_counts(format, &read(), count);
        }
        output.notice(&notice(1));
        let ended = Box::new(output).finish(soon());
        assert!(ended.error.is_none() && !ended.reader_closed, "{ended:?}");
        assert_eq!((ended.written, ended.not_written), (0, 0), "notices are not events");
        assert_counts(format, &read(), 4);
    }
}

fn is_complete(format: Format, text: &str) -> bool {
    match format {
        Format::JsonArray | Format::JsonPretty => text.ends_with("\n]\n"),
        Format::JsonStream | Format::Table(_) => text.ends_with('\n'),
    }
}

#[test]
fn a_reopened_stream_starts_a_new_file_and_old_content_is_kept_or_replaced() {
    let dir = tempfile::tempdir().unwrap();
    for (at, format) in FORMATS.into_iter().enumerate() {
        let [first, second] = ["a", "b"].map(|name| dir.path().join(format!("{at}.{name}")));
        let mut output = Stream::start(open(&first, format), format, false, None).unwrap();
        output.notice(&notice(1));
        output.notice(&notice(2));
        output.control().unwrap().reopen(open(&second, format));
        flush(&mut output);
        output.notice(&notice(3));
        assert!(Box::new(output).finish(soon()).error.is_none());
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_counts(format, &read(&first), 2);
        assert_counts(format, &read(&second), 1);
        if matches!(format, Format::Table(_)) {
            assert!(read(&second).starts_with("TIME "), "a heading in each file");
        }
        let mut output = Stream::start(open(&first, format), format, false, None).unwrap();
        output.notice(&notice(4));
        assert!(Box::new(output).finish(soon()).error.is_none());
        assert_counts(format, &read(&first), if format.appends() { 3 } else { 1 });
    }
}

#[test]
fn an_empty_stream_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    for (at, format) in FORMATS.into_iter().enumerate() {
        let path = dir.path().join(at.to_string());
        let output = Stream::start(open(&path, format), format, false, None).unwrap();
        assert!(Box::new(output).finish(soon()).error.is_none());
        assert_counts(format, &fs::read_to_string(&path).unwrap(), 0);
    }
}

fn pipe() -> (File, Target) {
    let (reads, writes) = rustix::pipe::pipe().unwrap();
    (reads.into(), Target::from_fd(writes, "a pipe".to_owned()).unwrap())
}

#[test]
fn a_pipe_gets_the_trailer_when_the_run_ends() {
    for format in FORMATS {
        let (mut reads, target) = pipe();
        let mut output = Stream::start(target, format, false, None).unwrap();
        assert!(output.control().unwrap().pipe().is_some(), "its reader can close it");
        output.notice(&notice(1));
        flush(&mut output);
        output.notice(&notice(2));
        assert!(Box::new(output).finish(soon()).error.is_none());
        let mut text = String::new();
        reads.read_to_string(&mut text).unwrap();
        assert_counts(format, &text, 2);
        assert_eq!(text.matches(']').count(), usize::from(!format.appends()), "{text}");
    }
}

#[test]
fn a_closed_pipe_ends_the_writer_without_an_error() {
    let (reads, target) = pipe();
    let mut output = Stream::start(target, Format::JsonStream, false, None).unwrap();
    let control = output.control().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(control.broken()).poll(&mut context).is_pending(), "it can write");
    drop(reads);
    output.notice(&notice(1));
    block(async {
        if let Some(flush) = output.flush() {
            flush.await;
        }
        control.broken().await;
    });
    let ended = Box::new(output).finish(soon());
    assert!(ended.reader_closed && ended.error.is_none(), "{ended:?}");
}

#[test]
fn a_full_device_is_an_error_with_its_name() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let target = Target::from_fd(OwnedFd::from(full), "/dev/full".to_owned()).unwrap();
    let mut output = Stream::start(target, Format::JsonStream, false, None).unwrap();
    output.notice(&notice(1));
    let ended = Box::new(output).finish(soon());
    assert_eq!(ended.error.unwrap().raw_os_error(), Some(libc::ENOSPC));
    assert_eq!((ended.target.as_str(), ended.reader_closed), ("/dev/full", false));
}

/// The pipe is full: the run ends at the deadline, and the events that were not written are counted.
#[test]
fn finishing_waits_for_a_blocked_reader_until_the_deadline() {
    let (mut reads, target) = pipe();
    let writer = Writer::unbuffered(target).unwrap();
    let mut chunk = Chunk::default();
    for number in 0..20_000 {
        chunk.add(true, |out| out.extend_from_slice(format!("line {number:06}\n").as_bytes()));
    }
    assert!(chunk.is_full());
    let start = Instant::now();
    let ended = writer.finish(chunk, start + Duration::from_millis(50));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(50), "{took:?}");
    assert_eq!(ended.written + ended.not_written, 20_000);
    assert!(ended.not_written > 0 && ended.error.is_none(), "{ended:?}");
    // The pipe's content ends with a complete line.
    let mut text = vec![0; 1 << 20];
    let length = reads.read(&mut text).unwrap();
    assert!(length > 0 && text[..length].ends_with(b"\n"));
}

#[test]
fn events_are_counted_and_buffered_until_a_chunk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    for (at, format) in FORMATS.into_iter().enumerate() {
        let path = dir.path().join(at.to_string());
        let mut output = Stream::start(open(&path, format), format, false, None).unwrap();
        let mut count = 1;
        while !output.event(&table_tests::exit(3)) && count < 10_000 {
            count += 1;
        }
        assert!((100..10_000).contains(&count), "{count}");
        let ended = Box::new(output).finish(soon());
        assert_eq!((ended.written, ended.not_written), (count, 0));
        let text = fs::read_to_string(&path).unwrap();
        assert_counts(format, &text, usize::try_from(count).unwrap());
        if format == Format::JsonPretty {
            assert!(
                text.starts_with("[\n  {\n    \"event_type\": \"process_exit\",\n"),
                "{text:.80}"
            );
        }
    }
}
