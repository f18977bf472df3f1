//! The documented redaction as a plugin. [`rules`] contains the rules; this file implements the contract.

mod current_program;
mod edit;
mod forms;
mod generic;
mod homes;
mod json;
mod mask;
mod names;
mod pairs;
mod paths;
mod programs;
pub mod rules;
mod secrets;
mod shell;
mod urls;
mod values;

#[cfg(target_family = "wasm")]
mod component {
    use super::rules::{self, Homes};
    use crypto_tracer::plugin::events::Text;
    use exports::crypto_tracer::plugin::redactor::Guest;
    use std::cell::RefCell;

    wit_bindgen::generate!({ path: "../../wit", world: "redactor-plugin" });

    thread_local! {
        static HOMES: RefCell<Option<Homes>> = const { RefCell::new(None) };
    }

    struct Plugin;

    impl Guest for Plugin {
        fn configure(config: String) -> Result<(), String> {
            HOMES.set(Some(rules::configure(&config)?));
            Ok(())
        }

        fn redact(text: &Text) -> Option<String> {
            // Each call copies its result into the sandbox.
            let field = text.field();
            let arguments = if field == "cmdline" { text.arguments() } else { Vec::new() };
            let value = if arguments.is_empty() { text.value() } else { String::new() };
            HOMES.with_borrow(|homes| match homes {
                Some(homes) => rules::redact(homes, &field, &value, &arguments),
                // Without a configuration the homes are unknown, so everything is masked.
                None => Some("[REDACTED]".to_owned()),
            })
        }
    }

    export!(Plugin);
}
