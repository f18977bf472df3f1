//! Labels events with the workload that their container belongs to.

use std::collections::BTreeMap;

use crypto_tracer_plugin::{Decision, Event, Filter};
use serde::Deserialize;

/// Digits of a shortened container id, as docker prints it.
const SHORT_ID: usize = 12;

/// The plugin's own part of the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workloads {
    /// Names by container id, or at least its first 12 digits.
    workloads: BTreeMap<String, String>,
    /// Name for containers that are not listed. Without it, they have no label.
    other: Option<String>,
}

impl Filter<Workloads> for Workloads {
    fn new(config: Workloads) -> Result<Workloads, String> {
        match config.workloads.keys().find(|id| id.len() < SHORT_ID) {
            Some(short) => {
                Err(format!("the container id {short:?} has fewer than {SHORT_ID} digits"))
            }
            None => Ok(config),
        }
    }

    fn decide(&mut self, event: &Event) -> Decision {
        let Some(id) = event.container() else { return Decision::Keep };
        match self.name(&id) {
            Some(name) => Decision::label("workload", name),
            None => Decision::Keep,
        }
    }
}

impl Workloads {
    fn name(&self, id: &str) -> Option<&str> {
        // Of all texts that the id begins with, only those up to the id sort before it.
        let mut before = self.workloads.range(..=id.to_owned()).rev();
        let short = id.get(..SHORT_ID)?;
        let found = before.by_ref().take_while(|(known, _)| known.as_str() >= short);
        let mut found = found.filter(|(known, _)| id.starts_with(known.as_str()));
        found.next().map(|(_, name)| name.as_str()).or(self.other.as_deref())
    }
}

crypto_tracer_plugin::filter!(Workloads);

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::testing;

    const CONFIG: &str = r#"{
        "workloads": {"3f2a9c81d0b7": "shop", "3f2a9c81d0b7aa": "shop-canary", "9999999999999999": "db"},
        "other": "unlisted"
    }"#;

    #[test]
    fn the_longest_id_that_fits_names_the_workload() {
        let mut workloads: Workloads = testing::filter(CONFIG).unwrap();
        let mut workload = |id: &str| {
            let decision = workloads.decide(&testing::Event::process_exit(0).in_container(id));
            let Decision::Label(labels) = decision else { panic!("{decision:?}") };
            labels.get("workload").unwrap().to_owned()
        };
        assert_eq!(workload("3f2a9c81d0b7ffff"), "shop");
        assert_eq!(workload("3f2a9c81d0b7aa00"), "shop-canary");
        assert_eq!(workload("3f2a9c81d0b7ab00"), "shop");
        assert_eq!(workload("9999999999999999"), "db");
        assert_eq!(workload("999999999999999"), "unlisted");
        assert_eq!(workload("3f2a9c81d0b6ffff"), "unlisted");
        assert_eq!(workloads.decide(&testing::Event::process_exit(0)), Decision::Keep);
    }

    #[test]
    fn short_ids_are_refused() {
        let refused = testing::filter::<Workloads, _>(r#"{"workloads": {"3f2a": "shop"}}"#);
        assert!(refused.map(|_| ()).unwrap_err().contains("fewer than 12 digits"));
    }
}
