//! Parsers of files that the operator names, for the fuzz targets in `fuzz` and the property tests here.

use std::path::Path;

use crate::{commands, config};

/// A configuration file.
pub fn configuration(text: &str) {
    config::fuzz(text);
}

/// A file of cases for `plugin test`.
pub fn cases(bytes: &[u8]) {
    let _ = commands::plugin::fuzz_cases(bytes, Path::new("/nonexistent/cases.json"));
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_configuration_is_parsed(
            text in "(\\[\\[?(plugins|classifier|redactor|filter|capture|output)\\]\\]?\n|(path|memory|ring|mode|group|config|allow|status_every|deadline_ms) = (\"\\PC{0,8}\"|[0-9]{1,20}|\\[\\]|\\{ a = 1 \\})\n|\\PC{0,6}\n){0,12}",
        ) {
            configuration(&text);
        }

        #[test]
        fn any_cases_are_parsed(
            text in "(\\{|\\}|\\[|\\]|:|,|\"(cases|name|expect|file|text|event|config|path|content|file_type)\"|[0-9]{1,20}|null|\"\\PC{0,8}\"){0,60}",
            bytes in vec(any::<u8>(), 0..60),
        ) {
            cases(text.as_bytes());
            cases(&bytes);
            cases(format!("{{\"cases\": [{{\"name\": \"a\", \"expect\": {text}}}]}}").as_bytes());
        }
    }
}
