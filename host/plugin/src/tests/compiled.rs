//! Compiled plugins that later loads use again.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::*;
use crate::trust::Trust;

#[test]
fn a_reload_of_unchanged_plugins_compiles_nothing() {
    let mut setup = Setup {
        chains: [
            (PluginKind::Classifier, vec![hostile("good")]),
            // The same file as another kind.
            (PluginKind::Filter, vec![hostile("good")]),
        ]
        .into(),
        ..generous()
    };
    let mut plugins = load(&setup);
    assert_eq!(plugins.compiled().compilations(), 1);
    setup.compiled = plugins.compiled().clone();
    let again = load(&setup);
    assert_eq!(again.compiled().compilations(), 1);
    assert_eq!(plugins.replace(again), [""; 0]);
    // A changed configuration needs no compilation either.
    setup.chains.insert(PluginKind::Classifier, vec![hostile("word")]);
    let again = load(&setup);
    assert_eq!(again.compiled().compilations(), 1);
    let changes = plugins.replace(again);
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert!(change.starts_with("now classifier 1: hostile@"), "{change}");
    assert!(change.ends_with(": its configuration is new"), "{change}");
    assert_eq!(classify(&mut plugins, "/x").file_type.as_str(), "site-key_1");
    // A plugin that no load uses any more is forgotten, and compiled when it comes back.
    setup.chains.clear();
    load(&setup);
    setup.chains.insert(PluginKind::Filter, vec![hostile("good")]);
    assert_eq!(load(&setup).compiled().compilations(), 2);
    // Another stack needs another engine.
    setup.limits.stack /= 2;
    assert_eq!(load(&setup).compiled().compilations(), 1);
    assert_eq!(plugins.decide(&event(1)), Decision::Keep, "the running plugins are not affected");
}

/// Inode and name of the files in a directory.
fn files(directory: &Path) -> Vec<(u64, String)> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .map(|entry| {
            (entry.metadata().unwrap().ino(), entry.file_name().to_string_lossy().into_owned())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn site_plugins_of_a_privileged_run_are_cached_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    let (cache, file) = (base.join("cache"), base.join("hostile.wasm"));
    std::fs::create_dir(&cache).unwrap();
    std::fs::copy(copy_of("hostile.wasm"), &file).unwrap();
    for (path, mode) in [(&cache, 0o755), (&file, 0o644)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let trust = Trust::of_tests(base);
    let mut spec = PluginSpec::configured(PluginSource::File(file.clone()));
    spec.allow.insert(Grant::FileHead);
    spec.config.insert("way".to_owned(), json!("word"));
    let setup = |spec: &PluginSpec, trust: &Trust| Setup {
        chains: [(PluginKind::Classifier, vec![spec.clone()])].into(),
        trust: trust.clone(),
        code_dir: cache.clone(),
        ..generous()
    };
    let word = |spec: &PluginSpec, trust: &Trust| {
        let mut plugins = load(&setup(spec, trust));
        classify(&mut plugins, "/x").file_type.as_str().to_owned()
    };
    // Neither a run without privileges nor a plugin of the command line is cached.
    assert_eq!(word(&spec, &trust.clone().without_privileges()), "site-key_1");
    let named =
        PluginSpec { config: spec.config.clone(), ..PluginSpec::command_line(spec.source.clone()) };
    assert_eq!(word(&named, &trust), "site-key_1");
    assert_eq!(files(&cache), []);
    // The first start compiles and stores, the second reads.
    assert_eq!(word(&spec, &trust), "site-key_1");
    let stored = files(&cache);
    let [(_, name)] = stored.as_slice() else { panic!("{stored:?}") };
    assert!(name.ends_with(".cwasm"), "{name}");
    assert_eq!(word(&spec, &trust), "site-key_1");
    assert_eq!(files(&cache), stored, "compiled again");
    // Damaged code is replaced.
    std::fs::write(cache.join(name), "damaged").unwrap();
    assert_eq!(word(&spec, &trust), "site-key_1");
    assert!(std::fs::metadata(cache.join(name)).unwrap().len() > 1000);
    // Code that another user could have written is not used.
    let code = std::fs::read(cache.join(name)).unwrap();
    std::fs::set_permissions(&cache, Permissions::from_mode(0o777)).unwrap();
    assert_eq!(word(&spec, &trust), "site-key_1");
    assert_eq!(std::fs::read(cache.join(name)).unwrap(), code);
}
