//! The documented classification as a plugin. The rules are in [`names`] and [`rules`]; here they meet the contract.

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
            let kind = match names::by_name(&file.path()) {
                ByName::Is(kind) => kind,
                ByName::LookInside => look_inside(file)?,
                ByName::NoOpinion => return None,
            };
            let file_type = match kind {
                Kind::Certificate => FileType::Certificate,
                Kind::PrivateKey => FileType::PrivateKey,
                Kind::Keystore => FileType::Keystore,
            };
            Some(Verdict { file_type: Some(file_type), labels: Vec::new() })
        }
    }

    fn look_inside(file: &File) -> Option<Kind> {
        rules::by_head(&file.head(rules::HEAD_BYTES)).or_else(|| {
            // A head comes without what might be secret, so its length does not tell whether there is more.
            let there_is_more = file.size().is_none_or(|size| size > rules::HEAD_BYTES.into());
            there_is_more.then(|| rules::by_head(&file.head(rules::MOST_HEAD_BYTES))).flatten()
        })
    }

    export!(Plugin);
}
