//! Plugins that misbehave in a live run at 5 000 events per second. No event is lost, each failure is reported by
//! plugin, kind and cause, memory is bounded, and the files of one user do not affect the events of another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crypto_tracer_tests::made::Made;
use crypto_tracer_tests::{Actor, Ended, Event, Tracer, needs_bpf, temp_dir, until, workspace};

crypto_tracer_tests::tests![
    plugin_failures_of_one_user_do_not_affect_another,
    plugins_that_always_fail_lose_no_event,
    slow_plugin_restart_delays_no_event,
];

/// Opens per second of all users together.
const RATE: u32 = 5000;
/// Duration of the load in seconds.
const SECONDS: u32 = 5;
/// User id whose files make the plugins fail.
const EVIL: u32 = 23_456;
/// User id whose files do not.
const GOOD: u32 = 23_457;

/// Ways of the fixture that fail only for files with `evil` in their path, with the causes that may be reported. On a
/// slow processor, a call that allocates all memory may exceed its deadline first.
const FOR_SOME: [(&str, &[&str]); 8] = [
    ("only-spin", &["deadline"]),
    ("only-alloc", &["memory", "deadline"]),
    ("only-alloc-small", &["memory", "deadline"]),
    ("only-recurse", &["stack"]),
    ("only-panic", &["panic"]),
    ("only-log-flood", &["deadline"]),
    ("only-log-long", &["answer"]),
    ("only-handles", &["answer"]),
];
/// Ways that fail for every file.
const FOR_ALL: [(&str, &[&str]); 12] = [
    ("spin-size", &["deadline"]),
    ("spin-head", &["deadline"]),
    ("word-long", &["answer", "memory", "deadline"]),
    ("word-65", &["answer"]),
    ("word-bad", &["answer"]),
    ("word-empty", &["answer"]),
    ("word-not-utf8", &["answer"]),
    ("labels-17", &["answer"]),
    ("labels-1e6", &["answer", "memory", "deadline"]),
    ("labels-amplify", &["answer", "memory", "deadline"]),
    ("label-value", &["answer"]),
    ("label-name", &["answer"]),
];
/// A plugin that takes long in `configure`, and fails for every file.
const SLOW_START: &str = "configure-slow";
/// The cause of calls that are skipped during a backoff.
const RESTING: &str = "resting";

/// Writes a configuration with one copy of the fixture for each way, followed by the bundled plugin of that kind, if
/// any.
fn configuration(dir: &Path, chains: &[(&str, Vec<&str>)]) -> std::path::PathBuf {
    let fixture = workspace().join("tests/fixtures/plugins/0.1.0/hostile.wasm");
    let mut text = "[plugins]\nsetup_ms = 60000\n".to_owned();
    for (kind, ways) in chains {
        for way in ways {
            let plugin = dir.join(format!("{kind}-{way}.wasm"));
            if *way == SLOW_START {
                fs::write(&plugin, slow_start()).unwrap();
            } else {
                fs::copy(&fixture, &plugin).unwrap();
            }
            fs::set_permissions(&plugin, fs::Permissions::from_mode(0o644)).unwrap();
            text += &format!(
                "[[{kind}]]\npath = {plugin:?}\nallow = [\"file-head\"]\nconfig = {{ way = {way:?} }}\n"
            );
        }
        if *kind != "filter" {
            text += &format!("[[{kind}]]\nbundled = true\n");
        }
    }
    let config = dir.join("config.toml");
    fs::write(&config, text).unwrap();
    config
}

/// Returns a plugin whose `configure` takes at least half a second, far longer than a call may take.
fn slow_start() -> Vec<u8> {
    let configure = "(local.set $n (i32.const 1000000000)) \
        (loop $more (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))";
    Made { configure, classify: "(unreachable)", ..Made::default() }.component()
}

/// Returns the anonymous memory of a process in KiB.
fn anonymous_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Result of a run under load.
struct Run {
    ended: Ended,
    /// Anonymous memory in KiB before the load, and the maximum during the load.
    memory_kib: (u64, u64),
}

fn under_load(chains: &[(&str, Vec<&str>)]) -> Run {
    // Only root may write the configuration of a privileged tracer and the folders above it.
    let dir =
        tempfile::Builder::new().prefix("crypto-tracer-test-").tempdir_in("/var/lib").unwrap();
    let config = configuration(dir.path(), chains);
    let files = temp_dir();
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = |path: &str| {
        let path = files.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    };
    // Many names, so that the verdict cache does not answer all calls.
    let evil: Vec<_> = (0..50).map(|n| file(&format!("home/evil/{n}.key"))).collect();
    let good: Vec<_> = (0..50).map(|n| file(&format!("home/good/{n}.crt"))).collect();
    let count = (RATE / 2 * SECONDS).to_string();
    let rate = (RATE / 2).to_string();
    let actors = [(EVIL, &evil), (GOOD, &good)].map(|(user, paths)| {
        let user = user.to_string();
        let mut words = vec!["as".into(), user.into(), "paced".into(), rate.clone().into()];
        words.push(count.clone().into());
        words.extend(paths.iter().map(|path| path.as_os_str().to_owned()));
        let words: Vec<&std::ffi::OsStr> = words.iter().map(|word| word.as_os_str()).collect();
        Actor::start(env!("CARGO_BIN_EXE_actor"), &words)
    });
    let output = files.path().join("events.json");
    let glob = format!("{}/home/*", files.path().display());
    let tracer = Tracer::command(
        "files",
        ["--extended", "--config", config.to_str().unwrap()].into_iter().chain([
            "--file",
            &glob,
            "--output",
            output.to_str().unwrap(),
        ]),
    );
    let before = anonymous_kib(tracer.pid());
    let mut most = before;
    let opening = actors.map(|actor| std::thread::spawn(move || actor.end()));
    while opening.iter().any(|thread| !thread.is_finished()) {
        most = most.max(anonymous_kib(tracer.pid()));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for thread in opening {
        assert_eq!(thread.join().unwrap(), count);
    }
    let sent = RATE / 2 * SECONDS * 2;
    // Each open is printed, or counted as lost.
    let (mut written, mut text, mut counted) = (File::open(&output).unwrap(), String::new(), 0);
    until("all events", || {
        written.read_to_string(&mut text).unwrap();
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        counted += text.drain(..end).as_str().lines().map(opens_in).sum::<i64>();
        (counted >= i64::from(sent)).then_some(())
    });
    let mut ended = tracer.finish();
    ended.events = Ended::events_in(&output);
    let counted: i64 = ended.events.iter().map(|event| opens_in(event.line())).sum();
    assert_eq!((counted, ended.summary().lost), (i64::from(sent), 0), "{:?}", ended.said);
    Run { ended, memory_kib: (before, most) }
}

/// Returns the number of opens that a line reports, printed or lost.
fn opens_in(line: &str) -> i64 {
    if line.contains("\"event_type\":\"events_lost\"") {
        return Event::of(line).number("count").unwrap();
    }
    // Ignores the reader of another tracer on this machine, which runs as root and reads the same files.
    i64::from(line.contains("\"event_type\":\"file_open\"") && !line.contains("\"uid\":0,"))
}

impl Run {
    /// Returns the causes in the stream by kind and name of the plugin. Checks that the summary has the same counts.
    fn failures(&self) -> BTreeMap<(String, String), BTreeSet<String>> {
        let mut counts: BTreeMap<(String, String, String), i64> = BTreeMap::new();
        for event in self.ended.events.iter().filter(|event| event.kind() == "plugin_failed") {
            let text = |field: &str| event.text(field).to_owned();
            let key = (text("plugin"), text("kind"), text("cause"));
            *counts.entry(key).or_default() += event.number("count").unwrap();
        }
        let mut reported: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for ((plugin, kind, cause), count) in counts {
            let message = format!("plugin {plugin} failed {count} times as a {kind}: {cause}");
            assert!(self.ended.said.iter().any(|line| line.contains(&message)), "{message}");
            let name = plugin.split('@').next().unwrap().to_owned();
            reported.entry((kind, name)).or_default().insert(cause);
        }
        reported
    }

    /// Checks that all events of the good user are classified and redacted, and that no path is printed unredacted.
    fn assert_good_users_events_are_complete(&self) {
        for event in self.ended.events.iter().filter(|event| event.kind() == "file_open") {
            assert!(!event.line().contains("/evil/") && !event.line().contains("/good/"));
            if event.number("uid") == Some(i64::from(GOOD)) {
                assert_eq!(event.text("file_type"), "certificate", "{}", event.line());
                assert!(event.text("file").contains("/home/USER/"), "{}", event.line());
            } else if event.number("uid") == Some(i64::from(EVIL)) {
                assert_eq!(event.text("file_type"), "private_key", "{}", event.line());
            }
        }
    }

    /// An instance may use 16 MiB, and is discarded when it fails.
    fn assert_memory_is_bounded(&self) {
        let (before, most) = self.memory_kib;
        assert!(most - before < 100 << 10, "{before} KiB before, {most} KiB under load");
    }
}

/// Checks that at least one of these causes is reported for a plugin, and no other cause except its backoff.
fn assert_causes(run: &Run, kind: &str, way: &str, causes: &[&str]) {
    let failures = run.failures();
    let key = (kind.to_owned(), format!("{kind}-{way}"));
    let reported = failures.get(&key).unwrap_or_else(|| unreachable!("{key:?}: {failures:?}"));
    assert!(causes.iter().any(|cause| reported.contains(*cause)), "{key:?}: {reported:?}");
    let other =
        reported.iter().find(|cause| !causes.contains(&cause.as_str()) && *cause != RESTING);
    assert_eq!(other, None, "{key:?}");
}

fn plugin_failures_of_one_user_do_not_affect_another() {
    needs_bpf!();
    let ways: Vec<&str> = FOR_SOME.map(|(way, _)| way).to_vec();
    let run = under_load(&[
        ("classifier", ways),
        ("redactor", vec!["only-panic", "only-spin"]),
        ("filter", vec!["panic"]),
    ]);
    for (way, causes) in FOR_SOME {
        assert_causes(&run, "classifier", way, causes);
    }
    // A redactor is not called after an earlier one failed for the same text.
    assert_causes(&run, "redactor", "only-panic", &["panic"]);
    assert_causes(&run, "filter", "panic", &["panic"]);
    run.assert_good_users_events_are_complete();
    let redacted = run.ended.events.iter().filter(|event| {
        event.text("file") == "[REDACTED]" && event.number("uid") == Some(i64::from(EVIL))
    });
    assert_eq!(
        redacted.count() as u32,
        RATE / 2 * SECONDS,
        "not every failure of the redactor hides the path"
    );
    run.assert_memory_is_bounded();
}

fn plugins_that_always_fail_lose_no_event() {
    needs_bpf!();
    let ways: Vec<&str> = FOR_ALL.map(|(way, _)| way).to_vec();
    let run = under_load(&[("classifier", ways)]);
    for (way, causes) in FOR_ALL {
        assert_causes(&run, "classifier", way, causes);
    }
    run.assert_good_users_events_are_complete();
    run.assert_memory_is_bounded();
}

/// The most expensive combination: a redactor that spins for the texts of one user, and a classifier that restarts
/// slowly.
fn slow_plugin_restart_delays_no_event() {
    needs_bpf!();
    let run = under_load(&[
        ("classifier", vec![SLOW_START]),
        ("redactor", vec!["only-spin"]),
        ("filter", vec![]),
    ]);
    assert_causes(&run, "classifier", SLOW_START, &["panic"]);
    assert_causes(&run, "redactor", "only-spin", &["deadline"]);
    run.assert_good_users_events_are_complete();
    run.assert_memory_is_bounded();
}
