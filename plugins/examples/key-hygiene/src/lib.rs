//! Labels private keys that are opened in the wrong place, by the wrong program, or by a child of the wrong program.

mod rules;

use crypto_tracer_plugin::{Decision, Event, Filter};
use rules::{Config, Rules};

impl Filter<Config> for Rules {
    fn new(config: Config) -> Result<Rules, String> {
        Rules::new(config)
    }

    fn decide(&mut self, event: &Event) -> Decision {
        // Only `file_open` events have a type, so this check decides most events.
        if event.file_type().as_deref() != Some("private_key") {
            return Decision::Keep;
        }
        let Some(file) = event.file() else { return Decision::Keep };
        let ancestors = || event.ancestors().map(|ancestor| ancestor.exe()).collect();
        match self.judge(&file, event.exe().as_deref(), ancestors) {
            Some(fault) => Decision::label("key_hygiene", fault),
            None => Decision::Keep,
        }
    }
}

crypto_tracer_plugin::filter!(Rules);
