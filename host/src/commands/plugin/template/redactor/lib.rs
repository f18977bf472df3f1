//! Implements the contract, `wit/plugin.wit`, with the rules.

pub mod rules;

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    use super::rules::Rules;
    use crypto_tracer::plugin::events::Text;
    use exports::crypto_tracer::plugin::redactor::Guest;

    wit_bindgen::generate!({ path: "wit", world: "redactor-plugin" });

    static RULES: OnceLock<Rules> = OnceLock::new();

    struct Plugin;

    impl Guest for Plugin {
        fn configure(config: String) -> Result<(), String> {
            let _ = RULES.set(Rules::read(&config)?);
            Ok(())
        }

        fn redact(text: &Text) -> Option<String> {
            match RULES.get() {
                Some(rules) => rules.redact(&text.value()),
                // Without a configuration, everything is redacted.
                None => Some("[REDACTED]".to_owned()),
            }
        }
    }

    export!(Plugin);
}
