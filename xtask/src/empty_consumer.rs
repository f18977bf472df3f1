//! `cargo xtask empty-consumer`: the tracer's kernel side, drained by a process that does nothing with the records. The
//! benchmark shows the tracer's throughput beside it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crypto_tracer_capture::{CaptureOptions, DrainLimit, Source};
use crypto_tracer_event::EventKinds;
use crypto_tracer_event::interest::Interest;
use serde::{Deserialize, Serialize};

/// Size of the ring, and pause between two drains: those of the tracer.
const RING_BYTES: u32 = 8 << 20;
const NAP: Duration = Duration::from_millis(1);
/// Time without records after which the load has ended.
const QUIET: Duration = Duration::from_millis(500);

static HAS_ENDED: AtomicBool = AtomicBool::new(false);

/// What the process received.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Consumed {
    pub(crate) records: u64,
    /// Records for which the ring had no space.
    pub(crate) lost: u64,
    /// Time from the first record to the last one.
    pub(crate) seconds: f64,
}

/// Drains the ring until standard input is closed and no record has come for a while.
pub(crate) fn run() -> Result<()> {
    let mut interest = Interest::default();
    interest.add_suffix(".key").ok().context("a suffix")?;
    let options = CaptureOptions {
        interest: &interest,
        kinds: EventKinds { open: true, ..EventKinds::NONE },
        pid: None,
        pid_started: None,
        follow_children: false,
        comm: None,
        ring_bytes: RING_BYTES,
        limit_floods: true,
        probe: None,
        excluded_pids: vec![std::process::id()],
    };
    let mut source = Source::start(&options)?;
    println!("ready");
    std::io::stdout().flush()?;
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        HAS_ENDED.store(true, Ordering::Relaxed);
    });
    let all = DrainLimit { records: usize::MAX, bytes: usize::MAX };
    let (mut records, mut first, mut last) = (0, None, Instant::now());
    while !HAS_ENDED.load(Ordering::Relaxed) || last.elapsed() < QUIET {
        let drained = source.drain(all, &mut |record| {
            std::hint::black_box(record.0.len());
        });
        if drained.records > 0 {
            last = Instant::now();
            first.get_or_insert(last);
            records += drained.records as u64;
        }
        std::thread::sleep(NAP);
    }
    let lost = source.losses().causes().iter().map(|(_, count, _)| count).sum();
    let seconds = first.map_or(0.0, |first| last.duration_since(first).as_secs_f64());
    println!("{}", serde_json::to_string(&Consumed { records, lost, seconds })?);
    Ok(())
}
