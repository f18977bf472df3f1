//! Who is listed. No bindings, so `cargo test` runs it as it is.

use serde::Deserialize;

/// Digits of a container's id that name it, as people shorten it.
const SHORT_ID: usize = 12;

/// The plugin's own part of the configuration. Who is in any of the lists is listed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Ids of containers, or their first 12 digits or more.
    containers: Vec<String>,
    /// Whether what runs in no container is listed.
    host: bool,
    /// Names of processes, as events show them.
    processes: Vec<String>,
}

impl Rules {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub fn read(config: &str) -> Result<Rules, String> {
        let rules: Rules = serde_json::from_str(config).map_err(|error| error.to_string())?;
        if rules.containers.is_empty() && rules.processes.is_empty() && !rules.host {
            return Err("nobody is listed, so every event would be dropped: write `containers`, \
                        `processes`, or `host`: true"
                .to_owned());
        }
        if let Some(short) = rules.containers.iter().find(|id| id.len() < SHORT_ID) {
            return Err(format!("the container {short:?} has less than {SHORT_ID} digits"));
        }
        // The kernel keeps 15 bytes of a name: a longer one would never be met.
        if let Some(long) = rules.processes.iter().find(|name| !(1..=15).contains(&name.len())) {
            return Err(format!("the process {long:?} has not 1 to 15 bytes"));
        }
        Ok(rules)
    }

    /// Whether a process of this name is listed.
    pub fn lists_process(&self, name: &str) -> bool {
        self.processes.iter().any(|listed| listed == name)
    }

    /// Whether a container is listed; None is the host itself.
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

    #[test]
    fn whoever_is_in_a_list() {
        let config = r#"{"containers": ["3f2a9c81d0b7"], "processes": ["nginx"]}"#;
        let rules = Rules::read(config).unwrap();
        assert!(rules.lists_process("nginx"));
        assert!(!rules.lists_process("nginx2") && !rules.lists_process("ngin"));
        assert!(rules.lists_container(Some("3f2a9c81d0b7e5")));
        assert!(!rules.lists_container(Some("3f2a9c81d0b")) && !rules.lists_container(Some("")));
        assert!(!rules.lists_container(None));
        assert!(Rules::read(r#"{"host": true}"#).unwrap().lists_container(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (config, wanted) in [
            ("{}", "nobody is listed"),
            (r#"{"containers": ["3f2a"]}"#, "less than 12"),
            (r#"{"processes": ["a-very-long-name"]}"#, "1 to 15"),
            (r#"{"processes": [""]}"#, "1 to 15"),
            (r#"{"container": []}"#, "unknown field `container`"),
        ] {
            let told = Rules::read(config).unwrap_err();
            assert!(told.contains(wanted), "{config}: {told}");
        }
    }
}
