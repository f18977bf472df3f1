//! What a plugin is and would ask for, found out without running it in a trace.

use std::path::Path;
use std::sync::Arc;

use super::classifier::Classifier;
use super::component::Code;
use super::failure::{LoadError, PluginSource, Problem};
use super::filter::Filter;
use super::member::{Kind, Member, Runtime};
use super::redactor::Redactor;
use super::setup::Setup;
use crate::interest::Interest;

/// What is known of a plugin that would load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// `name@version` as events and messages call it.
    pub name: String,
    /// In hexadecimal.
    pub sha256: String,
    /// Bytes of the component.
    pub bytes: u64,
    /// The version of the contract that it was built for.
    pub contract: String,
    /// `classifier`, `redactor`, `filter`: what it can be used as.
    pub kinds: Vec<&'static str>,
    /// Interfaces that it imports, and so what it may ask.
    pub imports: Vec<String>,
    /// It asks for the beginnings of files, which needs the grant `file-head`.
    pub asks_for_heads: bool,
    /// What it wants to see as a classifier.
    pub interest: Interest,
}

/// Loads and configures a plugin as each kind that it is, under the limits of `setup`. `config`: its own, as JSON.
///
/// # Errors
/// It would not load.
pub fn inspect(path: &Path, config: &str, setup: &Setup) -> Result<Inspection, LoadError> {
    let source = PluginSource::File(path.to_owned());
    let failed = |kind, problem| LoadError { kind, plugin: source.to_string(), problem };
    let runtime = Arc::new(setup.runtime()?);
    let code = Code::load(&runtime.engine, &source, None, setup.limits.component)
        .map_err(|problem| failed("plugin", problem))?;
    let mut kinds = Vec::new();
    let classifier = start::<Classifier>(&runtime, &code, config, &mut kinds)
        .map_err(|problem| failed(Classifier::NAME, problem))?;
    start::<Redactor>(&runtime, &code, config, &mut kinds)
        .map_err(|problem| failed(Redactor::NAME, problem))?;
    start::<Filter>(&runtime, &code, config, &mut kinds)
        .map_err(|problem| failed(Filter::NAME, problem))?;
    if kinds.is_empty() {
        let problem = code.check_export("classifier, redactor or filter").err();
        return Err(failed("plugin", problem.unwrap_or(Problem::Unfit("no kind".to_owned()))));
    }
    Ok(Inspection {
        name: format!("{}@{}", code.name, code.version),
        sha256: code.sha256.to_string(),
        bytes: code.bytes,
        contract: code.built_for.to_string(),
        kinds,
        imports: code.imports(&runtime.engine),
        asks_for_heads: code.asks_for_heads,
        interest: classifier.map(|member| member.interest).unwrap_or_default(),
    })
}

/// None: it is not of this kind.
fn start<K: Kind>(
    runtime: &Arc<Runtime>,
    code: &Code,
    config: &str,
    kinds: &mut Vec<&'static str>,
) -> Result<Option<Member<K>>, Problem> {
    if let Err(Problem::OtherWorld { .. }) = code.check_export(K::NAME) {
        return Ok(None);
    }
    let member = Member::start(runtime, code, config.to_owned())?;
    kinds.push(K::NAME);
    Ok(Some(member))
}
