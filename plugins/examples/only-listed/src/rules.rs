//! Decides which processes are listed.

use serde::Deserialize;

/// Digits of a shortened container id, as docker prints it.
const SHORT_ID: usize = 12;

/// The plugin's own part of the configuration. A process is listed if one of the keys matches it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Container ids, or at least their first 12 digits.
    containers: Vec<String>,
    /// Whether processes outside containers are listed.
    host: bool,
    /// Process names as in events.
    processes: Vec<String>,
}

impl Rules {
    /// Checks the configuration.
    ///
    /// # Errors
    /// A message for the operator.
    pub fn check(rules: Rules) -> Result<Rules, String> {
        if rules.containers.is_empty() && rules.processes.is_empty() && !rules.host {
            return Err("nothing is listed, so every event would be dropped: set `containers`, \
                        `processes`, or `host`: true"
                .to_owned());
        }
        if let Some(short) = rules.containers.iter().find(|id| id.len() < SHORT_ID) {
            return Err(format!("the container id {short:?} has fewer than {SHORT_ID} digits"));
        }
        // The kernel keeps 15 bytes of a name: a longer one would never match.
        if let Some(long) = rules.processes.iter().find(|name| !(1..=15).contains(&name.len())) {
            return Err(format!("the process name {long:?} does not have 1 to 15 bytes"));
        }
        Ok(rules)
    }

    /// Whether a process with this name is listed.
    pub fn lists_process(&self, name: &str) -> bool {
        self.processes.iter().any(|listed| listed == name)
    }

    /// Whether a container is listed; `None` means outside containers.
    pub fn lists_container(&self, id: Option<&str>) -> bool {
        match id {
            Some(id) => self.containers.iter().any(|listed| id.starts_with(listed.as_str())),
            None => self.host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<Rules, String> {
        Rules::check(crypto_tracer_plugin::testing::config(config)?)
    }

    #[test]
    fn listed_processes_and_containers_match() {
        let config = r#"{"containers": ["3f2a9c81d0b7"], "processes": ["nginx"]}"#;
        let rules = read(config).unwrap();
        assert!(rules.lists_process("nginx"));
        assert!(!rules.lists_process("nginx2") && !rules.lists_process("ngin"));
        assert!(rules.lists_container(Some("3f2a9c81d0b7e5")));
        assert!(!rules.lists_container(Some("3f2a9c81d0b")) && !rules.lists_container(Some("")));
        assert!(!rules.lists_container(None));
        assert!(read(r#"{"host": true}"#).unwrap().lists_container(None));
    }

    #[test]
    fn configuration_errors_name_the_cause() {
        for (config, wanted) in [
            ("{}", "nothing is listed"),
            (r#"{"containers": ["3f2a"]}"#, "fewer than 12"),
            (r#"{"processes": ["a-very-long-name"]}"#, "1 to 15"),
            (r#"{"processes": [""]}"#, "1 to 15"),
            (r#"{"container": []}"#, "unknown field `container`"),
        ] {
            let error = read(config).unwrap_err();
            assert!(error.contains(wanted), "{config}: {error}");
        }
    }
}
