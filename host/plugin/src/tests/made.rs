//! What a compiled fixture cannot do: traps by name, tables, handles, contracts that are not there yet, limits to the
//! number.

use crypto_tracer_tests::made::{Made, slow_to_compile};

use super::*;

/// A place of its own for each plugin: its folder goes with the test.
pub(super) struct PluginFolder {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

pub(super) fn place(made: &Made<'_>) -> PluginFolder {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made.wasm");
    std::fs::write(&path, made.component()).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    PluginFolder { path, _dir: dir }
}

pub(super) fn setup(place: &PluginFolder, limits: Limits) -> Setup {
    let spec = PluginSpec::command_line(PluginSource::File(place.path.clone()));
    Setup { classifiers: vec![spec, PluginSpec::bundled()], limits, ..Setup::default() }
}

/// What so many calls of a plugin come to, one after the other.
fn outcome(classify_with: &str, items: &str, limits: Limits, calls: usize) -> Vec<(String, u64)> {
    let place = place(&Made { classify: classify_with, items, ..Made::default() });
    let mut plugins = load(&setup(&place, limits));
    for n in 0..calls {
        let verdict = classify(&mut plugins, &format!("/{n}.crt"));
        assert_eq!(verdict.file_type, FileType::Certificate, "the next classifier is asked");
    }
    failures(&mut plugins)
}

fn once(cause: &str) -> Vec<(String, u64)> {
    vec![(cause.to_owned(), 1)]
}

const DROP: &str = "(call $drop_file (local.get $file))";

#[test]
fn a_made_plugin_says_nothing_and_fails_at_nothing() {
    assert_eq!(outcome(DROP, "", patient().limits, 3), []);
    let asks = format!("(call $size (local.get $file) (i32.const 64)) {DROP}");
    assert_eq!(outcome(&asks, "", patient().limits, 3), []);
}

#[test]
fn traps_are_told_as_what_they_are() {
    for (does, cause) in [
        ("(drop (i32.div_u (i32.const 1) (local.get $n)))", Cause::Trap),
        (
            "(drop (i32.div_s (i32.const -2147483648) (i32.sub (local.get $n) (i32.const 1))))",
            Cause::Trap,
        ),
        ("(drop (i32.load (i32.const -4)))", Cause::Trap),
        ("(i32.store (i32.const 65533) (i32.const 1))", Cause::Trap),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", Cause::Trap),
        ("(call_indirect $t (i32.const 7))", Cause::Trap),
        ("(call_indirect $t (i32.const 8))", Cause::Trap),
        ("(unreachable)", Cause::Panic),
    ] {
        let told = outcome(&format!("{does} {DROP}"), "(table $t 8 funcref)", patient().limits, 1);
        assert_eq!(told, once(cause.as_str()), "{does}");
    }
}

#[test]
fn handles_live_as_long_as_their_call() {
    let kept = "(global $kept (mut i32) (i32.const 0))";
    let use_it = "(call $size (global.get $kept) (i32.const 64))";
    // The number of the last call's file, when this call's is given back.
    let keep_handle = format!(
        "{DROP} (if (global.get $kept) (then {use_it})) (global.set $kept (local.get $file))"
    );
    for (what, does, calls) in [
        ("keep-handle", keep_handle, 2),
        ("use-after-drop", format!("{DROP} (call $size (local.get $file) (i32.const 64))"), 1),
        ("drop-twice", format!("{DROP} {DROP}"), 1),
        ("drop-forged", format!("{DROP} (call $drop_file (i32.const 77))"), 1),
        ("leak-borrow", String::new(), 1),
    ] {
        let told = outcome(&does, kept, patient().limits, calls);
        assert_eq!(told.iter().map(|(_, count)| count).sum::<u64>(), 1, "{what}: {told:?}");
        assert!(matches!(told[0].0.as_str(), "answer" | "trap"), "{what}: {told:?}");
    }
}

/// Grows a table to so many entries.
fn grow(entries: usize) -> String {
    format!("(drop (table.grow $t (ref.null func) (i32.const {}))) {DROP}", entries - 8)
}

/// Holds so many handles besides that of the file.
fn hold(handles: usize) -> String {
    format!(
        "(local.set $n (i32.const {handles})) (loop $more (drop (call $stdout)) \
         (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) {DROP}"
    )
}

#[test]
fn tables_and_handles_to_the_number() {
    let table = "(table $t 8 funcref)";
    let limits = || patient().limits;
    assert_eq!(outcome(&grow(10_000), table, limits(), 1), []);
    assert_eq!(outcome(&grow(10_001), table, limits(), 1), once("memory"));
    let few = || Limits { table_entries: 100, ..limits() };
    assert_eq!(outcome(&grow(100), table, few(), 1), []);
    assert_eq!(outcome(&grow(101), table, few(), 1), once("memory"));
    assert_eq!(outcome(&hold(63), "", limits(), 1), []);
    let told = outcome(&hold(64), "", limits(), 1);
    assert_eq!(told.iter().map(|(_, count)| count).sum::<u64>(), 1, "{told:?}");
    let few = || Limits { handles: 8, ..limits() };
    assert_eq!(outcome(&hold(7), "", few(), 1), []);
    assert_eq!(outcome(&hold(8), "", few(), 1).len(), 1);
}

/// Counts to so many millions.
pub(super) fn count(millions: u32) -> String {
    format!(
        "(local.set $n (i32.const {millions}000000)) (loop $more \
         (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    )
}

#[test]
fn the_time_to_start_is_what_was_configured() {
    let place = place(&Made { configure: &count(2000), ..Made::default() });
    let setup_ms = |ms| {
        let limits = Limits { setup: Duration::from_millis(ms), ..patient().limits };
        Plugins::load(&setup(&place, limits)).map(drop).map_err(|error| error.to_string())
    };
    let told = setup_ms(50).unwrap_err();
    assert!(told.contains("cannot be started: ran for more than 50ms"), "{told}");
    assert_eq!(setup_ms(600_000), Ok(()));
}

#[test]
fn the_time_of_a_call_is_what_was_configured() {
    let slow = format!("{} {DROP}", count(500));
    let wall = |ms| Limits { wall: Duration::from_millis(ms), ..patient().limits };
    let mut limits = wall(20);
    limits.deadline = Duration::from_secs(600);
    assert_eq!(outcome(&slow, "", limits, 1), once("deadline"));
    let mut limits = wall(600_000);
    limits.deadline = Duration::from_secs(600);
    assert_eq!(outcome(&slow, "", limits, 1), []);
}

#[test]
fn sizes_are_what_was_configured() {
    let spec = |way: &str| vec![hostile(way)];
    let redact_with = |way: &str, limits: Limits| {
        let mut plugins = load(&Setup { redactors: spec(way), limits, ..Setup::default() });
        redact(&mut plugins, "abc").map(|text| text.len())
    };
    let text = |text| Limits { text, ..patient().limits };
    let hidden = Some(REDACTED.len());
    assert_eq!(redact_with("text-64k", text(64 << 10)), Some(64 << 10));
    assert_eq!(redact_with("text-64k", text((64 << 10) - 1)), hidden);
    let copied = |copied| Limits { copied, ..patient().limits };
    assert_eq!(redact_with("text-64k", copied(70 << 10)), Some(64 << 10));
    assert_eq!(redact_with("text-64k", copied(32 << 10)), hidden);

    let fixture = PathBuf::from(FIXTURES).join("hostile.wasm");
    let size = std::fs::metadata(fixture).unwrap().len() as usize;
    let component = |component| {
        let limits = Limits { component, ..patient().limits };
        let setup = Setup { classifiers: spec("good"), limits, ..Setup::default() };
        Plugins::load(&setup).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(component(size), Ok(()));
    let told = component(size - 1).unwrap_err();
    assert!(told.contains(&format!("has more than {} bytes", size - 1)), "{told}");
}

#[test]
fn lines_are_as_many_as_were_configured() {
    let said = |log_lines| {
        let limits = Limits { log_lines, ..patient().limits };
        let mut plugins =
            load(&Setup { classifiers: vec![hostile("log")], limits, ..Setup::default() });
        let start = Instant::now();
        (0..50).for_each(|n| drop(classify(&mut plugins, &format!("/{n}"))));
        let seconds = start.elapsed().as_secs() as usize + 2;
        (plugins.take_log().len(), seconds)
    };
    let (lines, seconds) = said(3);
    assert!((3..=4 * seconds).contains(&lines), "{lines} in {seconds} s");
    assert_eq!(said(1000).0, 50);
}

#[test]
fn a_later_contract_is_told_with_what_it_has_more() {
    let later = Made { version: "0.1.9", ..Made::default() };
    let plain = place(&later);
    let plugins = load(&setup(&plain, patient().limits));
    assert_eq!(plugins.running()[0].contract, "0.1.9", "what it does not use it may miss");
    let place = place(&Made { method: "mtime: func() -> u64;", ..later });
    let told = Plugins::load(&setup(&place, patient().limits)).unwrap_err().to_string();
    for part in [
        "built for version 0.1.9",
        "uses `[method]file.mtime`",
        "version 0.1.1 of this program does not have",
        "update crypto-tracer, or build the plugin for version 0.1.1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn what_nobody_would_wait_for_is_refused_uncompiled() {
    let locals = format!("(func (local {}))", "i32 ".repeat(3000));
    let place = place(&Made { items: &locals, ..Made::default() });
    let told = Plugins::load(&setup(&place, patient().limits)).unwrap_err().to_string();
    assert!(told.contains("has a function of 3000 locals, at most 2000"), "{told}");
}

#[test]
fn a_wish_to_end_does_not_wait_for_the_compiler() {
    let place = place(&Made { items: &slow_to_compile(1), ..Made::default() });
    let setup = setup(&place, patient().limits);
    setup.shutdown.request();
    let error = Plugins::load(&setup).unwrap_err();
    assert!(matches!(error.problem, Problem::Stopped), "{error}");
}

/// A plugin that needs long to be configured, and fails at every call, does not do that where events wait.
#[test]
fn a_slow_start_is_not_repeated_where_events_wait() {
    let place =
        place(&Made { configure: &count(1000), classify: "unreachable", ..Made::default() });
    let limits = Limits {
        setup: Duration::from_secs(60),
        wall: Duration::from_millis(20),
        ..Limits::default()
    };
    let mut plugins = load(&setup(&place, limits));
    let took = processor(|| {
        for n in 0..2000 {
            // Each for another user: none has failed before.
            let verdict = plugins.classify(n, &file(&format!("/{n}.crt")), 0, &mut certificate());
            assert_eq!(verdict.file_type, FileType::Certificate);
        }
    });
    let told: std::collections::BTreeMap<_, _> = failures(&mut plugins).into_iter().collect();
    assert_eq!(told.get("panic"), Some(&1), "{told:?}");
    assert_eq!(told.get("resting"), Some(&1999), "{told:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    // It is made elsewhere meanwhile, and asked again then.
    let until = Instant::now() + Duration::from_secs(60);
    while failures(&mut plugins).iter().all(|(cause, _)| cause != "panic") {
        assert!(Instant::now() < until, "it is never renewed");
        classify(&mut plugins, "/again.crt");
        std::thread::yield_now();
    }
}

#[test]
fn many_users_failures_take_only_so_much_time() {
    let slow = format!("{} unreachable", count(20));
    let place = place(&Made { classify: &slow, ..Made::default() });
    let limits = Limits {
        deadline: Duration::from_millis(5),
        wall: Duration::from_secs(60),
        ..patient().limits
    };
    let mut plugins = load(&setup(&place, limits));
    let start = Instant::now();
    let took = processor(|| {
        for n in 0..1000 {
            plugins.classify(n, &file(&format!("/{n}.crt")), 0, &mut certificate());
        }
    });
    let told: std::collections::BTreeMap<_, _> = failures(&mut plugins).into_iter().collect();
    assert!(told.get("resting").is_some_and(|&count| count > 500), "{told:?}");
    // Two hundred milliseconds, a little over, in each two seconds at most.
    let most = Duration::from_millis(500) * (1 + start.elapsed().as_secs() as u32);
    assert!(took < most, "{took:?}");
}
