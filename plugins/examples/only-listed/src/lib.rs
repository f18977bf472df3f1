//! Keeps the events of listed containers and processes, and drops all others.

pub mod rules;

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    use super::rules::Rules;
    use crypto_tracer::plugin::events::Event;
    use exports::crypto_tracer::plugin::filter::{Decision, Guest};

    wit_bindgen::generate!({ path: "../../../wit", world: "filter-plugin" });

    static RULES: OnceLock<Rules> = OnceLock::new();

    struct Plugin;

    impl Guest for Plugin {
        fn configure(config: String) -> Result<(), String> {
            let _ = RULES.set(Rules::read(&config)?);
            Ok(())
        }

        fn decide(event: &Event) -> Decision {
            let Some(rules) = RULES.get() else { return Decision::Keep };
            // Each field that the plugin reads is copied, so it reads the container only if the name does not decide.
            if rules.lists_process(&event.process())
                || rules.lists_container(event.container().as_deref())
            {
                Decision::Keep
            } else {
                Decision::Drop
            }
        }
    }

    export!(Plugin);
}
