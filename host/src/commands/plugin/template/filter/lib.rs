//! Implements the contract, `wit/plugin.wit`, with the rules.

pub mod rules;

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    use super::rules::{Rules, is_written_key};
    use crypto_tracer::plugin::events::Event;
    use exports::crypto_tracer::plugin::filter::{Decision, Guest};

    wit_bindgen::generate!({ path: "wit", world: "filter-plugin" });

    static RULES: OnceLock<Rules> = OnceLock::new();

    struct Plugin;

    impl Guest for Plugin {
        fn configure(config: String) -> Result<(), String> {
            let _ = RULES.set(Rules::read(&config)?);
            Ok(())
        }

        fn decide(event: &Event) -> Decision {
            if RULES.get().is_some_and(|rules| rules.is_quiet(&event.process())) {
                return Decision::Drop;
            }
            let (file_type, flags) = (event.field("file_type"), event.field("flags"));
            if is_written_key(file_type.as_deref(), flags.as_deref()) {
                return Decision::Label(vec![("key_written".to_owned(), "yes".to_owned())]);
            }
            Decision::Keep
        }
    }

    export!(Plugin);
}
