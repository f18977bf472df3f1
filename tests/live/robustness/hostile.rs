//! Plugins that misbehave, on the live line at 5 000 events a second: nothing is lost, each failure is told by plugin,
//! kind and cause, memory stays bounded, and one user's files do not change what is told of another's.
//!
//! In a binary of its own: cargo runs these one after the other, so that no other test's tracer is slowed down.

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

/// Opens a second of all users together.
const RATE: u32 = 5000;
/// Seconds that they go on.
const SECONDS: u32 = 5;
/// Whose files make the plugins fail.
const EVIL: u32 = 23_456;
/// Whose do not.
const GOOD: u32 = 23_457;

/// Ways of the fixture that fail for files with `evil` in their path only, with the causes that may be told: to touch all
/// the memory there is may take as long as a call has, where the processor is slow.
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
/// Takes long to be configured, and fails for every file.
const SLOW_START: &str = "configure-slow";
/// The causes of what is no plugin's own word.
const REST: &str = "resting";

/// A configuration with the fixture once for each way, under that name, before the bundled plugin where there is one.
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

/// Counts for half a second or more until it is configured: far longer than a call may take.
fn slow_start() -> Vec<u8> {
    let configure = "(local.set $n (i32.const 1000000000)) \
        (loop $more (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))";
    Made { configure, classify: "(unreachable)", ..Made::default() }.component()
}

/// Kibibytes of a process that belong to no file.
fn anonymous(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A run under load: what it printed, and the most memory that was seen while it ran.
struct Run {
    ended: Ended,
    /// Before the load, and the most while it went on, in kibibytes.
    memory: (u64, u64),
}

fn under_load(chains: &[(&str, Vec<&str>)]) -> Run {
    // Everything above a privileged tracer's configuration has to be root's alone.
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
    // Several names: what is remembered of one is no answer for the next.
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
    let before = anonymous(tracer.pid());
    let mut most = before;
    let opening = actors.map(|actor| std::thread::spawn(move || actor.end()));
    while opening.iter().any(|thread| !thread.is_finished()) {
        most = most.max(anonymous(tracer.pid()));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for thread in opening {
        assert_eq!(thread.join().unwrap(), count);
    }
    let sent = RATE / 2 * SECONDS * 2;
    // Or word that some are lost.
    let (mut written, mut text, mut told) = (File::open(&output).unwrap(), String::new(), 0);
    until("all events", || {
        written.read_to_string(&mut text).unwrap();
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        told += text.drain(..end).as_str().lines().map(tells_of).sum::<i64>();
        (told >= i64::from(sent)).then_some(())
    });
    let mut ended = tracer.finish();
    ended.events = Ended::events_in(&output);
    let theirs: i64 = ended.events.iter().map(|event| tells_of(event.line())).sum();
    assert_eq!((theirs, ended.summary().lost), (i64::from(sent), 0), "{:?}", ended.said);
    Run { ended, memory: (before, most) }
}

/// How many events a line accounts for.
fn tells_of(line: &str) -> i64 {
    if line.contains("\"event_type\":\"events_lost\"") {
        return Event::of(line).number("count").unwrap();
    }
    // The reader of another tracer on this machine, which looks at the same files, is root's.
    i64::from(line.contains("\"event_type\":\"file_open\"") && !line.contains("\"uid\":0,"))
}

impl Run {
    /// Causes that the stream told, by kind and name of the plugin; the same is said at the end, with the same numbers.
    fn failures(&self) -> BTreeMap<(String, String), BTreeSet<String>> {
        let mut counts: BTreeMap<(String, String, String), i64> = BTreeMap::new();
        for event in self.ended.events.iter().filter(|event| event.kind() == "plugin_failed") {
            let word = |field: &str| event.text(field).to_owned();
            let key = (word("plugin"), word("kind"), word("cause"));
            *counts.entry(key).or_default() += event.number("count").unwrap();
        }
        let mut told: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for ((plugin, kind, cause), count) in counts {
            let said = format!("plugin {plugin} failed {count} times as a {kind}: {cause}");
            assert!(self.ended.said.iter().any(|line| line.contains(&said)), "{said}");
            let name = plugin.split('@').next().unwrap().to_owned();
            told.entry((kind, name)).or_default().insert(cause);
        }
        told
    }

    /// Fails where something of the good user's was not classified or not redacted, or something raw is shown at all.
    fn assert_the_good_users_events_are_whole(&self) {
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

    /// Each instance may hold 16 MiB, and is gone when it failed.
    fn assert_memory_is_bounded(&self) {
        let (before, most) = self.memory;
        assert!(most - before < 100 << 10, "{before} kB before, {most} kB under load");
    }
}

/// What is asserted of a chain: a plugin told these causes at least once, and nothing but these and that it rests.
fn assert_told(run: &Run, kind: &str, way: &str, causes: &[&str]) {
    let failures = run.failures();
    let key = (kind.to_owned(), format!("{kind}-{way}"));
    let told = failures.get(&key).unwrap_or_else(|| unreachable!("{key:?}: {failures:?}"));
    assert!(causes.iter().any(|cause| told.contains(*cause)), "{key:?}: {told:?}");
    let other = told.iter().find(|cause| !causes.contains(&cause.as_str()) && *cause != REST);
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
        assert_told(&run, "classifier", way, causes);
    }
    // The second one of a chain is not asked where the first one failed.
    assert_told(&run, "redactor", "only-panic", &["panic"]);
    assert_told(&run, "filter", "panic", &["panic"]);
    run.assert_the_good_users_events_are_whole();
    let redacted = run.ended.events.iter().filter(|event| {
        event.text("file") == "[REDACTED]" && event.number("uid") == Some(i64::from(EVIL))
    });
    assert_eq!(redacted.count() as u32, RATE / 2 * SECONDS, "all that the redactor failed at");
    run.assert_memory_is_bounded();
}

fn plugins_that_always_fail_lose_no_event() {
    needs_bpf!();
    let ways: Vec<&str> = FOR_ALL.map(|(way, _)| way).to_vec();
    let run = under_load(&[("classifier", ways)]);
    for (way, causes) in FOR_ALL {
        assert_told(&run, "classifier", way, causes);
    }
    run.assert_the_good_users_events_are_whole();
    run.assert_memory_is_bounded();
}

/// What costs most: a redactor that spins for one user's texts, behind a classifier that is long in coming back.
fn slow_plugin_restart_delays_no_event() {
    needs_bpf!();
    let run = under_load(&[
        ("classifier", vec![SLOW_START]),
        ("redactor", vec!["only-spin"]),
        ("filter", vec![]),
    ]);
    assert_told(&run, "classifier", SLOW_START, &["panic"]);
    assert_told(&run, "redactor", "only-spin", &["deadline"]);
    run.assert_the_good_users_events_are_whole();
    run.assert_memory_is_bounded();
}
