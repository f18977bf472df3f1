//! The documented inspector: lists the certificates in a file. [`content`] finds them, [`certificate`] reads them; this file
//! implements the contract.

pub mod certificate;
pub mod content;
mod names;

#[cfg(target_family = "wasm")]
mod component {
    use super::content::{self, MAX_CONTENT, START};
    use crypto_tracer::plugin::events::File;
    use exports::crypto_tracer::plugin::inspector::{Asset, Guest};

    wit_bindgen::generate!({ path: "../../wit", world: "inspector-plugin" });

    struct Plugin;

    impl Guest for Plugin {
        fn configure(config: String) -> Result<(), String> {
            if config.bytes().filter(|byte| !byte.is_ascii_whitespace()).ne(*b"{}") {
                return Err("this plugin has nothing to configure: leave `config` out".to_owned());
            }
            Ok(())
        }

        fn inspect(file: &File) -> Vec<Asset> {
            // The classifiers have usually read the head already, so most files cost no further read.
            if !content::may_hold_certificates(&file.head(START)) {
                return Vec::new();
            }
            let assets = content::certificates(&file.visible(0, MAX_CONTENT)).into_iter();
            assets.map(|facts| Asset { kind: content::KIND.to_owned(), facts }).collect()
        }
    }

    export!(Plugin);
}
