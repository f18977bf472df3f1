//! The cases of the benchmark.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use crypto_tracer_tests::{Ended, Event, Tracer};

use super::Row;
use super::floor::EmptyProgram;
use super::run::{Bench, CallLoop, median, percentile, usage};
use crate::run::{capture, find_program};

type Case = fn(&Bench) -> Result<Vec<Row>>;

/// All cases, in order.
pub(super) const ALL: [(&str, Case); 15] = [
    ("dropped", dropped),
    ("getppid", getppid),
    ("stat", stat),
    ("mmap", mmap),
    ("spawn", spawn),
    ("matching", matching),
    ("bpftrace", bpftrace),
    ("flat-out", flat_out),
    ("start", start),
    ("paced", paced),
    ("memory", memory),
    ("plugins", plugins),
    ("workbench", super::workbench::workbench),
    ("endings", super::endings::endings),
    ("snapshot", super::endings::snapshot),
];

/// Result of paired measurements without and with a tracer: the median ratio, and both median times in nanoseconds.
struct Pairs {
    ratio: f64,
    without_ns: f64,
    with_ns: f64,
}

impl Pairs {
    fn detail(&self) -> String {
        format!("{:.0} ns without, {:.0} ns with", self.without_ns, self.with_ns)
    }
}

fn pairs<T>(
    bench: &Bench,
    call: &[&str],
    path: &[&Path],
    mut begin: impl FnMut() -> Result<T>,
    mut end: impl FnMut(T) -> Result<()>,
) -> Result<Pairs> {
    let (mut ratios, mut without, mut with) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let plain = bench.call_loop(call, path)?.end()?.cpu_ns;
        let tracer = begin()?;
        let traced = bench.call_loop(call, path)?.end()?.cpu_ns;
        end(tracer)?;
        ratios.push(traced / plain);
        without.push(plain);
        with.push(traced);
    }
    Ok(Pairs { ratio: median(ratios)?, without_ns: median(without)?, with_ns: median(with)? })
}

fn traced(bench: &Bench, call: &str, count: u64, path: Option<&Path>) -> Result<Pairs> {
    let count = bench.count(count).to_string();
    let paths: Vec<&Path> = path.into_iter().collect();
    let call = [call, "--count", count.as_str()];
    pairs(
        bench,
        &call,
        &paths,
        || bench.trace(&[]),
        |tracer| {
            tracer.finish();
            Ok(())
        },
    )
}

/// The same calls with an empty program at the end of every system call. Any program there costs at least this.
fn floor(bench: &Bench, call: &str, count: u64, path: Option<&Path>) -> Result<Pairs> {
    let count = bench.count(count).to_string();
    let paths: Vec<&Path> = path.into_iter().collect();
    let attach = || EmptyProgram::attach().context("cannot attach an empty program");
    pairs(bench, &[call, "--count", count.as_str()], &paths, attach, |_| Ok(()))
}

fn dropped(bench: &Bench) -> Result<Vec<Row>> {
    let file = bench.file("plain.txt")?;
    let pairs = traced(bench, "open", 100_000, Some(&file))?;
    let floor = floor(bench, "open", 100_000, Some(&file))?;
    let row = Row::new("open+close of a file outside the interest", pairs.ratio, "× untraced");
    Ok(vec![
        row.at_most(1.15).detail(pairs.detail()),
        Row::new("the same with an empty program at sys_exit", floor.ratio, "× untraced")
            .detail(floor.detail()),
    ])
}

fn getppid(bench: &Bench) -> Result<Vec<Row>> {
    let pairs = traced(bench, "getppid", 400_000, None)?;
    let cost = pairs.with_ns - pairs.without_ns;
    let floor = floor(bench, "getppid", 400_000, None)?;
    Ok(vec![
        Row::new("getppid", pairs.ratio, "× untraced").detail(pairs.detail()),
        Row::new("the same with an empty program at sys_exit", floor.ratio, "× untraced")
            .detail(floor.detail()),
        Row::new("an empty program at sys_exit", floor.with_ns - floor.without_ns, "ns more")
            .detail(floor.detail()),
        Row::new("a system call that opens no file", cost, "ns more")
            .at_most(90.0)
            .detail(pairs.detail()),
    ])
}

fn stat(bench: &Bench) -> Result<Vec<Row>> {
    let file = bench.file("plain.txt")?;
    let pairs = traced(bench, "stat", 200_000, Some(&file))?;
    Ok(vec![Row::new("stat", pairs.ratio, "× untraced").detail(pairs.detail())])
}

fn mmap(bench: &Bench) -> Result<Vec<Row>> {
    let file = bench.file("plain.txt")?;
    fs::write(&file, [0; 4096])?;
    let pairs = traced(bench, "mmap", 100_000, Some(&file))?;
    let row = Row::new("mmap+munmap of code, not a library", pairs.ratio, "× untraced");
    Ok(vec![row.detail(pairs.detail())])
}

fn spawn(bench: &Bench) -> Result<Vec<Row>> {
    let pairs = traced(bench, "spawn", 500, None)?;
    Ok(vec![Row::new("spawn of /bin/true", pairs.ratio, "× untraced").detail(pairs.detail())])
}

fn matching(bench: &Bench) -> Result<Vec<Row>> {
    let file = bench.file("matching.key")?;
    let pairs = traced(bench, "open", 60_000, Some(&file))?;
    let row = Row::new("open+close with an event", pairs.ratio, "× untraced");
    Ok(vec![row.at_most(1.5).detail(pairs.detail())])
}

/// The same call traced by bpftrace, for comparison.
fn bpftrace(bench: &Bench) -> Result<Vec<Row>> {
    if find_program("bpftrace").is_none() {
        eprintln!("bpftrace is not installed: the comparison is skipped");
        return Ok(Vec::new());
    }
    let file = bench.file("matching.key")?;
    let count = bench.count(60_000).to_string();
    let script = "tracepoint:syscalls:sys_enter_openat \
                  { printf(\"%d %s %s\\n\", pid, comm, str(args->filename)); }";
    let begin = || -> Result<_> {
        let mut child = Command::new("bpftrace")
            .args(["-e", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut line = String::new();
        // The first line is `Attaching 1 probe...`; then each open prints a line.
        output.read_line(&mut line)?;
        ensure!(line.contains("Attach"), "bpftrace says {line:?}");
        fs::read(&file)?;
        output.read_line(&mut line)?;
        let reader = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Ok((child, reader))
    };
    let pairs =
        pairs(bench, &["open", "--count", &count], &[&file], begin, |(mut child, reader)| {
            child.kill()?;
            child.wait()?;
            reader.join().ok().context("the reader of bpftrace")??;
            Ok(())
        });
    match pairs {
        Ok(pairs) => {
            let row = Row::new("the same with bpftrace's printf", pairs.ratio, "× untraced");
            Ok(vec![row.detail(pairs.detail())])
        }
        Err(error) => {
            eprintln!("bpftrace does not run here, so the comparison is skipped: {error:#}");
            Ok(Vec::new())
        }
    }
}

/// Waits until the output contains the exits of these processes: all their events stand before that.
fn wait_for_exits(out: &Path, pids: &[u32]) {
    crypto_tracer_tests::until("the call loops' exits", || {
        let text = fs::read(out).unwrap_or_default();
        let tail =
            String::from_utf8_lossy(text.get(text.len().saturating_sub(2000)..).unwrap_or(&text))
                .into_owned();
        pids.iter()
            .all(|pid| {
                let pid = format!("\"pid\":{pid},");
                tail.lines().any(|line| line.contains("process_exit") && line.contains(&pid))
            })
            .then_some(())
    });
}

/// Call loops run at full speed on all processors. Every event passes the whole pipeline into a file.
fn flat_out(bench: &Bench) -> Result<Vec<Row>> {
    let file = bench.file("flat-out.key")?;
    let out = bench.file("out.json")?;
    let each = bench.count(400_000);
    let count = each.to_string();
    let (mut rates, mut lost_all, mut sent_all) = (Vec::new(), 0, 0);
    for _ in 0..bench.rounds.min(3) {
        let mut command = Command::new(&bench.program);
        let glob = file.display().to_string();
        fs::write(&out, "")?;
        command.args(["monitor", "--file", &glob, "--output"]).arg(&out);
        let tracer = Tracer::start(command);
        let cpus: Vec<usize> = (0..bench.cpus()).collect();
        let mut call_loops = cpus
            .iter()
            .map(|&cpu| bench.call_loop_on(cpu, &["open", "--count", &count], &[&file]))
            .collect::<Result<Vec<CallLoop>>>()?;
        let start = Instant::now();
        call_loops.iter_mut().try_for_each(CallLoop::go)?;
        let openers = u64::try_from(call_loops.len())?;
        let sent = each * openers;
        for call_loop in call_loops {
            call_loop.end()?;
        }
        let (received, last) = settled(&out)?;
        let seconds = last.duration_since(start).as_secs_f64();
        let lost = tracer.finish().summary().lost;
        // The exit of each opener may be lost too.
        let most = sent + openers;
        let sum = received + lost;
        ensure!(
            (sent..=most).contains(&sum),
            "{received} received + {lost} lost are not {sent} sent"
        );
        rates.push(received as f64 / seconds);
        lost_all += lost;
        sent_all += sent;
    }
    let detail = format!("{} openers", bench.cpus());
    let share = lost_all as f64 / sent_all as f64 * 100.0;
    Ok(vec![
        Row::new("flat-out, received to a file", median(rates)?, "events/s")
            .at_least(300_000.0)
            .detail(detail),
        Row::new("flat-out, lost", share, "%")
            .at_most(0.0)
            .detail(format!("{lost_all} of {sent_all}, received + lost == sent")),
    ])
}

/// The number of `file_open` lines once the output stops growing, and the time of the last write.
fn settled(out: &Path) -> Result<(u64, Instant)> {
    let mut last = (0, Instant::now());
    loop {
        let size = fs::metadata(out)?.len();
        if size != last.0 {
            last = (size, Instant::now());
        }
        if last.1.elapsed() > Duration::from_millis(500) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let lines = BufReader::new(fs::File::open(out)?).split(b'\n');
    let opens = lines
        .map_while(Result::ok)
        .filter(|line| line.starts_with(b"{\"event_type\":\"file_open\""));
    Ok((u64::try_from(opens.count())?, last.1))
}

/// Time from the start of the program to its first event, while a matching open occurs every millisecond.
fn start(bench: &Bench) -> Result<Vec<Row>> {
    let site = bench.root.join("tests/fixtures/plugins/site-classifier.wasm");
    let site = site.to_str().context("a path that is text")?;
    let file = bench.file("start.pem")?;
    let mut rows = Vec::new();
    for (what, options, most) in [
        ("start to the first event", &[][..], 150.0),
        ("the same with a site's classifier", &["--classifier", site], 200.0),
    ] {
        let mut times = Vec::new();
        for _ in 0..bench.rounds {
            let mut call_loop =
                bench.call_loop(&["open", "--rate", "1000", "--count", "20000"], &[&file])?;
            call_loop.go()?;
            let pid = call_loop.pid().to_string();
            let mut command = bench.command(&["--quiet", "--pid", &pid]);
            command.args(options).stdout(Stdio::piped());
            let begun = Instant::now();
            let mut child = command.spawn()?;
            let mut line = String::new();
            BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
            ensure!(line.contains("file_open"), "the first line is {line:?}");
            child.kill()?;
            child.wait()?;
            call_loop.kill()?;
        }
        rows.push(Row::new(what, median(times)?, "ms").at_most(most));
    }
    Ok(rows)
}

/// Processor time and latency at 5 000 events per second.
fn paced(bench: &Bench) -> Result<Vec<Row>> {
    const RATE: u64 = 5000;
    let seconds = bench.count(10);
    let seconds = if seconds > 10 { 2 } else { seconds };
    let file = bench.file("paced.key")?;
    let (rate, count) = (RATE.to_string(), (RATE * seconds).to_string());
    let mut call_loop = bench.call_loop(&["open", "--rate", &rate, "--count", &count], &[&file])?;
    let tracer = bench.trace(&["--pid", &call_loop.pid().to_string()])?;
    let idle = (usage(tracer.pid())?, Instant::now());
    std::thread::sleep(Duration::from_secs(seconds.min(5)));
    let idle_share =
        (usage(tracer.pid())?.cpu_seconds - idle.0.cpu_seconds) / idle.1.elapsed().as_secs_f64();
    let before = (usage(tracer.pid())?, Instant::now());
    let pid = call_loop.pid();
    call_loop.go()?;
    call_loop.end()?;
    let elapsed = before.1.elapsed().as_secs_f64();
    let share = (usage(tracer.pid())?.cpu_seconds - before.0.cpu_seconds) / elapsed;
    wait_for_exits(&bench.file("out.json")?, &[pid]);
    let summary = tracer.finish().summary();
    ensure!(summary.lost == 0, "{} events lost at {RATE} a second", summary.lost);
    let mut rows = vec![
        Row::new("processor, idle", idle_share * 100.0, "% of a core").at_most(0.1),
        Row::new("processor, 5 000 cached events/s", share * 100.0, "% of a core").at_most(0.5),
    ];
    rows.extend(latency(bench, &file, &rate, &count)?);
    Ok(rows)
}

/// Latency from the event in the kernel to the line in a pipe.
fn latency(bench: &Bench, file: &Path, rate: &str, count: &str) -> Result<Vec<Row>> {
    let mut call_loop = bench.call_loop(&["open", "--rate", rate, "--count", count], &[file])?;
    let pid = call_loop.pid().to_string();
    let mut command = bench.command(&["--pid", &pid]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(child.stderr.take().context("a pipe")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.contains("ready"), "the tracer says {line:?}");
    call_loop.go()?;
    let mut late_ms = Vec::new();
    for line in BufReader::new(child.stdout.take().context("a pipe")?).lines() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let event = Event::of(&line?);
        if event.kind() == "process_exit" {
            break;
        }
        late_ms.push(now.as_secs_f64() * 1e3 - event.micros() as f64 / 1e3);
    }
    child.kill()?;
    child.wait()?;
    call_loop.end()?;
    let mean = late_ms.iter().sum::<f64>() / late_ms.len() as f64;
    let p99 = percentile(&mut late_ms, 0.99)?;
    Ok(vec![
        Row::new("kernel to line, mean, 5 000 events/s", mean, "ms").at_most(1.0),
        Row::new("kernel to line, 99th percentile", p99, "ms").at_most(5.0),
    ])
}

fn memory(bench: &Bench) -> Result<Vec<Row>> {
    let file = bench.file("memory.key")?;
    let tracer = bench.trace(&[])?;
    let mut rows = Vec::new();
    let mut add = |what: &str, most: f64, most_anonymous: f64| -> Result<()> {
        let usage = usage(tracer.pid())?;
        let detail = format!(
            "main {:.1}, reader {:.1}",
            usage.main_rss_mb,
            usage.rss_mb - usage.main_rss_mb
        );
        rows.push(
            Row::new(format!("resident memory, {what}"), usage.rss_mb, "MB")
                .at_most(most)
                .detail(detail),
        );
        let row = Row::new(format!("of which anonymous, {what}"), usage.anonymous_mb, "MB");
        rows.push(row.at_most(most_anonymous));
        Ok(())
    };
    let run = |count: u64, paths: &[&Path]| -> Result<()> {
        let call_loop =
            bench.call_loop(&["open", "--count", &count.to_string(), "--batches", "10"], paths)?;
        let pid = call_loop.pid();
        call_loop.end()?;
        wait_for_exits(&bench.file("out.json")?, &[pid]);
        Ok(())
    };
    run(1000, &[&file])?;
    add("typical", 30.0, 12.0)?;
    run(bench.count(400_000), &[&file])?;
    add("after a flood", 45.0, 20.0)?;
    let many = (0..bench.count(20_000))
        .map(|number| bench.file(&format!("distinct-{number}.pem")))
        .collect::<Result<Vec<_>>>()?;
    for part in many.chunks(2000) {
        let paths: Vec<&Path> = part.iter().map(|path| path.as_path()).collect();
        run(u64::try_from(paths.len())?, &paths)?;
    }
    add("after 20 000 distinct files", 45.0, 20.0)?;
    let _: Ended = tracer.finish();
    Ok(rows)
}

/// One figure that `host/examples/plugin_costs.rs` prints.
#[derive(serde::Deserialize)]
struct Figure {
    what: String,
    value: f64,
    unit: String,
    most: Option<f64>,
    detail: String,
}

/// Cost of loading, calls, failures and memory of plugins, without BPF programs.
fn plugins(bench: &Bench) -> Result<Vec<Row>> {
    let folder = bench.program.parent().context("a program is in a folder")?;
    let costs = folder.join("examples/plugin_costs");
    if !costs.exists() {
        eprintln!("{} is not built: the case is skipped", costs.display());
        return Ok(Vec::new());
    }
    let text = capture(Command::new(&costs).arg(bench.root.join("tests/fixtures/plugins")))?;
    let figures: Vec<Figure> = serde_json::from_str(&text)?;
    let row = |figure: Figure| {
        let Figure { what, value, unit, most, detail } = figure;
        let row = Row::new(what, value, &unit).detail(detail);
        match most {
            Some(most) => row.at_most(most),
            None => row,
        }
    };
    Ok(figures.into_iter().map(row).collect())
}
