//! Labels private keys that are opened in the wrong place, or by the wrong program.

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
            // Only `file_open` events have a type, so this check decides most events.
            if event.field("file_type").as_deref() != Some("private_key") {
                return Decision::Keep;
            }
            let (Some(rules), Some(file)) = (RULES.get(), event.field("file")) else {
                return Decision::Keep;
            };
            match rules.judge(&file, event.exe().as_deref()) {
                Some(fault) => Decision::Label(vec![("key_hygiene".to_owned(), fault.to_owned())]),
                None => Decision::Keep,
            }
        }
    }

    export!(Plugin);
}
