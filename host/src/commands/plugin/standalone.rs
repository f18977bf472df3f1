//! A single plugin in its chain, without cache and back-off.

use std::path::Path;

use super::super::setup;
use crate::error::Failure;
use crypto_tracer_event::{PluginFailure, PluginKind};
use crypto_tracer_plugin::{
    CompiledPlugins, Limits, LoadError, LogLine, PluginSpec, Plugins, Setup, Trust,
};

/// The limits of this configuration, or of the default one.
pub(super) fn limits(config: Option<&Path>) -> Result<Limits, Failure> {
    Ok(setup::read_config(config, &Trust::of_this_process())?.limits)
}

/// Loads a plugin as this kind only. It is compiled unless `compiled` has it.
pub(super) fn load(
    kind: PluginKind,
    spec: &PluginSpec,
    limits: &Limits,
    compiled: &CompiledPlugins,
) -> Result<Plugins, LoadError> {
    let chain = |of: PluginKind| if of == kind { vec![spec.clone()] } else { Vec::new() };
    let chains = PluginKind::ALL.map(|of| (of, chain(of)));
    Plugins::load(&Setup {
        chains: chains.into(),
        needs_assets: kind == PluginKind::Inspector,
        every_call: true,
        compiled: compiled.clone(),
        limits: limits.clone().by_processor(),
        ..Setup::default()
    })
}

/// Failed calls, with the log lines of the plugin and of the host about them.
#[derive(Debug, Default)]
pub(super) struct CallFailures {
    pub(super) failures: Vec<PluginFailure>,
    pub(super) log: Vec<LogLine>,
}

impl CallFailures {
    /// Failures since the last call.
    pub(super) fn take(plugins: &mut Plugins) -> CallFailures {
        CallFailures { failures: plugins.take_failures(), log: plugins.take_log() }
    }

    /// Adds the failures of another plugin.
    pub(super) fn add(&mut self, mut other: CallFailures) {
        self.failures.append(&mut other.failures);
        self.log.append(&mut other.log);
    }

    /// Describes the first failure in one line. None: nothing failed.
    pub(super) fn summary(&self) -> Option<String> {
        let first = self.failures.first()?;
        let detail = self.log.iter().filter(|line| is_about_failure(line));
        let detail: Vec<&str> = detail.map(|line| line.message.as_str()).collect();
        Some(if detail.is_empty() {
            format!("failed as a {}: {}", first.kind, first.cause)
        } else {
            format!("{} ({})", detail.join("; "), first.cause)
        })
    }
}

/// Whether the host logged this line about a failed call.
pub(super) fn is_about_failure(line: &LogLine) -> bool {
    line.message.starts_with("failed as a ")
}
