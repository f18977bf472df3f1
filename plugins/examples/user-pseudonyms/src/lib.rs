//! Replaces user names with keyed hashes: a user has the same pseudonym everywhere.

mod paths;
mod rules;

use crypto_tracer_plugin::{Redactor, Text};
use rules::{Config, Rules};

impl Redactor<Config> for Rules {
    fn new(config: Config) -> Result<Rules, String> {
        Rules::new(config)
    }

    fn redact(&self, text: &Text) -> Option<String> {
        Rules::redact(self, &text.field(), &text.value(), &text.arguments())
    }
}

crypto_tracer_plugin::redactor!(Rules);
