//! Measures the processor time of an event as the system grows. `cargo xtask bench` runs this in a release build.
//!
//! Usage: `event_costs FIXTURES`, the directory of the test plugins. Prints a list of figures as JSON. There is no kernel
//! side: the records are made here, and pass all stages from the decoder to a file.
#![expect(clippy::print_stdout, reason = "xtask reads the figures from stdout")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use crypto_tracer_event::PluginKind;
use crypto_tracer_pipeline::glob::Glob;
use crypto_tracer_pipeline::select::Select;
use crypto_tracer_pipeline::testkit::{Record, TestRun, kind};
use crypto_tracer_plugin::{PluginSource, PluginSpec, Setup};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Events of a batch: about those of a drain while many events arrive.
const BATCH: usize = 250;
/// Passes over the events before the measurement, which fill the caches.
const WARM_UP: u64 = 3;
/// Measured passes.
const PASSES: u64 = 9;
/// Events of a pass, at least.
const EVENTS: usize = 5000;
/// Processes, files or libraries of the smallest measurement. The others have 10 and 100 times as many.
const FEW: usize = 10;

fn main() -> Result<()> {
    let fixtures = std::env::args_os().nth(1).context("event_costs FIXTURES")?;
    let fixtures = Path::new(&fixtures);
    let dir = tempfile::tempdir()?;
    let mut figures = Vec::new();
    for count in [FEW, 10 * FEW, 100 * FEW] {
        figures.push(figure(count, "processes", processes(count), ""));
    }
    for count in [FEW, 10 * FEW, 100 * FEW] {
        figures.push(figure(count, "files", files(count), ""));
    }
    for count in [FEW, 10 * FEW, 100 * FEW] {
        figures.push(figure(count, "libraries", libraries(count), "loads of them"));
    }
    for count in [1, 10, 100] {
        let globs = (0..count).map(|at| Glob::new(&format!("/srv/*{}*", at % 10)));
        let globs = globs.collect::<Result<_, _>>().ok().context("a glob")?;
        let select = Select { files: globs, ..Select::default() };
        let detail = "each pattern of --file is matched with each path";
        figures.push(figure(count, "file filters", filtered(select), detail));
    }
    for (what, kind, file, detail) in [
        (
            "classifier plugins",
            PluginKind::Classifier,
            "site-classifier.wasm",
            "verdicts are cached",
        ),
        (
            "filter plugins",
            PluginKind::Filter,
            "0.1.0/hostile.wasm",
            "each filter sees each event, because its decisions are not cached",
        ),
    ] {
        // A file may be in a chain only once.
        let copies = (0..100).map(|at| {
            let copy = dir.path().join(format!("{at}-{what}.wasm"));
            std::fs::copy(fixtures.join(file), &copy)?;
            std::fs::set_permissions(&copy, Permissions::from_mode(0o600))?;
            Ok(PluginSpec::command_line(PluginSource::File(copy)))
        });
        let copies = copies.collect::<Result<Vec<PluginSpec>>>()?;
        for count in [1, 10, 100] {
            let mut chain: Vec<PluginSpec> = copies.iter().take(count).cloned().collect();
            if kind == PluginKind::Classifier {
                // Without it, nothing would be in the interest, and no event would pass.
                chain.push(PluginSpec::bundled());
            }
            let chains = [(kind, chain)].into();
            let setup = Setup { chains, ..Setup::default() };
            figures.push(figure(count, what, with_plugins(&setup), detail));
        }
    }
    println!("{}", Value::Array(figures));
    Ok(())
}

fn figure(count: usize, what: &str, time: Duration, detail: &str) -> Value {
    let what = format!("an event with {count} {what}");
    let us = time.as_secs_f64() * 1e6;
    json!({ "what": what, "value": us, "unit": "µs", "most": null, "detail": detail })
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Processor time of an event: the median of all passes. `records`: those of a pass.
fn measure(mut run: TestRun, records: impl Fn(u64) -> Vec<Vec<u8>>) -> Duration {
    let (mut times, mut total) = (Vec::new(), 0);
    for pass in 0..WARM_UP + PASSES {
        let records = records(pass);
        total += records.len();
        let begun = thread_time();
        records.chunks(BATCH).for_each(|batch| run.batch(batch));
        let events = u32::try_from(records.len()).unwrap_or(u32::MAX).max(1);
        times.push((thread_time() - begun) / events);
    }
    let printed = run.end().lines().count();
    assert_eq!(printed, total, "some events did not pass");
    let mut measured = times.split_off(usize::try_from(WARM_UP).unwrap_or(0));
    measured.sort_unstable();
    measured.get(measured.len() / 2).copied().unwrap_or_default()
}

/// Opens that take `count` processes and `count` paths in turns.
fn opens(pids: usize, paths: Vec<String>) -> impl Fn(u64) -> Vec<Vec<u8>> {
    move |pass| {
        let events = EVENTS.max(pids).max(paths.len());
        let pids = (0..pids).cycle().zip(paths.iter().cycle()).take(events);
        let records = pids.zip(0..).map(|((pid, path), at)| {
            let pid = u32::try_from(100 + pid).unwrap_or(u32::MAX);
            Record::open(pid, path).bytes(pass * 1_000_000 + at)
        });
        records.collect()
    }
}

fn bundled() -> TestRun {
    TestRun::start(&Setup::default(), Select::default(), false)
}

fn processes(count: usize) -> Duration {
    measure(bundled(), opens(count, vec!["/srv/site/site.key".to_owned()]))
}

fn files(count: usize) -> Duration {
    let paths = (0..count).map(|at| format!("/srv/site/{at}.pem")).collect();
    measure(bundled(), opens(1, paths))
}

/// Each pass is a new program image of the process, in which each load is the first one.
fn libraries(count: usize) -> Duration {
    let paths: Vec<String> = (0..count).map(|at| format!("/opt/{at}/libssl.so.3")).collect();
    measure(bundled(), move |pass| {
        let events = EVENTS.max(paths.len());
        let all = paths.iter().cycle().take(events).zip(0..);
        let records = all.map(|(path, at)| {
            let exec_id = pass * 1_000_000 + at / paths.len() as u64;
            let load = Record { kind: kind::LIB_LOAD, exec_id, ..Record::open(7, path) };
            load.bytes(pass * 1_000_000 + at)
        });
        records.collect()
    })
}

fn filtered(select: Select) -> Duration {
    let run = TestRun::start(&Setup::default(), select, false);
    measure(run, opens(1, vec!["/srv/0123456789/site.key".to_owned()]))
}

fn with_plugins(setup: &Setup) -> Duration {
    let run = TestRun::start(setup, Select::default(), false);
    measure(run, opens(1, vec!["/srv/site/site.key".to_owned()]))
}
