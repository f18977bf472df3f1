//! Labels certificates with their contents. It returns no type, so the next classifier determines the type.

pub mod certificate;
pub mod head;
mod names;

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    use super::head::{self, Config};
    use crypto_tracer::plugin::events::{File, Interest};
    use exports::crypto_tracer::plugin::classifier::{Guest, Verdict};

    wit_bindgen::generate!({ path: "../../../wit", world: "classifier-plugin" });

    static CONFIG: OnceLock<Config> = OnceLock::new();

    struct Plugin;

    impl Guest for Plugin {
        fn configure(config: String, interest: &Interest) -> Result<(), String> {
            let config = Config::read(&config)?;
            config.suffixes.iter().for_each(|suffix| interest.file_suffix(suffix));
            let _ = CONFIG.set(config);
            Ok(())
        }

        fn classify(file: &File) -> Option<Verdict> {
            // Requests a head only if it may hold a certificate: a head costs a read of the file.
            if !CONFIG.get()?.wants(&file.path()) {
                return None;
            }
            let head = file.head(head::MOST_BYTES);
            let labels = head::labels(&head, file.size())?;
            Some(Verdict { file_type: None, labels })
        }
    }

    export!(Plugin);
}
