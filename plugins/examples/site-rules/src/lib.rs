//! Classifies a site's own file types: rules in the configuration assign types and labels by file name and directory.

pub mod rules;

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::OnceLock;

    use super::rules::{Matching, Rules};
    use crypto_tracer::plugin::events::{File, Interest};
    use exports::crypto_tracer::plugin::classifier::{FileType, Guest, Verdict};

    wit_bindgen::generate!({ path: "../../../wit", world: "classifier-plugin" });

    static RULES: OnceLock<Rules> = OnceLock::new();

    struct Plugin;

    impl Guest for Plugin {
        fn configure(config: String, interest: &Interest) -> Result<(), String> {
            let rules = Rules::read(&config)?;
            for rule in rules.all() {
                match &rule.matching {
                    Matching::Suffix(suffix) => interest.file_suffix(suffix),
                    Matching::Name(name) => interest.file_name(name),
                }
            }
            let _ = RULES.set(rules);
            Ok(())
        }

        fn classify(file: &File) -> Option<Verdict> {
            let rule = RULES.get()?.of(&file.path())?;
            let file_type = match rule.file_type.as_str() {
                "certificate" => FileType::Certificate,
                "private_key" => FileType::PrivateKey,
                "keystore" => FileType::Keystore,
                "unknown" => FileType::Unknown,
                word => FileType::Other(word.to_owned()),
            };
            let labels = rule.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
            Some(Verdict { file_type: Some(file_type), labels: labels.collect() })
        }
    }

    export!(Plugin);
}
