//! Throughput, processor time and latency under load.

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use crypto_tracer_tests::{Event, Tracer};

use super::row::{Curve, Measured, Row};
use super::run::{Bench, CallLoop, Usage, percentile, usage};
use crate::empty_consumer::Consumed;

/// The longest nap of the tracer between two reads of the ring.
const NAP: Duration = Duration::from_millis(4);

/// Waits until the output contains the exits of these processes: all their events stand before that.
pub(super) fn wait_for_exits(out: &Path, pids: &[u32]) {
    crypto_tracer_tests::until("the call loops' exits", || {
        let tail = tail_of(out).unwrap_or_default();
        pids.iter()
            .all(|pid| {
                let pid = format!("\"pid\":{pid},");
                tail.lines().any(|line| line.contains("process_exit") && line.contains(&pid))
            })
            .then_some(())
    });
}

/// The last lines of a file.
fn tail_of(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(end.saturating_sub(4000)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs call loops at full speed on these processors. Returns their number of opens together.
fn open_flat_out(bench: &Bench, cpus: &[usize], file: &Path) -> Result<u64> {
    let each = bench.count(400_000);
    let count = each.to_string();
    let mut call_loops = cpus
        .iter()
        .map(|&cpu| bench.call_loop_on(cpu, &["open", "--count", &count], &[file]))
        .collect::<Result<Vec<CallLoop>>>()?;
    call_loops.iter_mut().try_for_each(CallLoop::go)?;
    let opens = each * u64::try_from(call_loops.len())?;
    for call_loop in call_loops {
        call_loop.end()?;
    }
    Ok(opens)
}

/// What a tracer did with the opens of call loops at full speed.
struct FlatOut {
    rate: f64,
    lost: u64,
    opens: u64,
    user_us: f64,
}

fn traced_flat_out(bench: &Bench, cpus: &[usize]) -> Result<FlatOut> {
    let (file, out) = (bench.file("flat-out.key")?, bench.file("out.json")?);
    fs::write(&out, "")?;
    let glob = file.display().to_string();
    let mut command = bench.command(&["--file", &glob, "--output"]);
    command.arg(&out);
    let tracer = Tracer::start(command);
    let (before, start) = (usage(tracer.pid())?, Instant::now());
    let opens = open_flat_out(bench, cpus, &file)?;
    let (received, last) = settled(&out)?;
    let user_seconds = usage(tracer.pid())?.user_seconds - before.user_seconds;
    let lost = tracer.finish().summary().lost;
    // The exit of each opener may be lost too.
    let most = opens + u64::try_from(cpus.len())?;
    let sum = received + lost;
    ensure!(
        (opens..=most).contains(&sum),
        "{received} received + {lost} lost are not {opens} sent"
    );
    let rate = received as f64 / last.duration_since(start).as_secs_f64();
    Ok(FlatOut { rate, lost, opens, user_us: user_seconds / received as f64 * 1e6 })
}

/// Every event passes the whole pipeline into a file.
pub(super) fn flat_out(bench: &Bench) -> Result<Measured> {
    let mut rows = Vec::new();
    let all: Vec<usize> = (0..bench.cpus()).collect();
    let (one, rounds) = ([bench.cpus() - 1], bench.rounds.min(3));
    for (who, cpus) in [("one opener", &one[..]), ("an opener on each processor", &all)] {
        let rounds = (0..rounds).map(|_| traced_flat_out(bench, cpus));
        let rounds = rounds.collect::<Result<Vec<FlatOut>>>()?;
        let (lost, opens) =
            rounds.iter().fold((0, 0), |(lost, opens), it| (lost + it.lost, opens + it.opens));
        let floor = format!("floor: flat-out, {who}, received by an empty consumer");
        let rates = rounds.iter().map(|it| it.rate).collect();
        let rate = Row::median(format!("flat-out, {who}: received to a file"), rates, "events/s")?;
        let is_one = who == "one opener";
        let reason =
            "the openers cannot open files faster with an event for each open, as the floor shows";
        rows.push(
            if is_one { rate.at_least(300_000.0).because(reason) } else { rate }
                .floor(floor.clone()),
        );
        let share = lost as f64 / opens as f64 * 100.0;
        let row = Row::new(format!("flat-out, {who}: lost"), share, "% of the events");
        let row = row.detail(format!("{lost} of {opens}; received and lost are what was sent"));
        rows.push(if is_one { row.at_most(0.0) } else { row });
        if is_one {
            let user = rounds.iter().map(|it| it.user_us).collect();
            let row = Row::median("flat-out: user time for a cached event", user, "µs")?;
            rows.push(row.at_most(0.8).because(
                "decoding, five caches, formatting and the copy to the file: the profile has no part that dominates",
            ));
        }
        rows.push(empty_consumer(bench, cpus, &floor)?);
    }
    Ok(rows.into())
}

/// The same kernel side, drained by a process that does nothing with the records.
fn empty_consumer(bench: &Bench, cpus: &[usize], what: &str) -> Result<Row> {
    let file = bench.file("flat-out.key")?;
    let mut command = bench.pinned(std::env::current_exe()?);
    command.arg("empty-consumer").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut said = BufReader::new(child.stdout.take().context("a pipe")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line == "ready\n", "the empty consumer says {line:?}");
    open_flat_out(bench, cpus, &file)?;
    drop(child.stdin.take());
    line.clear();
    said.read_line(&mut line)?;
    child.wait()?;
    let Consumed { records, lost, seconds } = serde_json::from_str(&line)?;
    let row = Row::new(what, records as f64 / seconds, "events/s");
    Ok(row.detail(format!("{records} received, {lost} lost")))
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

/// Processor time of a process since `before`, in percent of a core.
fn share(before: (Usage, Instant), pid: u32) -> Result<f64> {
    let used = usage(pid)?.cpu_seconds - before.0.cpu_seconds;
    Ok(used / before.1.elapsed().as_secs_f64() * 100.0)
}

/// Processor time at several rates of events whose verdicts are cached, beside a process that only naps as often.
pub(super) fn paced(bench: &Bench) -> Result<Measured> {
    const REASON: &str = "each round wakes the process up once or twice, which the floor shows: it does nothing else";
    let file = bench.file("paced.key")?;
    let mut measured = Measured::default();
    let (mut ours, mut naps) = (Vec::new(), Vec::new());
    measured.rows.push(idle(bench)?);
    for (rate, most) in [(50, 0.3), (500, 0.8), (5000, 1.2)] {
        let (percent, lost) = paced_at(bench, &file, rate)?;
        let floor = napping(bench, rate)?;
        let what = format!("floor: a process that only naps, {rate} events/s");
        let row = Row::new(format!("processor, {rate} events/s"), percent, "% of a core");
        measured.rows.push(row.at_most(most).floor(what.clone()).because(REASON));
        measured.rows.push(Row::new(what, floor, "% of a core"));
        let ratio =
            Row::new(format!("processor, {rate} events/s, of the napper's"), percent / floor, "×");
        measured.rows.push(ratio.at_most(2.5).because(
            "what is beyond the napper is the work for the events, and the write to the file in each round",
        ));
        let row = Row::new(format!("lost at {rate} events/s"), lost as f64, "events");
        measured.rows.push(row.at_most(0.0));
        ours.push((f64::from(rate), percent));
        naps.push((f64::from(rate), floor));
    }
    measured.curves.push(Curve::new("processor", "crypto-tracer", ours));
    measured.curves.push(Curve::new("processor", "a process that only naps", naps));
    Ok(measured)
}

/// A tracer of the whole system while the machine is as idle as it is.
fn idle(bench: &Bench) -> Result<Row> {
    let tracer = bench.trace(&["--pid", &std::process::id().to_string()])?;
    let before = (usage(tracer.pid())?, Instant::now());
    std::thread::sleep(Duration::from_secs(bench.seconds(10)));
    let percent = share(before, tracer.pid())?;
    tracer.finish();
    Ok(Row::new("processor, idle", percent, "% of a core").at_most(0.05))
}

/// The share of a core, and the number of lost events.
fn paced_at(bench: &Bench, file: &Path, rate: u32) -> Result<(f64, u64)> {
    let count = u64::from(rate) * bench.seconds(8);
    let (rate, count) = (rate.to_string(), count.to_string());
    let mut call_loop = bench.call_loop(&["open", "--rate", &rate, "--count", &count], &[file])?;
    let pid = call_loop.pid();
    let tracer = bench.trace(&["--pid", &pid.to_string()])?;
    let before = (usage(tracer.pid())?, Instant::now());
    call_loop.go()?;
    call_loop.end()?;
    let percent = share(before, tracer.pid())?;
    wait_for_exits(&bench.file("out.json")?, &[pid]);
    Ok((percent, tracer.finish().summary().lost))
}

/// A process that naps as often as the tracer: for each event, but never more often than the tracer's longest nap allows.
fn napping(bench: &Bench, rate: u32) -> Result<f64> {
    let period = NAP.max(Duration::from_secs(1) / rate);
    let mut command = bench.pinned(std::env::current_exe()?);
    command.args(["napper", "--period-us", &period.as_micros().to_string()]);
    let mut napper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut ready = String::new();
    BufReader::new(napper.stdout.take().context("a pipe")?).read_line(&mut ready)?;
    let before = (usage(napper.id())?, Instant::now());
    std::thread::sleep(Duration::from_secs(bench.seconds(5)));
    let percent = share(before, napper.id());
    napper.kill()?;
    napper.wait()?;
    percent
}

/// Time from the event in the kernel to the line in a pipe.
pub(super) fn latency(bench: &Bench) -> Result<Measured> {
    const RATE: u64 = 5000;
    let file = bench.file("paced.key")?;
    let (rate, count) = (RATE.to_string(), (RATE * bench.seconds(8)).to_string());
    let mut call_loop = bench.call_loop(&["open", "--rate", &rate, "--count", &count], &[&file])?;
    let pid = call_loop.pid().to_string();
    let mut child = ready(bench.command(&["--pid", &pid]))?;
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
    let mut points = Vec::new();
    for percent in (0..=99).chain([100]) {
        points.push((percentile(&mut late_ms, f64::from(percent) / 100.0)?, f64::from(percent)));
    }
    let p99 = percentile(&mut late_ms, 0.99)?;
    let detail = format!("{} events", late_ms.len());
    let rows = vec![
        Row::new("kernel to line, mean, 5 000 events/s", mean, "ms").at_most(2.5).detail(detail),
        Row::new("kernel to line, 99th percentile, 5 000 events/s", p99, "ms").at_most(4.8).because(
            "a nap takes up to 4 ms, and the rest is the delay until the kernel runs the process",
        ),
    ];
    let curves = vec![Curve::new("latency", "events with a line by then", points)];
    Ok(Measured { rows, curves })
}

/// Starts a tracer whose output is a pipe, and waits until it is ready.
fn ready(mut command: Command) -> Result<Child> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(child.stderr.take().context("a pipe")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.contains("ready"), "the tracer says {line:?}");
    // Standard error must be drained, otherwise the final messages could block the tracer.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    Ok(child)
}
