//! The configuration of a run's plugins, and their loader.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::classifier::Classifiers;
use super::code_cache::{CODE_DIR, CodeCache};
use super::compiled::CompiledPlugins;
use super::component::CompiledPlugin;
use super::failure::{LoadError, LoadSubject, PluginSource, Problem};
use super::filter::Filter;
use super::inspector::Inspectors;
use super::kind::GuestKind;
use super::limits::Limits;
use super::passwd;
use super::redactor::Redactors;
use super::runtime::Runtime;
use super::slot::{AnySlot, PluginSlot};
use super::spec::{Grant, OnFailure, PluginSpec};
use super::trust::Trust;
use crypto_tracer_event::PluginKind;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::clock::Clock;
use crypto_tracer_system::shutdown::Shutdown;

/// The chains of a run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The chain of each kind. A missing kind has its bundled plugin, if there is one. The first classifier that knows the type
    /// of a file determines it, each redactor gets the output of the one before, all filters must keep an event, and the
    /// assets of all inspectors are added up.
    pub chains: BTreeMap<PluginKind, Vec<PluginSpec>>,
    /// Whether an output needs the assets of files. Without it, no inspector is loaded.
    pub needs_assets: bool,
    /// Limits of each plugin.
    pub limits: Limits,
    /// Effect of a failed call on the run.
    pub on_failure: OnFailure,
    /// Interrupts a running call.
    pub shutdown: Shutdown,
    /// The clock of the run. The caching of verdicts, back-off and log limits use it.
    pub clock: Clock,
    /// Requirements on the ownership and mode of plugin files.
    pub trust: Trust,
    /// Makes every call: no cache, and no back-off after failures. For the `plugin` commands.
    pub every_call: bool,
    /// Compiled plugins of earlier loads. A handle that later loads get too saves compiling what did not change.
    pub compiled: CompiledPlugins,
    /// Directory of compiled plugins. A privileged process uses it if only root can write to it.
    pub code_dir: PathBuf,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            chains: BTreeMap::new(),
            needs_assets: false,
            limits: Limits::default(),
            on_failure: OnFailure::default(),
            shutdown: Shutdown::default(),
            clock: Clock::system(),
            trust: Trust::of_this_process(),
            every_call: false,
            compiled: CompiledPlugins::default(),
            code_dir: CODE_DIR.into(),
        }
    }
}

impl Setup {
    pub(super) fn runtime(&self) -> Result<Runtime, LoadError> {
        let failed = |error: String| LoadError {
            subject: LoadSubject::Engine,
            plugin: "wasmtime".to_owned(),
            problem: Problem::Start(error),
        };
        let shared = self.compiled.engine(self.limits.stack).map_err(failed)?;
        Ok(Runtime {
            engine: shared.engine,
            ticker: shared.ticker,
            compiled: self.compiled.clone(),
            code_cache: CodeCache::open(&self.code_dir, &self.trust),
            limits: self.limits.clone(),
            shutdown: self.shutdown.clone(),
            clock: self.clock.clone(),
            every_call: self.every_call,
        })
    }
}

/// A loaded plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedPlugin {
    /// The chain that it is in.
    pub kind: PluginKind,
    /// Its position in the chain, from 1.
    pub order: usize,
    /// Name of a bundled plugin, or the file's name without its extension.
    pub name: Arc<str>,
    /// Version of the program for a bundled plugin, or the first twelve digits of the file's sha256.
    pub version: Arc<str>,
    /// Source of the code.
    pub source: PluginSource,
    /// SHA-256 of the component, in lower-case hexadecimal.
    pub sha256: Arc<str>,
    /// Contract version that it was built for.
    pub contract: String,
    /// Its grants.
    pub grants: Vec<Grant>,
    /// Whether it imports the function that reads file heads.
    pub asks_for_heads: bool,
    /// Whether it imports the function that returns facts of ancestors.
    pub asks_for_ancestors: bool,
    /// The configuration that it received, as JSON.
    pub config: String,
}

impl LoadedPlugin {
    /// Describes what differs from the same plugin before a reload. The configuration may be secret, so it is not shown.
    fn changes(&self, before: &LoadedPlugin) -> Option<String> {
        let mut changes = Vec::new();
        if self.order != before.order {
            changes.push(format!("it was {}", before.order));
        }
        if self.config != before.config {
            changes.push("its configuration is new".to_owned());
        }
        if self.grants != before.grants {
            let grants: Vec<&str> = self.grants.iter().map(|grant| grant.as_str()).collect();
            let grants = if grants.is_empty() { "none".to_owned() } else { grants.join(", ") };
            changes.push(format!("its grants are {grants}"));
        }
        let LoadedPlugin { kind, order, name, version, .. } = self;
        let what = changes.join(", ");
        (!changes.is_empty()).then(|| format!("now {kind} {order}: {name}@{version}: {what}"))
    }
}

impl fmt::Display for LoadedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadedPlugin { kind, order, name, version, source, sha256, contract, .. } = self;
        write!(
            f,
            "{kind} {order}: {name}@{version} from {source}, sha256 {sha256}, contract {contract}"
        )
    }
}

/// The chains of a run, by kind.
pub(super) struct Chains {
    pub(super) classifiers: Classifiers,
    pub(super) redactors: Redactors,
    pub(super) filters: Vec<PluginSlot<Filter>>,
    /// `None`: no output needs assets.
    pub(super) inspectors: Option<Inspectors>,
}

impl Chains {
    /// All slots, in the order of [`Loader::running`].
    pub(super) fn slots(&self) -> impl Iterator<Item = &dyn AnySlot> {
        fn any<K: GuestKind>(slots: &[PluginSlot<K>]) -> impl Iterator<Item = &dyn AnySlot> {
            slots.iter().map(|slot| slot as &dyn AnySlot)
        }
        let Chains { classifiers, redactors, filters, inspectors } = self;
        let inspectors = inspectors.iter().flat_map(|inspectors| any(&inspectors.slots));
        any(&classifiers.slots).chain(any(&redactors.slots)).chain(any(filters)).chain(inspectors)
    }

    /// Like [`Chains::slots`], mutable.
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut dyn AnySlot> {
        fn any<K: GuestKind>(
            slots: &mut [PluginSlot<K>],
        ) -> impl Iterator<Item = &mut dyn AnySlot> {
            slots.iter_mut().map(|slot| slot as &mut dyn AnySlot)
        }
        let Chains { classifiers, redactors, filters, inspectors } = self;
        let inspectors = inspectors.iter_mut().flat_map(|inspectors| any(&mut inspectors.slots));
        any(&mut classifiers.slots)
            .chain(any(&mut redactors.slots))
            .chain(any(filters))
            .chain(inspectors)
    }
}

/// Loads plugins, one chain after the other.
pub(super) struct Loader<'a> {
    runtime: &'a Arc<Runtime>,
    trust: &'a Trust,
    pub(super) running: Vec<LoadedPlugin>,
    /// A classifier imports a function that reads file heads or what comes with them.
    asks_reader: bool,
    /// A plugin imports the function that lists the PEM blocks of a file.
    pub(super) reads_blocks: bool,
}

impl<'a> Loader<'a> {
    pub(super) fn new(runtime: &'a Arc<Runtime>, trust: &'a Trust) -> Loader<'a> {
        Loader { runtime, trust, running: Vec::new(), asks_reader: false, reads_blocks: false }
    }

    pub(super) fn chains(&mut self, setup: &Setup) -> Result<Chains, LoadError> {
        let classifiers = self.chain(setup)?;
        let redactors = self.chain(setup)?;
        let filters = self.chain(setup)?;
        let inspectors = setup.needs_assets.then(|| self.chain(setup)).transpose()?;
        let remember = !setup.every_call;
        Ok(Chains {
            classifiers: Classifiers::new(
                classifiers,
                self.asks_reader,
                remember,
                setup.clock.clone(),
            ),
            redactors: Redactors::new(redactors, setup.limits.text, remember),
            filters,
            inspectors: inspectors
                .map(|slots| Inspectors::new(slots, remember, setup.clock.clone())),
        })
    }

    fn chain<K: GuestKind>(&mut self, setup: &Setup) -> Result<Vec<PluginSlot<K>>, LoadError> {
        let bundled: Vec<PluginSpec> = K::BUNDLED.iter().map(|_| PluginSpec::bundled()).collect();
        let specs = setup.chains.get(&K::KIND).unwrap_or(&bundled);
        let slot = |(at, spec): (usize, &PluginSpec)| {
            let earlier = specs.get(..at).unwrap_or_default();
            let twice = earlier.iter().any(|other| same_source(&other.source, &spec.source));
            let slot = if twice { Err(Problem::Twice(K::KIND)) } else { self.slot(spec, at + 1) };
            slot.map_err(|problem| LoadError {
                subject: LoadSubject::Kind(K::KIND),
                plugin: spec.source.to_string(),
                problem,
            })
        };
        specs.iter().enumerate().map(slot).collect()
    }

    fn slot<K: GuestKind>(
        &mut self,
        spec: &PluginSpec,
        order: usize,
    ) -> Result<PluginSlot<K>, Problem> {
        if let PluginSource::File(path) = &spec.source {
            let trusted = self.trust.check_plugin(path, spec.origin);
            trusted.map_err(Problem::Untrusted)?;
        }
        let code = CompiledPlugin::load(self.runtime, spec, K::BUNDLED, Some(K::KIND))?;
        if code.asks_for_heads && !spec.allow.contains(&Grant::FileHead) {
            return Err(Problem::NeedsGrant);
        }
        let config = configuration::<K>(spec);
        let slot = PluginSlot::start(self.runtime, &code, config.clone())?;
        self.reads_blocks |= code.reads_blocks;
        self.asks_reader |= code.asks_reader && K::KIND == PluginKind::Classifier;
        self.running.push(LoadedPlugin {
            kind: K::KIND,
            order,
            name: code.name,
            version: code.version,
            source: spec.source.clone(),
            sha256: code.sha256,
            contract: code.built_for.to_string(),
            grants: spec.allow.iter().copied().collect(),
            asks_for_heads: code.asks_for_heads,
            asks_for_ancestors: code.asks_for_ancestors,
            config,
        });
        Ok(slot)
    }
}

/// Whether both name the same file, or are both the bundled plugin.
fn same_source(a: &PluginSource, b: &PluginSource) -> bool {
    match (a, b) {
        (PluginSource::File(a), PluginSource::File(b)) => {
            a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
        }
        (a, b) => a == b,
    }
}

/// The configuration of a plugin, as JSON. The bundled redactor cannot read files, so the host adds the home directories
/// of /etc/passwd and their paths with symbolic links resolved.
fn configuration<K: GuestKind>(spec: &PluginSpec) -> String {
    let mut config = spec.config.clone();
    if spec.source == PluginSource::Bundled && K::KIND == PluginKind::Redactor {
        let configured = |key: &str| {
            let paths = config.get(key).and_then(serde_json::Value::as_array);
            let paths = paths.into_iter().flatten().filter_map(|path| path.as_str());
            paths.map(str::to_owned).collect()
        };
        let passwd::UserHomes { parents, users, roots } =
            passwd::homes(configured("homes"), configured("users"));
        for (key, paths) in [("homes", parents), ("users", users), ("roots", roots)] {
            if paths.is_empty() {
                continue;
            }
            let list = config.entry(key).or_insert_with(|| serde_json::Value::Array(Vec::new()));
            if let Some(list) = list.as_array_mut() {
                list.extend(paths.into_iter().map(serde_json::Value::from));
            }
        }
    }
    serde_json::Value::Object(config).to_string()
}

/// Combined interest of the classifiers.
pub(super) fn interest<K: GuestKind>(slots: &[PluginSlot<K>]) -> Result<Interest, LoadError> {
    let mut all = Interest::default();
    for slot in slots {
        all.add_all(&slot.interest).map_err(|refused| LoadError {
            subject: LoadSubject::Kind(K::KIND),
            plugin: slot.name.to_string(),
            problem: Problem::Interest(refused),
        })?;
    }
    Ok(all)
}

/// One line for each change of a plugin, of the interest, of a limit and of `on_failure`.
pub(super) fn changes(before: &super::Plugins, after: &super::Plugins) -> Vec<String> {
    let mut changes = Vec::new();
    // A plugin whose file stayed would be the same text twice.
    let same_file = |a: &LoadedPlugin, b: &LoadedPlugin| {
        (a.kind, &a.source, &a.sha256) == (b.kind, &b.source, &b.sha256)
    };
    let gone = |plugin: &&LoadedPlugin| !after.running.iter().any(|it| same_file(it, plugin));
    changes.extend(before.running.iter().filter(gone).map(|it| format!("no longer {it}")));
    for plugin in &after.running {
        match before.running.iter().find(|it| same_file(it, plugin)) {
            Some(earlier) => changes.extend(plugin.changes(earlier)),
            None => changes.push(format!("now {plugin}")),
        }
    }
    if before.interest != after.interest {
        let Interest { suffixes, names, prefixes, libraries } = &after.interest;
        changes.push(format!(
            "now watching {}, {}, {} and {}",
            counted(suffixes.len(), "suffix"),
            counted(names.len(), "name"),
            counted(prefixes.len(), "prefix"),
            counted(libraries.len(), "library")
        ));
    }
    changes.extend(after.limits.changes(&before.limits));
    if before.on_failure != after.on_failure {
        changes.push(format!("now on_failure is \"{}\"", after.on_failure.as_str()));
    }
    changes
}
