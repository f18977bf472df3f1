//! Plugins that cannot be loaded. The error names the plugin, the cause and the remedy.

use std::path::Path;

use super::*;

fn refused(spec: PluginSpec) -> String {
    let setup = Setup { chains: [(PluginKind::Classifier, vec![spec])].into(), ..Setup::default() };
    let error = Plugins::load(&setup).unwrap_err().to_string();
    assert!(error.starts_with("the classifier ") && !error.contains('\n'), "{error}");
    error
}

fn refused_file(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let error = refused(PluginSpec::command_line(PluginSource::File(path.clone())));
    assert!(error.contains(&path.display().to_string()), "{error}");
    error
}

/// A component that imports one empty interface and exports nothing.
fn importing(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend([7, 3, 1, 0x42, 0]); // type section: an instance
    bytes.extend([10, length + 5, 1, 0, length]); // import section: a name
    bytes.extend(name.as_bytes());
    bytes.extend([5, 0]); // the type of the import
    bytes
}

#[test]
fn a_file_that_is_not_a_plugin_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let hostile = std::fs::read(copy_of("hostile.wasm")).unwrap();
    let half = &hostile[..hostile.len() / 2];
    let noise: Vec<u8> = (0..1000u32).map(|n| ((n * 7919) >> 3) as u8).collect();
    for (name, bytes, expected) in [
        ("empty", &b""[..], "is empty"),
        ("noise", &noise, "is not WebAssembly"),
        ("text", b"#!/bin/sh\n", "is not WebAssembly"),
        ("core", b"\0asm\x01\0\0\0", "is a core module"),
        ("cut", half, "is damaged or cut short"),
        ("nothing", b"\0asm\x0d\0\x01\0", "exports no classifier: it exports nothing"),
    ] {
        let error = refused_file(dir.path(), name, bytes);
        assert!(error.contains(expected), "{name}: {error}");
    }
    let missing = PluginSource::File(dir.path().join("missing"));
    assert!(refused(PluginSpec::command_line(missing)).contains("cannot be read: No such file"));
    let folder = PluginSource::File(dir.path().to_owned());
    assert!(refused(PluginSpec::command_line(folder)).contains("is not a regular file"));
    let large = dir.path().join("large");
    std::fs::File::create(&large).unwrap().set_len(200 << 20).unwrap();
    let error = refused(PluginSpec::command_line(PluginSource::File(large)));
    assert!(error.contains("more than 4194304 bytes"), "{error}");
}

#[test]
fn a_fifo_does_not_block_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(
        refused(PluginSpec::command_line(PluginSource::File(fifo))).contains("not a regular file")
    );
}

#[test]
fn unsupported_imports_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for import in ["wasi:sockets/tcp@0.2.0", "wasi:http/outgoing-handler@0.2.0", "acme:host/shell"]
    {
        let error = refused_file(dir.path(), "x", &importing(import));
        assert!(error.contains(&format!("imports `{import}`")), "{error}");
    }
    let error = refused(PluginSpec::command_line(fixture("hostile-network.wasm")));
    assert!(error.contains("imports `wasi:sockets/"), "{error}");
}

/// A component that uses an unsupported feature is not reported as damaged.
#[test]
fn unsupported_webassembly_features_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (text, used) in [
        ("(core module (memory 1 1 shared))", "threads"),
        ("(core module (type (struct (field i32))))", "GC"),
        ("(core module (type (array i8)))", "GC"),
        ("(core module (func (drop (ref.i31 (i32.const 1)))))", "GC"),
        ("(type (future u8))", "async"),
        ("(type (stream u8))", "async"),
        ("(core func (canon task.cancel))", "async"),
    ] {
        let text = format!(
            "(component {text} (instance $i) (export \"crypto-tracer:plugin/classifier@0.1.0\" (instance $i)))"
        );
        let error = refused_file(dir.path(), "x", &wat::parse_str(&text).unwrap());
        assert!(
            error.contains(&format!("uses {used}, which plugins cannot use")),
            "{text}: {error}"
        );
        assert!(!error.contains("damaged"), "{error}");
    }
}

#[test]
fn an_incompatible_version_of_the_contract_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = refused_file(dir.path(), "new", &importing("crypto-tracer:plugin/events@0.2.0"));
    assert!(error.contains("version 0.2.0") && error.contains("has 0.1.1"), "{error}");
    assert!(error.contains("update crypto-tracer"), "{error}");
    let error = refused_file(dir.path(), "old", &importing("crypto-tracer:plugin/events@0.0.3"));
    assert!(error.contains("build the plugin again"), "{error}");
    let error = refused_file(dir.path(), "odd", &importing("crypto-tracer:plugin/secrets@0.1.0"));
    assert!(error.contains("exports no classifier"), "{error}");
}

#[test]
fn a_plugin_of_another_kind_is_refused() {
    let spec = PluginSpec::command_line(fixture("redact-default.wasm"));
    let error = refused(spec);
    assert!(
        error.contains("exports no classifier: it exports crypto-tracer:plugin/redactor@0.1.0"),
        "{error}"
    );
    let setup = Setup {
        chains: [(PluginKind::Filter, vec![PluginSpec::bundled()])].into(),
        ..Setup::default()
    };
    let error = Plugins::load(&setup).unwrap_err().to_string();
    assert_eq!(error, "the filter default: there is no bundled one: name a file");
}

#[test]
fn a_plugin_that_fails_to_start_is_refused() {
    for (way, expected) in [
        ("configure-spin", "cannot be started: ran for more than 1s"),
        ("configure-trap", "cannot be started: panicked"),
        ("configure-error", "refuses its configuration: not"),
        ("configure-long-error", "cannot be started: "),
        ("configure-alloc", "bytes of memory, 16777216 are allowed"),
        ("interest-flood", "more than 64 suffixes"),
        ("interest-long", "is not 3 to 15 bytes"),
        ("interest-bad", "the file name \"a/b\""),
    ] {
        let error = refused(hostile(way));
        assert!(error.contains(expected), "{way}: {error}");
        assert!(!error.contains('\u{1b}') && error.len() < 600, "{way}: {error}");
    }
    let mut spec = hostile("configure-trap");
    spec.source = fixture("hostile-wasi.wasm");
    let error = refused(spec);
    assert!(
        error.contains("panicked")
            && error.contains("its output: ")
            && error.contains("on purpose"),
        "{error}"
    );
    assert!(!error.contains("RUST_BACKTRACE"), "{error}");
    let error = refused(PluginSpec::command_line(fixture("hostile-start.wasm")));
    assert!(error.contains("ran for more than 1s"), "{error}");
}

#[test]
fn bundled_plugins_validate_their_configuration() {
    let mut spec = PluginSpec::bundled();
    spec.config.insert("homes".to_owned(), json!(["relative"]));
    let setup =
        Setup { chains: [(PluginKind::Redactor, vec![spec.clone()])].into(), ..Setup::default() };
    let error = Plugins::load(&setup).unwrap_err().to_string();
    assert!(error.contains("the redactor default: refuses its configuration"), "{error}");
    assert!(refused(spec.clone()).contains("refuses its configuration"));
    spec.config.insert("homes".to_owned(), json!(["/srv/people"]));
    let mut plugins = redactors(vec![spec]);
    assert_eq!(redact(&mut plugins, "/srv/people/eve/x").as_deref(), Some("/srv/people/USER/x"));
}

#[test]
fn pins_grants_and_duplicates_are_checked() {
    let mut pinned = hostile("good");
    pinned.sha256 = Some("ab".repeat(32));
    let error = refused(pinned.clone());
    let found = load(&Setup {
        chains: [(PluginKind::Classifier, vec![hostile("good")])].into(),
        ..Setup::default()
    });
    let sha256 = found.running()[0].sha256.to_string();
    assert!(error.contains(&"ab".repeat(32)) && error.contains("restore the file"), "{error}");
    assert!(error.contains(&format!("write `sha256 = \"{sha256}\"` in its entry")), "{error}");
    pinned.sha256 = Some(sha256.to_uppercase());
    classifiers(vec![pinned]);

    let mut without = hostile("good");
    without.allow.clear();
    assert!(refused(without).contains("allow = [\"file-head\"]"));

    let setup = Setup {
        chains: [(PluginKind::Classifier, vec![hostile("good"), hostile("spin")])].into(),
        ..Setup::default()
    };
    let error = Plugins::load(&setup).unwrap_err().to_string();
    assert!(error.contains("is named twice as a classifier"), "{error}");
    // One component may be of several kinds.
    let setup = Setup {
        chains: [
            (PluginKind::Classifier, vec![hostile("good")]),
            (PluginKind::Redactor, vec![hostile("good")]),
            (PluginKind::Filter, vec![hostile("good")]),
        ]
        .into(),
        ..Setup::default()
    };
    let kinds: Vec<_> = load(&setup).running().iter().map(|plugin| plugin.kind).collect();
    assert_eq!(kinds, [PluginKind::Classifier, PluginKind::Redactor, PluginKind::Filter]);
}

#[test]
fn the_combined_interest_is_limited() {
    let mut other = hostile("suffixes-50");
    other.source = fixture("hostile-wasi.wasm");
    let setup = Setup {
        chains: [(PluginKind::Classifier, vec![hostile("suffixes-50"), other])].into(),
        ..Setup::default()
    };
    load(&setup);
    let specs = vec![hostile("suffixes-50"), PluginSpec::bundled()];
    let error = Plugins::load(&Setup {
        chains: [(PluginKind::Classifier, specs)].into(),
        ..Setup::default()
    })
    .unwrap_err();
    assert!(error.to_string().contains("more than 64 suffixes"), "{error}");
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wasm");
    std::fs::copy(copy_of("hostile.wasm"), &path).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let error = refused(PluginSpec::command_line(PluginSource::File(path.clone())));
    assert!(error.contains(&format!("chmod go-w {}", path.display())), "{error}");
}
