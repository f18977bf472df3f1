//! One plugin alone in its chain, every call of it made.

use std::path::Path;

use super::super::setup;
use crate::error::Failure;
use crypto_tracer_event::{PluginFailure, PluginKind};
use crypto_tracer_plugin::{Limits, LoadError, LogLine, PluginSpec, Plugins, Setup, Trust};

/// The limits of a run with this configuration, or the one that a run would take.
pub(super) fn limits(config: Option<&Path>) -> Result<Limits, Failure> {
    Ok(setup::read_config(config, &Trust::of_this_process())?.limits)
}

/// Loads a plugin as this kind, and no other.
pub(super) fn load(
    kind: PluginKind,
    spec: &PluginSpec,
    limits: &Limits,
) -> Result<Plugins, LoadError> {
    let only = |this: PluginKind| if this == kind { vec![spec.clone()] } else { Vec::new() };
    Plugins::load(&Setup {
        classifiers: only(PluginKind::Classifier),
        redactors: only(PluginKind::Redactor),
        filters: only(PluginKind::Filter),
        every_call: true,
        limits: limits.clone().by_processor(),
        ..Setup::default()
    })
}

/// What failed, and in the plugin's or the engine's own words how.
#[derive(Debug, Default)]
pub(super) struct CallFailures {
    pub(super) failures: Vec<PluginFailure>,
    pub(super) log: Vec<LogLine>,
}

impl CallFailures {
    /// Of the calls since the last time.
    pub(super) fn take(plugins: &mut Plugins) -> CallFailures {
        CallFailures { failures: plugins.take_failures(), log: plugins.take_log() }
    }

    /// What failed elsewhere.
    pub(super) fn add(&mut self, mut other: CallFailures) {
        self.failures.append(&mut other.failures);
        self.log.append(&mut other.log);
    }

    /// In one line, if anything failed.
    pub(super) fn told(&self) -> Option<String> {
        let first = self.failures.first()?;
        let detail = self.log.iter().map(|line| line.message.as_str());
        let detail: Vec<&str> = detail.filter(|line| line.starts_with("failed as a ")).collect();
        Some(if detail.is_empty() {
            format!("failed as a {}: {}", first.kind, first.cause)
        } else {
            format!("{} ({})", detail.join("; "), first.cause)
        })
    }
}
