//! The documented classification as a plugin. The rules are in [`names`] and [`rules`]; this file implements the contract.

pub mod names;
pub mod rules;

#[cfg(target_family = "wasm")]
mod component {
    use super::names;
    use super::rules::{self, ByName, Kind};
    use crypto_tracer::plugin::events::{File, Interest};
    use exports::crypto_tracer::plugin::classifier::{FileType, Guest, Verdict};

    wit_bindgen::generate!({ path: "../../wit", world: "classifier-plugin" });

    struct Plugin;

    impl Guest for Plugin {
        fn configure(config: String, interest: &Interest) -> Result<(), String> {
            if config.bytes().filter(|byte| !byte.is_ascii_whitespace()).ne(*b"{}") {
                return Err("this plugin has nothing to configure: leave `config` out".to_owned());
            }
            names::SUFFIXES.iter().for_each(|(suffix, _)| interest.file_suffix(suffix));
            names::NAMES.iter().for_each(|name| interest.file_name(name));
            names::PREFIXES.iter().for_each(|prefix| interest.file_prefix(prefix));
            names::LIBRARIES.iter().for_each(|library| interest.library(library));
            Ok(())
        }

        fn classify(file: &File) -> Option<Verdict> {
            let mut labels = Vec::new();
            let kind = match names::by_name(&file.path()) {
                ByName::Is(kind) => kind,
                ByName::LookInside => {
                    let head = look_inside(file);
                    let kind = rules::by_head(&head)?;
                    if kind == Kind::Certificate && rules::holds_private_key(&head) {
                        labels.push((rules::HOLDS_KEY.to_owned(), "true".to_owned()));
                    }
                    kind
                }
                ByName::NoOpinion => return None,
            };
            let file_type = match kind {
                Kind::Certificate => FileType::Certificate,
                Kind::PrivateKey => FileType::PrivateKey,
                Kind::Keystore => FileType::Keystore,
            };
            Some(Verdict { file_type: Some(file_type), labels })
        }
    }

    /// As much of the file as the verdict needs. A private key ends the search: after a certificate, it gives the label.
    fn look_inside(file: &File) -> Vec<u8> {
        let head = file.head(rules::HEAD_BYTES);
        // The host removes secrets from a head, so a short head does not mean that the file is short.
        let is_full = head.len() >= rules::HEAD_BYTES as usize;
        let is_long = || file.size().is_none_or(|size| size > rules::HEAD_BYTES.into());
        let needs_more = !rules::holds_private_key(&head) && (is_full || is_long());
        if needs_more { file.head(rules::MOST_HEAD_BYTES) } else { head }
    }

    export!(Plugin);
}
