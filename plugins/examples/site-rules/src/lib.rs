//! Classifies a site's own file types: rules in the configuration assign types and labels by file name and directory.

mod rules;

use crypto_tracer_plugin::{Classifier, File, FileType, Interest, Verdict};
use rules::{Matching, RawConfig, Rules};

impl Classifier<RawConfig> for Rules {
    fn new(config: RawConfig, interest: &Interest) -> Result<Rules, String> {
        let rules = Rules::new(config)?;
        for rule in rules.all() {
            match &rule.matching {
                Matching::Suffix(suffix) => interest.file_suffix(suffix),
                Matching::Name(name) => interest.file_name(name),
            }
        }
        Ok(rules)
    }

    fn classify(&self, file: &File) -> Option<Verdict> {
        let rule = self.of(&file.path())?;
        Some(Verdict::of(FileType::from_name(&rule.file_type)).labels(&rule.labels))
    }
}

crypto_tracer_plugin::classifier!(Rules);
