//! Drops the events of quiet processes, and labels opens that may change a private key.

use crypto_tracer_plugin::{Decision, Event, Filter};
use serde::Deserialize;

/// The plugin's own part of the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Quiet {
    /// Names of processes whose events are dropped.
    quiet: Vec<String>,
}

impl Filter<Quiet> for Quiet {
    fn new(config: Quiet) -> Result<Quiet, String> {
        Ok(config)
    }

    fn decide(&mut self, event: &Event) -> Decision {
        if self.quiet.contains(&event.process()) {
            return Decision::Drop;
        }
        // Events other than opens have neither field.
        if event.file_type().as_deref() == Some("private_key") && event.writes() {
            return Decision::label("key_written", "yes");
        }
        Decision::Keep
    }
}

crypto_tracer_plugin::filter!(Quiet);

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::testing;

    fn quiet(config: &str) -> Quiet {
        testing::filter(config).unwrap()
    }

    #[test]
    fn only_configured_processes_are_quiet() {
        let mut filter = quiet(r#"{"quiet": ["logrotate"]}"#);
        let exec = testing::Event::process_exec("logrotate /etc/logrotate.conf");
        assert_eq!(filter.decide(&exec.clone().by_unknown("logrotate")), Decision::Drop);
        assert_eq!(filter.decide(&exec.by_unknown("logrotate2")), Decision::Keep);
        assert!(testing::filter::<Quiet, _>(r#"{"quite": []}"#).is_err());
    }

    #[test]
    fn only_writes_of_private_keys_are_labelled() {
        let open = |file_type, flags| {
            let event = testing::Event::file_open("/etc/ssl/a", file_type);
            quiet("{}").decide(&event.with_field("flags", flags))
        };
        let written = Decision::label("key_written", "yes");
        assert_eq!(open("private_key", "O_WRONLY|O_CREAT|O_TRUNC"), written);
        assert_eq!(open("private_key", "O_RDWR"), written);
        assert_eq!(open("private_key", "O_RDONLY"), Decision::Keep);
        assert_eq!(open("certificate", "O_RDWR"), Decision::Keep);
    }
}
