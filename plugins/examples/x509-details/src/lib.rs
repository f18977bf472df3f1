//! Labels certificates with their contents. It returns no type, so the next classifier determines the type.

mod certificate;
mod head;
mod names;

use crypto_tracer_plugin::{Classifier, File, Interest, Verdict};
use head::Config;

impl Classifier<Config> for Config {
    fn new(config: Config, interest: &Interest) -> Result<Config, String> {
        config.suffixes.iter().for_each(|suffix| interest.file_suffix(suffix));
        Ok(config)
    }

    fn classify(&self, file: &File) -> Option<Verdict> {
        // Requests a head only if it may hold a certificate: a head costs a read of the file.
        if !self.wants(&file.path()) {
            return None;
        }
        let head = file.head(head::MOST_BYTES);
        Some(Verdict::no_type().labels(head::labels(&head, file.size())?))
    }
}

crypto_tracer_plugin::classifier!(Config);
