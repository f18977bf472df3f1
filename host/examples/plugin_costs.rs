//! Measures the cost of plugins. `cargo xtask bench` runs this in a release build and checks the figures.
//!
//! Usage: `plugin_costs FIXTURES`, the directory of the test plugins. Prints a list of figures as JSON.
#![expect(clippy::print_stdout, reason = "xtask reads the figures from stdout")]

use std::fs::Permissions;
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crypto_tracer_event::{
    Ancestor, ClassifiedEvent, EnrichedEvent, EnrichedWhat, Field, HeadOutcome, KernelPath,
    OpenedFile, PluginKind, ProcessFacts, ProcessKey, Redact, Timestamp,
};
use crypto_tracer_plugin::{HeadSource, Limits, PluginSource, PluginSpec, Plugins, Setup};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Duration of the measurement of each kind of call.
const MEASURE: Duration = Duration::from_millis(400);
/// Calls of one round, which is measured as a whole.
const ROUND: u32 = 256;
/// Number of loads of each plugin.
const LOADS: usize = 21;
const UID: u32 = 1000;

fn main() -> Result<()> {
    let fixtures = PathBuf::from(std::env::args_os().nth(1).context("plugin_costs FIXTURES")?);
    // Memory first, before other measurements allocate.
    let mut figures = vec![memory()?];
    let copies = PluginCopies::of(&fixtures)?;
    figures.extend(loads(&copies)?);
    figures.extend(calls(&copies)?);
    figures.extend(failures(&copies)?);
    println!("{}", Value::Array(figures));
    Ok(())
}

/// Copies of plugins that only their owner can write.
struct PluginCopies {
    site: PluginSpec,
    hostile: PathBuf,
    filter: PathBuf,
    _dir: tempfile::TempDir,
}

impl PluginCopies {
    fn of(fixtures: &Path) -> Result<PluginCopies> {
        let dir = tempfile::tempdir()?;
        let copy = |from: &str, name: &str| -> Result<PathBuf> {
            let (from, to) = (fixtures.join(from), dir.path().join(name));
            std::fs::copy(&from, &to).with_context(|| from.display().to_string())?;
            std::fs::set_permissions(&to, Permissions::from_mode(0o600))?;
            Ok(to)
        };
        let site = copy("site-classifier.wasm", "site.wasm")?;
        let hostile = copy("0.1.0/hostile.wasm", "hostile.wasm")?;
        let filter = copy("filter-probe.wasm", "filter.wasm")?;
        let site = PluginSpec::command_line(PluginSource::File(site));
        Ok(PluginCopies { site, hostile, filter, _dir: dir })
    }

    /// The fixture that misbehaves in this way.
    fn hostile(&self, way: &str) -> PluginSpec {
        spec_of(&self.hostile, way)
    }

    /// The fixture that calls what the current contract added to events.
    fn filter(&self, way: &str) -> PluginSpec {
        spec_of(&self.filter, way)
    }
}

fn spec_of(file: &Path, way: &str) -> PluginSpec {
    let mut spec = PluginSpec::command_line(PluginSource::File(file.to_owned()));
    spec.config.insert("way".to_owned(), json!(way));
    spec
}

/// `most`: upper limit of the value. None: the value is not checked.
fn figure(
    what: &str,
    value: f64,
    unit: &str,
    most: impl Into<Option<f64>>,
    detail: impl Into<String>,
) -> Value {
    let (most, detail): (Option<f64>, String) = (most.into(), detail.into());
    json!({ "what": what, "value": value, "unit": unit, "most": most, "detail": detail })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Processor time of this process, including the compiler's thread. It does not depend on the load of the machine.
fn processor_time(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
        seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs())
    };
    let start = now();
    work()?;
    Ok(now().saturating_sub(start))
}

/// Resident memory of this process in megabytes: all of it, and the anonymous part.
fn resident() -> Result<(f64, f64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let of = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    let megabytes = |key: &str| of(key).map(|kib| kib * 1024.0 / 1e6).context("no such line");
    Ok((megabytes("VmRSS:")?, megabytes("RssAnon:")?))
}

fn memory() -> Result<Value> {
    let before = resident()?;
    let mut plugins = Plugins::load(&Setup::default())?;
    plugins.classify(UID, &file("/etc/ssl/a.pem"), 0, &mut Certificate);
    black_box(plugins.redactor(UID).redact(Field::File, "/home/alice/a.pem", &[]));
    let after = resident()?;
    let detail = format!("anonymous {:.1}, with what is remembered", after.1 - before.1);
    Ok(figure("memory of the bundled plugins", after.0 - before.0, "MB", 8.0, detail))
}

fn loads(copies: &PluginCopies) -> Result<Vec<Value>> {
    let time = |classifiers: Vec<PluginSpec>, redactors: Vec<PluginSpec>| -> Result<Duration> {
        let chains =
            [(PluginKind::Classifier, classifiers), (PluginKind::Redactor, redactors)].into();
        let setup = Setup { chains, ..Setup::default() };
        let mut times = Vec::new();
        for _ in 0..LOADS {
            times.push(processor_time(|| {
                black_box(Plugins::load(&setup)?);
                Ok(())
            })?);
        }
        Ok(median(times))
    };
    let bundled = || vec![PluginSpec::bundled()];
    let none = time(vec![], vec![])?;
    let detail = format!("processor time, besides {:.2} ms for the engine", ms(none));
    let mut figures = Vec::new();
    for (what, classifiers, redactors, most) in [
        ("load of the bundled classifier", bundled(), vec![], Some(1.0)),
        ("load of the bundled redactor", vec![], bundled(), Some(1.0)),
        ("load of a site's plugin", vec![copies.site.clone()], vec![], Some(60.0)),
        ("load of a plugin of 100 KB", vec![copies.hostile("")], vec![], None),
    ] {
        let took = time(classifiers, redactors)?.saturating_sub(none);
        figures.push(figure(what, ms(took), "ms", most, detail.clone()));
    }
    Ok(figures)
}

/// Processor time of a call: the average of a round, the median of all rounds.
fn call(mut call: impl FnMut()) -> Result<Duration> {
    let end = Instant::now() + MEASURE;
    let mut rounds = Vec::new();
    while rounds.len() < 3 || Instant::now() < end {
        let round = processor_time(|| {
            (0..ROUND).for_each(|_| call());
            Ok(())
        })?;
        rounds.push(round / ROUND);
    }
    Ok(median(rounds))
}

fn calls(copies: &PluginCopies) -> Result<Vec<Value>> {
    let limits = Limits { wall: Duration::from_secs(10), ..Limits::default() };
    let every = Setup { every_call: true, limits, ..Setup::default() };
    let mut figures = Vec::new();
    for (word, setup) in [("remembered", Setup::default()), ("called", every)] {
        let mut plugins = Plugins::load(&setup)?;
        let pem = file("/etc/ssl/certs/site.pem");
        let classify = call(|| {
            black_box(plugins.classify(UID, &pem, 0, &mut Certificate));
        })?;
        let path = "/home/alice/keys/own.key";
        let redact = call(|| {
            black_box(plugins.redactor(UID).redact(Field::File, path, &[]));
        })?;
        let line = "nginx -c /home/alice/nginx.conf --user alice --token abc";
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let command_line = call(|| {
            black_box(plugins.redactor(UID).redact(Field::Cmdline, line, &words));
        })?;
        ensure!(plugins.failures() == 0, "calls failed");
        for (what, took) in [
            ("classify", classify),
            ("redact a path", redact),
            ("redact a command line", command_line),
        ] {
            figures.push(figure(&format!("{what}, {word}"), us(took), "µs", None, ""));
        }
    }
    let chains = [(PluginKind::Filter, vec![copies.hostile("")])].into();
    let mut plugins = Plugins::load(&Setup { chains, ..Setup::default() })?;
    let event = event();
    let keep = call(|| {
        black_box(plugins.decide(&event));
    })?;
    ensure!(plugins.failures() == 0, "calls failed");
    figures.push(figure("keep, called", us(keep), "µs", None, "never remembered"));
    figures.push(ancestor(copies)?);
    Ok(figures)
}

/// A call of `event.ancestor` in a filter.
fn ancestor(copies: &PluginCopies) -> Result<Value> {
    const REPEATED: u32 = 1000;
    let mut event = event();
    let exe = Some(b"/usr/lib/openssh/sshd-session"[..].into());
    event.event.process.ancestors = Some([Ancestor { pid: 6, exe, ..Ancestor::default() }].into());
    let limits = Limits {
        deadline: Duration::from_secs(1),
        wall: Duration::from_secs(10),
        copied: 64 << 20,
        ..Limits::default()
    };
    let decide = |count: u32| -> Result<Duration> {
        let filters = vec![copies.filter(&format!("ancestor-repeat {count}"))];
        let chains = [(PluginKind::Filter, filters)].into();
        let mut plugins =
            Plugins::load(&Setup { chains, limits: limits.clone(), ..Setup::default() })?;
        let took = call(|| {
            black_box(plugins.decide(&event));
        })?;
        ensure!(plugins.failures() == 0, "calls failed");
        Ok(took)
    };
    let took = decide(REPEATED)?.saturating_sub(decide(0)?) / REPEATED;
    let detail = "with the copy of a path of 29 bytes";
    Ok(figure("event.ancestor", us(took), "µs", 0.3, detail))
}

fn failures(copies: &PluginCopies) -> Result<Vec<Value>> {
    let load = |way: &str| {
        let chains = [(PluginKind::Classifier, vec![copies.hostile(way)])].into();
        Plugins::load(&Setup { chains, every_call: true, ..Setup::default() })
    };
    let file = file("/etc/ssl/a.crt");
    let mut good = load("word")?;
    let well = call(|| {
        black_box(good.classify(UID, &file, 0, &mut Certificate));
    })?;
    let mut bad = load("word-empty")?;
    let failing = call(|| {
        black_box(bad.classify(UID, &file, 0, &mut Certificate));
    })?;
    ensure!(good.failures() == 0 && bad.failures() > 0, "the wrong calls failed");
    let renewal = figure(
        "renewal of a failed instance",
        ms(failing.saturating_sub(well)),
        "ms",
        0.1,
        "a call with a wrong answer, less one with a right one",
    );
    let mut spinning = load("spin")?;
    let mut times = Vec::new();
    for _ in 0..LOADS {
        times.push(processor_time(|| {
            black_box(spinning.classify(UID, &file, 0, &mut Certificate));
            Ok(())
        })?);
    }
    ensure!(spinning.failures() == LOADS as u64, "a call did not reach its deadline");
    let deadline = Limits::default().deadline;
    let slowest = times.iter().max().copied().unwrap_or_default();
    let beyond = median(times).saturating_sub(deadline);
    let detail = format!("processor time; the slowest took {:.1} ms in all", ms(slowest));
    let spin = figure("a spinning plugin, beyond its deadline", ms(beyond), "ms", 10.0, detail);
    Ok(vec![renewal, spin])
}

struct Certificate;

impl HeadSource for Certificate {
    fn head(&mut self) -> (&[u8], HeadOutcome) {
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", HeadOutcome::Read)
    }

    fn size(&mut self) -> Option<u64> {
        Some(60)
    }
}

fn file(path: &str) -> OpenedFile {
    let path = KernelPath { bytes: path.into(), ..KernelPath::default() };
    OpenedFile { path, dev: 1, inode: 2, size: 60, ctime_ns: 4, ..OpenedFile::default() }
}

fn event() -> ClassifiedEvent {
    let process = ProcessFacts {
        key: ProcessKey { tgid: 7, start_ns: 1 },
        exec_id: 1,
        tid: 7,
        ppid: 1,
        uid: UID,
        ..ProcessFacts::default()
    };
    let what = EnrichedWhat::Exit { exit_code: 0, signal: None };
    let event = EnrichedEvent { timestamp: Timestamp(5), process, what };
    ClassifiedEvent { event, verdict: None, labels: Vec::new(), assets: None }
}
