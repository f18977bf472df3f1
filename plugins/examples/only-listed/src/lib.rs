//! Keeps the events of listed containers and processes, and drops all others.

mod rules;

use crypto_tracer_plugin::{Decision, Event, Filter};
use rules::Rules;

impl Filter<Rules> for Rules {
    fn new(config: Rules) -> Result<Rules, String> {
        Rules::check(config)
    }

    fn decide(&mut self, event: &Event) -> Decision {
        // Each field that the plugin reads is copied, so it reads the container only if the name does not decide.
        if self.lists_process(&event.process())
            || self.lists_container(event.container().as_deref())
        {
            Decision::Keep
        } else {
            Decision::Drop
        }
    }
}

crypto_tracer_plugin::filter!(Rules);
