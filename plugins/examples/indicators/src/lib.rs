//! Labels events that match an indicator: a file, an executable, a directory, or a word of a command line.

use std::collections::BTreeSet;

use crypto_tracer_plugin::{Decision, Event, Filter};
use serde::Deserialize;

/// The plugin's own part of the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// One indicator each: an absolute path; one that ends in `/` for everything below a directory; or a word of a command
    /// line.
    indicators: BTreeSet<String>,
}

struct Indicators {
    files: BTreeSet<String>,
    directories: BTreeSet<String>,
    words: BTreeSet<String>,
}

impl Filter<Config> for Indicators {
    fn new(config: Config) -> Result<Indicators, String> {
        if config.indicators.is_empty() {
            return Err("`indicators` is empty: list at least one".to_owned());
        }
        let odd = |text: &&String| text.is_empty() || text.contains(char::is_whitespace);
        if let Some(odd) = config.indicators.iter().find(odd) {
            return Err(format!("{odd:?} is not a path or a word"));
        }
        let (paths, words) = config.indicators.into_iter().partition(|text| text.starts_with('/'));
        let paths: BTreeSet<String> = paths;
        let (directories, files) = paths.into_iter().partition(|path| path.ends_with('/'));
        Ok(Indicators { files, directories, words })
    }

    fn decide(&mut self, event: &Event) -> Decision {
        let about = event.file().and_then(|file| self.path(&file).map(str::to_owned));
        let found = about
            .or_else(|| event.exe().and_then(|exe| self.path(&exe).map(str::to_owned)))
            .or_else(|| event.cmdline().and_then(|line| self.word(&line).map(str::to_owned)));
        found.map_or(Decision::Keep, |indicator| Decision::label("indicator", indicator))
    }
}

impl Indicators {
    /// The indicator for a file, or for a directory above it.
    fn path(&self, path: &str) -> Option<&str> {
        if let Some(file) = self.files.get(path) {
            return Some(file);
        }
        let ends = path.match_indices('/').map(|(at, _)| at + 1);
        let above = ends.filter_map(|end| path.get(..end));
        above.filter_map(|directory| self.directories.get(directory)).next().map(String::as_str)
    }

    fn word(&self, line: &str) -> Option<&str> {
        line.split_whitespace().find_map(|word| self.words.get(word)).map(String::as_str)
    }
}

crypto_tracer_plugin::filter!(Indicators);

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::testing;

    fn found(event: &testing::Event) -> Option<String> {
        let list = r#"{"indicators": ["/tmp/.x/key.pem", "/dev/shm/", "--dump-keys"]}"#;
        let mut indicators: Indicators = testing::filter(list).unwrap();
        match indicators.decide(event) {
            Decision::Label(labels) => labels.get("indicator").map(str::to_owned),
            decision => {
                assert_eq!(decision, Decision::Keep);
                None
            }
        }
    }

    #[test]
    fn files_directories_and_words_match() {
        let open = |file| testing::Event::file_open(file, "private_key");
        assert_eq!(found(&open("/tmp/.x/key.pem")).unwrap(), "/tmp/.x/key.pem");
        assert_eq!(found(&open("/dev/shm/a/b.key")).unwrap(), "/dev/shm/");
        assert_eq!(found(&open("/dev/shm")), None);
        assert_eq!(found(&open("/tmp/.x/key.pem2")), None);
        assert_eq!(found(&open("/a").by("b", "/dev/shm/b")).unwrap(), "/dev/shm/");
        let exec = testing::Event::process_exec;
        assert_eq!(found(&exec("tool --dump-keys all")).unwrap(), "--dump-keys");
        assert_eq!(found(&exec("tool --dump-keys=all")), None);
    }

    #[test]
    fn invalid_lists_are_refused() {
        for list in
            [r#"{"indicators": []}"#, r#"{"indicators": [""]}"#, r#"{"indicators": ["a b"]}"#]
        {
            assert!(testing::filter::<Indicators, _>(list).is_err(), "{list}");
        }
    }
}
