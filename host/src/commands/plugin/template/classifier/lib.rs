//! Implements the contract, `wit/plugin.wit`, with the rules.

pub mod rules;

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    use super::rules::Rules;
    use crypto_tracer::plugin::events::{File, Interest};
    use exports::crypto_tracer::plugin::classifier::{FileType, Guest, Verdict};

    wit_bindgen::generate!({ path: "wit", world: "classifier-plugin" });

    static RULES: OnceLock<Rules> = OnceLock::new();

    struct Plugin;

    impl Guest for Plugin {
        fn configure(config: String, interest: &Interest) -> Result<(), String> {
            let rules = Rules::read(&config)?;
            // The kernel reports only files in the interest of a classifier.
            rules.suffixes.iter().for_each(|suffix| interest.file_suffix(suffix));
            let _ = RULES.set(rules);
            Ok(())
        }

        fn classify(file: &File) -> Option<Verdict> {
            let word = RULES.get()?.file_type(&file.path())?;
            let size = file.size().map(|size| ("size".to_owned(), size.to_string()));
            Some(Verdict {
                file_type: Some(FileType::Other(word.to_owned())),
                labels: size.into_iter().collect(),
            })
        }
    }

    export!(Plugin);
}
