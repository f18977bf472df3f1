//! Inspects a single plugin for its author: metadata, imports, interest, and whether it starts.

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::classifier::Classifier;
use super::component::CompiledPlugin;
use super::contract;
use super::failure::{LoadError, LoadSubject, PluginSource, Problem};
use super::filter::Filter;
use super::inspector::Inspector;
use super::kind::GuestKind;
use super::log::LogLine;
use super::redactor::Redactor;
use super::runtime::Runtime;
use super::setup::Setup;
use super::slot::{AnySlot, PluginSlot};
use super::spec::PluginSpec;
use crypto_tracer_event::PluginKind;
use crypto_tracer_event::interest::Interest;

/// An interface that a plugin imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Name with version, as in `crypto-tracer:plugin/events@0.1.0`.
    pub interface: String,
    /// Names of the imported functions, as in `[method]file.head`.
    pub functions: Vec<String>,
}

/// Properties of a plugin, which was started with its configuration as each kind that it exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The file's name without its extension.
    pub name: Arc<str>,
    /// SHA-256 of the component, in lower-case hexadecimal.
    pub sha256: Arc<str>,
    /// Size of the component in bytes.
    pub size: u64,
    /// Contract version that it was built for.
    pub contract: String,
    /// Contract version of this program.
    pub contract_here: String,
    /// The kinds that it exports.
    pub kinds: Vec<PluginKind>,
    /// The interfaces that it imports.
    pub imports: Vec<Import>,
    /// Whether it imports the function that reads file heads, which needs a grant.
    pub asks_for_heads: bool,
    /// Whether it imports the function that returns facts of ancestors.
    pub asks_for_ancestors: bool,
    /// Its interest as a classifier.
    pub interest: Interest,
    /// Lines that it logged while it started.
    pub log: Vec<LogLine>,
}

/// Reads, checks, compiles and starts a plugin as each kind that it exports.
///
/// # Errors
/// The plugin cannot be loaded.
pub fn inspect(spec: &PluginSpec, setup: &Setup) -> Result<Inspection, LoadError> {
    let failed = |subject, problem| LoadError { subject, plugin: spec.source.to_string(), problem };
    if let PluginSource::File(path) = &spec.source {
        let trusted = setup.trust.check_plugin(path, spec.origin);
        trusted.map_err(|untrusted| failed(LoadSubject::Plugin, Problem::Untrusted(untrusted)))?;
    }
    let runtime = Arc::new(setup.runtime()?);
    let code = CompiledPlugin::load(&runtime, spec, None, None);
    let code = code.map_err(|problem| failed(LoadSubject::Plugin, problem))?;
    let mut inspection = Inspection {
        name: code.name.clone(),
        sha256: code.sha256.clone(),
        size: code.size,
        contract: code.built_for.to_string(),
        contract_here: contract::latest().version().to_string(),
        kinds: PluginKind::ALL.into_iter().filter(|&kind| code.exports_kind(kind)).collect(),
        imports: imports(&runtime.engine, &code.component),
        asks_for_heads: code.asks_for_heads,
        asks_for_ancestors: code.asks_for_ancestors,
        interest: Interest::default(),
        log: Vec::new(),
    };
    if inspection.kinds.is_empty() {
        let none = code.check_export("classifier, redactor, filter or inspector");
        return Err(failed(LoadSubject::Plugin, none.err().unwrap_or(Problem::NoneBundled)));
    }
    for kind in inspection.kinds.clone() {
        let start = match kind {
            PluginKind::Classifier => start::<Classifier>,
            PluginKind::Filter => start::<Filter>,
            PluginKind::Inspector => start::<Inspector>,
            PluginKind::Redactor => start::<Redactor>,
        };
        let started = start(&runtime, &code, spec, &mut inspection);
        started.map_err(|problem| failed(LoadSubject::Kind(kind), problem))?;
    }
    Ok(inspection)
}

fn start<K: GuestKind>(
    runtime: &Arc<Runtime>,
    code: &CompiledPlugin,
    spec: &PluginSpec,
    inspection: &mut Inspection,
) -> Result<(), Problem> {
    let config = serde_json::Value::Object(spec.config.clone()).to_string();
    let mut slot = PluginSlot::<K>::start(runtime, code, config)?;
    inspection.interest.add_all(&slot.interest).map_err(Problem::Interest)?;
    inspection.log.extend(slot.take_log());
    Ok(())
}

fn imports(engine: &Engine, component: &Component) -> Vec<Import> {
    let ty = component.component_type();
    let import = |(name, item): (&str, _)| {
        let ComponentItem::ComponentInstance(instance) = item else { return None };
        let functions = instance
            .exports(engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
            .map(|(name, _)| name.to_owned());
        Some(Import { interface: name.to_owned(), functions: functions.collect() })
    };
    ty.imports(engine).filter_map(|(name, item)| import((name, item.ty))).collect()
}
