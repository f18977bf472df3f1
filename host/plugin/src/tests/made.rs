//! Tests with hand-written components: each trap, tables, handles, later versions of the contract, exact limits.

use crypto_tracer_tests::made::{Made, slow_to_compile};

use super::*;

/// A plugin file in its own temporary directory.
pub(super) struct TempPlugin {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

pub(super) fn plugin_file(made: &Made<'_>) -> TempPlugin {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made.wasm");
    std::fs::write(&path, made.component()).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    TempPlugin { path, _dir: dir }
}

pub(super) fn setup(plugin: &TempPlugin, limits: Limits) -> Setup {
    let spec = PluginSpec::command_line(PluginSource::File(plugin.path.clone()));
    Setup {
        chains: [(PluginKind::Classifier, vec![spec, PluginSpec::bundled()])].into(),
        limits,
        ..Setup::default()
    }
}

/// Failures of `calls` calls of a plugin.
fn outcome(classify_with: &str, items: &str, limits: Limits, calls: usize) -> Vec<(String, u64)> {
    let plugin = plugin_file(&Made { classify: classify_with, items, ..Made::default() });
    let mut plugins = load(&setup(&plugin, limits));
    for n in 0..calls {
        let verdict = classify(&mut plugins, &format!("/{n}.crt"));
        assert_eq!(verdict.file_type, FileType::Certificate, "the next classifier is called");
    }
    failures(&mut plugins)
}

fn once(cause: &str) -> Vec<(String, u64)> {
    vec![(cause.to_owned(), 1)]
}

const DROP: &str = "(call $drop_file (local.get $file))";

#[test]
fn a_minimal_plugin_does_not_fail() {
    assert_eq!(outcome(DROP, "", generous().limits, 3), []);
    let reads_size = format!("(call $size (local.get $file) (i32.const 64)) {DROP}");
    assert_eq!(outcome(&reads_size, "", generous().limits, 3), []);
}

#[test]
fn traps_have_a_cause() {
    for (code, cause) in [
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
        let failures =
            outcome(&format!("{code} {DROP}"), "(table $t 8 funcref)", generous().limits, 1);
        assert_eq!(failures, once(cause.as_str()), "{code}");
    }
}

#[test]
fn handles_are_valid_during_their_call() {
    let kept = "(global $kept (mut i32) (i32.const 0))";
    let use_it = "(call $size (global.get $kept) (i32.const 64))";
    // Uses the handle of the previous call after this call has dropped its own.
    let keep_handle = format!(
        "{DROP} (if (global.get $kept) (then {use_it})) (global.set $kept (local.get $file))"
    );
    for (what, code, calls) in [
        ("keep-handle", keep_handle, 2),
        ("use-after-drop", format!("{DROP} (call $size (local.get $file) (i32.const 64))"), 1),
        ("drop-twice", format!("{DROP} {DROP}"), 1),
        ("drop-forged", format!("{DROP} (call $drop_file (i32.const 77))"), 1),
        ("leak-borrow", String::new(), 1),
    ] {
        let failures = outcome(&code, kept, generous().limits, calls);
        assert_eq!(failures.iter().map(|(_, count)| count).sum::<u64>(), 1, "{what}: {failures:?}");
        assert!(matches!(failures[0].0.as_str(), "answer" | "trap"), "{what}: {failures:?}");
    }
}

/// Grows a table to this number of entries.
fn grow(entries: usize) -> String {
    format!("(drop (table.grow $t (ref.null func) (i32.const {}))) {DROP}", entries - 8)
}

/// Holds this number of handles in addition to that of the file.
fn hold(handles: usize) -> String {
    format!(
        "(local.set $n (i32.const {handles})) (loop $more (drop (call $stdout)) \
         (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) {DROP}"
    )
}

#[test]
fn limits_of_tables_and_handles_are_exact() {
    let table = "(table $t 8 funcref)";
    let limits = || generous().limits;
    assert_eq!(outcome(&grow(10_000), table, limits(), 1), []);
    assert_eq!(outcome(&grow(10_001), table, limits(), 1), once("memory"));
    let few = || Limits { table_entries: 100, ..limits() };
    assert_eq!(outcome(&grow(100), table, few(), 1), []);
    assert_eq!(outcome(&grow(101), table, few(), 1), once("memory"));
    assert_eq!(outcome(&hold(63), "", limits(), 1), []);
    let failures = outcome(&hold(64), "", limits(), 1);
    assert_eq!(failures.iter().map(|(_, count)| count).sum::<u64>(), 1, "{failures:?}");
    let few = || Limits { handles: 8, ..limits() };
    assert_eq!(outcome(&hold(7), "", few(), 1), []);
    assert_eq!(outcome(&hold(8), "", few(), 1).len(), 1);
}

/// Counts to this number of millions.
pub(super) fn count(millions: u32) -> String {
    format!(
        "(local.set $n (i32.const {millions}000000)) (loop $more \
         (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    )
}

#[test]
fn the_configured_time_to_start_applies() {
    let plugin = plugin_file(&Made { configure: &count(2000), ..Made::default() });
    let setup_ms = |ms| {
        let limits = Limits { setup: Duration::from_millis(ms), ..generous().limits };
        Plugins::load(&setup(&plugin, limits)).map(drop).map_err(|error| error.to_string())
    };
    let error = setup_ms(50).unwrap_err();
    assert!(error.contains("cannot be started: ran for more than 50ms"), "{error}");
    assert_eq!(setup_ms(600_000), Ok(()));
}

#[test]
fn the_configured_time_of_a_call_applies() {
    let slow = format!("{} {DROP}", count(500));
    let wall = |ms| Limits { wall: Duration::from_millis(ms), ..generous().limits };
    let mut limits = wall(20);
    limits.deadline = Duration::from_secs(600);
    assert_eq!(outcome(&slow, "", limits, 1), once("deadline"));
    let mut limits = wall(600_000);
    limits.deadline = Duration::from_secs(600);
    assert_eq!(outcome(&slow, "", limits, 1), []);
}

#[test]
fn configured_sizes_apply() {
    let spec = |way: &str| vec![hostile(way)];
    let redact_with = |way: &str, limits: Limits| {
        let mut plugins = load(&Setup {
            chains: [(PluginKind::Redactor, spec(way))].into(),
            limits,
            ..Setup::default()
        });
        redact(&mut plugins, "abc").map(|text| text.len())
    };
    let text = |text| Limits { text, ..generous().limits };
    let hidden = Some(REDACTED.len());
    assert_eq!(redact_with("text-64k", text(64 << 10)), Some(64 << 10));
    assert_eq!(redact_with("text-64k", text((64 << 10) - 1)), hidden);
    let copied = |copied| Limits { copied, ..generous().limits };
    assert_eq!(redact_with("text-64k", copied(70 << 10)), Some(64 << 10));
    assert_eq!(redact_with("text-64k", copied(32 << 10)), hidden);

    let fixture = PathBuf::from(FIXTURES).join("hostile.wasm");
    let size = std::fs::metadata(fixture).unwrap().len() as usize;
    let component = |component| {
        let limits = Limits { component, ..generous().limits };
        let setup = Setup {
            chains: [(PluginKind::Classifier, spec("good"))].into(),
            limits,
            ..Setup::default()
        };
        Plugins::load(&setup).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(component(size), Ok(()));
    let error = component(size - 1).unwrap_err();
    assert!(error.contains(&format!("has more than {} bytes", size - 1)), "{error}");
}

#[test]
fn the_configured_number_of_log_lines_applies() {
    let logged = |log_lines| {
        let limits = Limits { log_lines, ..generous().limits };
        let mut plugins = load(&Setup {
            chains: [(PluginKind::Classifier, vec![hostile("log")])].into(),
            limits,
            ..Setup::default()
        });
        let start = Instant::now();
        (0..50).for_each(|n| drop(classify(&mut plugins, &format!("/{n}"))));
        let seconds = start.elapsed().as_secs() as usize + 2;
        (plugins.take_log().len(), seconds)
    };
    let (lines, seconds) = logged(3);
    assert!((3..=4 * seconds).contains(&lines), "{lines} in {seconds} s");
    assert_eq!(logged(1000).0, 50);
}

#[test]
fn a_function_of_a_later_contract_is_named() {
    let later = Made { version: "0.1.9", ..Made::default() };
    let plain = plugin_file(&later);
    let plugins = load(&setup(&plain, generous().limits));
    assert_eq!(
        plugins.running()[0].contract,
        "0.1.9",
        "a plugin that uses nothing new still loads"
    );
    let plugin = plugin_file(&Made { method: "mtime: func() -> u64;", ..later });
    let error = Plugins::load(&setup(&plugin, generous().limits)).unwrap_err().to_string();
    for part in [
        "built for version 0.1.9",
        "uses `[method]file.mtime`",
        "version 0.1.1 of this program does not have",
        "update crypto-tracer, or build the plugin for version 0.1.1",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_component_beyond_the_bounds_is_not_compiled() {
    let locals = format!("(func (local {}))", "i32 ".repeat(3000));
    let plugin = plugin_file(&Made { items: &locals, ..Made::default() });
    let error = Plugins::load(&setup(&plugin, generous().limits)).unwrap_err().to_string();
    assert!(error.contains("has a function of 3000 locals, at most 2000"), "{error}");
}

#[test]
fn shutdown_does_not_wait_for_the_compiler() {
    let plugin = plugin_file(&Made { items: &slow_to_compile(1), ..Made::default() });
    let setup = setup(&plugin, generous().limits);
    setup.shutdown.request();
    let error = Plugins::load(&setup).unwrap_err();
    assert!(matches!(error.problem, Problem::Stopped), "{error}");
}

/// A plugin with a slow `configure` that fails every call is not instantiated on the thread that processes events.
#[test]
fn a_slow_start_is_repeated_on_another_thread() {
    let plugin =
        plugin_file(&Made { configure: &count(1000), classify: "unreachable", ..Made::default() });
    let limits = Limits {
        setup: Duration::from_secs(60),
        wall: Duration::from_millis(20),
        ..Limits::default()
    };
    let mut plugins = load(&setup(&plugin, limits));
    let took = processor_time(|| {
        for n in 0..2000 {
            // A different user each time, so back-off by user does not apply.
            let verdict = plugins.classify(n, &file(&format!("/{n}.crt")), 0, &mut certificate());
            assert_eq!(verdict.file_type, FileType::Certificate);
        }
    });
    let failed: std::collections::BTreeMap<_, _> = failures(&mut plugins).into_iter().collect();
    assert_eq!(failed.get("panic"), Some(&1), "{failed:?}");
    assert_eq!(failed.get("resting"), Some(&1999), "{failed:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    // Another thread creates the next instance, which is then called.
    let until = Instant::now() + Duration::from_secs(60);
    while failures(&mut plugins).iter().all(|(cause, _)| cause != "panic") {
        assert!(Instant::now() < until, "there is no new instance");
        classify(&mut plugins, "/again.crt");
        std::thread::yield_now();
    }
}

#[test]
fn failures_of_many_users_are_limited_in_time() {
    let slow = format!("{} unreachable", count(20));
    let plugin = plugin_file(&Made { classify: &slow, ..Made::default() });
    let limits = Limits {
        deadline: Duration::from_millis(5),
        wall: Duration::from_secs(60),
        ..generous().limits
    };
    let mut plugins = load(&setup(&plugin, limits));
    let start = Instant::now();
    let took = processor_time(|| {
        for n in 0..1000 {
            plugins.classify(n, &file(&format!("/{n}.crt")), 0, &mut certificate());
        }
    });
    let failed: std::collections::BTreeMap<_, _> = failures(&mut plugins).into_iter().collect();
    assert!(failed.get("resting").is_some_and(|&count| count > 500), "{failed:?}");
    // At most a little over 200 ms in any two seconds.
    let limit = Duration::from_millis(500) * (1 + start.elapsed().as_secs() as u32);
    assert!(took < limit, "{took:?}");
}
