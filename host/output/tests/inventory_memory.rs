//! The memory of an inventory, counted in bytes.
#![allow(clippy::unwrap_used, reason = "an unexpected result ends the test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crypto_tracer_event::Timestamp;
use crypto_tracer_output::document::inventory::{
    Coverage, Host, InventoryBuilder, InventoryRun, NotListed, Observation, ObservedProcess,
    ObservedTarget,
};

/// Counts what is allocated now, and the most since [`Counting::restart`].
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn restart() -> usize {
        let now = NOW.load(Ordering::Relaxed);
        MOST.store(now, Ordering::Relaxed);
        now
    }

    fn add(bytes: usize) {
        let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
        MOST.fetch_max(now, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MEGABYTE: usize = 1_000_000;

/// Uses each file by as many programs as give this number of uses, and makes the document. Returns the most bytes that were
/// allocated meanwhile.
fn most_bytes(programs: usize, files: usize, uses: usize) -> usize {
    let before = Counting::restart();
    let mut builder = InventoryBuilder::default();
    for number in 0..uses {
        let (file, program) = (number % files, (number / files + number) % programs);
        let path = format!("/etc/ssl/services/service-{file:06}/certificates/fullchain.pem");
        let exe = format!("/opt/services/service-{program:06}/bin/service-{program:06}");
        let target = ObservedTarget::File {
            path: &path,
            file_type: "certificate",
            flags: 0,
            labels: &[],
            assets: &[],
        };
        let process = ObservedProcess {
            pid: u32::try_from(program).unwrap(),
            start_ns: 1,
            exe: Some(&exe),
            name: "service",
            uid: Some(0),
            container: None,
        };
        let at = Timestamp(i64::try_from(number).unwrap());
        assert!(builder.add(&Observation { at: Some(at), process, target }).is_some());
    }
    let run = InventoryRun {
        at: Timestamp(0),
        window: (Timestamp(0), Timestamp(1)),
        host: Host { hostname: None, kernel: None, os: None },
        coverage: Coverage::default(),
    };
    let document = builder.document(run, &|uid| uid.to_string(), &HashMap::new());
    assert_eq!(document.coverage.not_listed, NotListed::default());
    let lists = [document.programs.len(), document.files.len(), document.uses.len()];
    assert_eq!(lists, [programs, files, uses]);
    serde_json::to_writer(std::io::sink(), &document).unwrap();
    MOST.load(Ordering::Relaxed) - before
}

#[test]
fn a_large_inventory_fits_into_60_megabytes_and_grows_linearly() {
    let most = most_bytes(1_000, 10_000, 100_000);
    println!("{most} bytes");
    assert!(most < 60 * MEGABYTE, "{most} bytes");
    let quarter = most_bytes(250, 2_500, 25_000);
    assert!(most < quarter * 5, "{quarter} bytes for a quarter, {most} for the whole");
}
