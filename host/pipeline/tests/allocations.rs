//! Events in the steady state allocate nothing, from the bytes of a record to the line in the file.
//!
//! A test binary of its own, because its global allocator counts the allocations of each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crypto_tracer_pipeline::select::Select;
use crypto_tracer_pipeline::testkit::{Record, TestRun, kind};
use crypto_tracer_plugin::Setup;

/// Rounds before the measurement: caches, buffers and tables reach their sizes.
const WARM_UP: u64 = 300;
/// Measured rounds of a part.
const PART: u64 = 100;
/// Measured parts.
const PARTS: u64 = 10;
/// All rounds.
const ROUNDS: u64 = WARM_UP + PARTS * PART;
/// Allocations of an exec with five arguments: the executable, the list of arguments, each of them, and the joined line.
const FOR_AN_EXEC: u64 = 8;

/// The system's allocator, which counts for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn add_one() {
    // The variable is gone while its thread ends.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add_one();
        // SAFETY: the caller fulfils the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add_one();
        // SAFETY: the caller fulfils the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add_one();
        // SAFETY: the caller fulfils the same contract.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller fulfils the same contract.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Runs the batches, and returns the allocations of the median part after the warm-up. `records`: those of a round.
///
/// The median, because this machine may delay a write, and the queue of the writer's thread, which then takes over,
/// allocates.
fn count(run: &mut TestRun, mut records: impl FnMut(u64) -> Vec<Vec<u8>>) -> u64 {
    let mut round = |round| {
        let records = records(round);
        let before = allocations();
        run.batch(&records);
        allocations() - before
    };
    (0..WARM_UP).for_each(|at| {
        round(at);
    });
    let part = |part| (0..PART).map(|at| round(WARM_UP + part * PART + at)).sum();
    let mut parts: Vec<u64> = (0..PARTS).map(part).collect();
    parts.sort_unstable();
    parts.get(parts.len() / 2).copied().unwrap_or(u64::MAX)
}

fn count_lines(text: &str, event: &str, text_in_line: &str) -> usize {
    let kind = format!("\"event_type\":\"{event}\"");
    text.lines().filter(|line| line.contains(&kind) && line.contains(text_in_line)).count()
}

/// Files that are judged by name, files that are judged by content, and paths that are redacted.
#[test]
fn opens_of_known_files_allocate_nothing() {
    for extended in [false, true] {
        let mut run = TestRun::start(&Setup::default(), Select::default(), extended);
        let paths = ["/etc/ssl/site.key", "/etc/ssl/site.pem", "/home/alice/keys/own.p12"];
        // A few batches are larger than a chunk of the output.
        let counted = count(&mut run, |round| {
            let times = if round % 20 == 0 { 200 } else { 3 };
            let all = paths.iter().flat_map(|path| (0..times).map(move |_| path)).zip(0..);
            all.map(|(path, at)| Record::open(7, path).bytes(round * 1000 + at)).collect()
        });
        let printed = run.end();
        assert_eq!(counted, 0, "allocations in {PART} rounds, extended: {extended}");
        let each = ROUNDS / 20 * (200 + 19 * 3);
        for (path, file_type) in [
            ("/etc/ssl/site.key", "private_key"),
            ("/etc/ssl/site.pem", "certificate"),
            ("/home/USER/keys/own.p12", "keystore"),
        ] {
            let shown = format!("\"file\":\"{path}\"");
            assert_eq!(count_lines(&printed, "file_open", &shown) as u64, each, "{path}");
            let typed = format!("\"file_type\":\"{file_type}\"");
            assert!(count_lines(&printed, "file_open", &typed) as u64 >= each, "{file_type}");
        }
    }
}

/// Each round is a new program image of the process, so its first load of a library is printed and the second is dropped.
#[test]
fn loads_of_known_libraries_allocate_nothing() {
    let mut run = TestRun::start(&Setup::default(), Select::default(), false);
    let paths = ["/usr/lib/libssl.so.3", "/usr/lib/libcrypto.so.3"];
    let counted = count(&mut run, |round| {
        let load =
            |path| Record { kind: kind::LIB_LOAD, path, exec_id: round, ..Record::open(7, path) };
        let all = paths.iter().chain(&paths).zip(round * 10..);
        all.map(|(path, time)| load(path).bytes(time)).collect()
    });
    let (filtered, printed) = (run.pipeline.stats.filtered, run.end());
    assert_eq!(counted, 0, "allocations in {PART} rounds");
    for name in ["libssl", "libcrypto"] {
        let shown = format!("\"library_name\":\"{name}\"");
        assert_eq!(count_lines(&printed, "lib_load", &shown) as u64, ROUNDS);
    }
    assert_eq!(filtered, 2 * ROUNDS);
}

/// Processes that start, run and end. The exec allocates the path of the executable, which later events of the process
/// share, and the arguments, which the redactor gets one by one. No other event of a process allocates.
#[test]
fn a_process_allocates_only_in_its_exec() {
    let mut run = TestRun::start(&Setup::default(), Select::default(), false);
    let life = |round: u64| {
        let pid = u32::try_from(100 + round % 50).unwrap();
        let base = Record { start_ns: 10 + round, ..Record::open(pid, "") };
        let arguments = &["nginx", "-c", "/home/alice/nginx.conf", "--token", "abc"][..];
        let exec = Record { kind: kind::PROCESS_EXEC, path: "/usr/sbin/nginx", arguments, ..base };
        let load = |path| Record { kind: kind::LIB_LOAD, path, ..base };
        let records = [
            exec,
            load("/usr/lib/libssl.so.3"),
            load("/usr/lib/libcrypto.so.3"),
            Record { path: "/etc/ssl/site.pem", ..base },
            Record { kind: kind::PROCESS_EXIT, ..base },
        ];
        records.into_iter().zip(round * 10..).map(|(record, at)| record.bytes(at)).collect()
    };
    let counted = count(&mut run, life);
    let printed = run.end();
    for event in ["process_exec", "file_open", "process_exit"] {
        assert_eq!(count_lines(&printed, event, "") as u64, ROUNDS, "{event}");
    }
    assert_eq!(count_lines(&printed, "lib_load", "") as u64, 2 * ROUNDS);
    assert!(!printed.contains("abc") && !printed.contains("alice"), "redacted");
    assert_eq!(counted, FOR_AN_EXEC * PART, "allocations in {PART} lives");
}
