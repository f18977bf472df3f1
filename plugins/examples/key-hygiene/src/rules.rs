//! Where keys may be, and which executables may open them, with which ancestors.

use serde::Deserialize;

/// The places of the configuration.
#[derive(Debug)]
pub struct Rules(Vec<Place>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// A directory; `*` matches one path component.
    path: String,
    /// Executables that may open keys there; `None` allows every executable.
    executables: Option<Vec<String>>,
    /// Executables of which one must be that of the parent; `None` allows every parent.
    parents: Option<Vec<String>>,
    /// Executables that no ancestor may have.
    #[serde(default)]
    not_below: Vec<String>,
}

/// The plugin's own part of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    places: Vec<Place>,
}

impl Rules {
    /// Checks the configuration.
    ///
    /// # Errors
    /// A message for the operator.
    pub fn new(config: Config) -> Result<Rules, String> {
        let Config { places } = config;
        if places.is_empty() {
            return Err(
                "`places` is empty: list the directories that may contain private keys".to_owned()
            );
        }
        if let Some(odd) = places.iter().flat_map(Place::paths).find(|path| !is_plain(path)) {
            return Err(format!("{odd:?} is not an absolute path without `.` and `..`"));
        }
        Ok(Rules(places))
    }

    /// The rule that this open of a private key violates; `None` if it violates no rule.
    ///
    /// If several places contain the key, those with the most path components apply. `ancestors`: the executables of the
    /// ancestors, the parent first, `None` for an unknown one. Called only if a place has a rule about them.
    pub fn judge(
        &self,
        file: &str,
        exe: Option<&str>,
        ancestors: impl FnOnce() -> Vec<Option<String>>,
    ) -> Option<&'static str> {
        let holding = self.0.iter().filter(|place| place.holds(file));
        let Some(most) = holding.clone().map(Place::depth).max() else {
            return Some("outside_places");
        };
        let precise = holding.filter(|place| place.depth() == most);
        let asks = precise.clone().any(Place::asks_for_ancestors);
        let ancestors = if asks { ancestors() } else { Vec::new() };
        let mut faults = precise.map(|place| place.fault(exe, &ancestors));
        // One place that accepts the open is enough.
        let first = faults.next().flatten()?;
        faults.all(|fault| fault.is_some()).then_some(first)
    }
}

/// Paths in events are absolute and resolved: another path would never match.
fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|name| name == "." || name == "..")
}

impl Place {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter(|name| !name.is_empty())
    }

    /// Its directory, and all executables of its rules.
    fn paths(&self) -> impl Iterator<Item = &String> {
        let optional = [&self.executables, &self.parents].into_iter().flatten().flatten();
        std::iter::once(&self.path).chain(optional).chain(&self.not_below)
    }

    fn asks_for_ancestors(&self) -> bool {
        self.parents.is_some() || !self.not_below.is_empty()
    }

    /// The rule of this place that an open violates.
    fn fault(&self, exe: Option<&str>, ancestors: &[Option<String>]) -> Option<&'static str> {
        if let Some(allowed) = &self.executables {
            match exe {
                None => return Some("unknown_executable"),
                Some(exe) if !allowed.iter().any(|it| it == exe) => {
                    return Some("unexpected_executable");
                }
                Some(_) => {}
            }
        }
        if let Some(allowed) = &self.parents {
            match ancestors.first() {
                None | Some(None) => return Some("unknown_parent"),
                Some(Some(parent)) if !allowed.contains(parent) => {
                    return Some("unexpected_parent");
                }
                Some(Some(_)) => {}
            }
        }
        let is_below = ancestors.iter().flatten().any(|exe| self.not_below.contains(exe));
        is_below.then_some("unexpected_ancestor")
    }

    fn depth(&self) -> usize {
        self.names().count()
    }

    /// Whether the file is in this directory, or in one below it.
    fn holds(&self, file: &str) -> bool {
        // A path that lost its beginning is in no known directory.
        let Some(path) = file.strip_prefix('/') else { return false };
        let mut there = path.split('/');
        self.names().all(|name| there.next().is_some_and(|other| name == "*" || name == other))
            && there.next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<Rules, String> {
        Rules::new(crypto_tracer_plugin::testing::config(config)?)
    }

    const PLACES: &str = r#"{"places": [
        {"path": "/etc/ssl/private", "executables": ["/usr/sbin/nginx", "/usr/sbin/haproxy"]},
        {"path": "/etc/ssl/private/open"},
        {"path": "/home/*/.ssh/", "executables": ["/usr/bin/ssh"]}
    ]}"#;

    #[test]
    fn place_and_executable_must_match() {
        let rules = read(PLACES).unwrap();
        for (file, exe, fault) in [
            ("/etc/ssl/private/a.key", Some("/usr/sbin/nginx"), None),
            ("/etc/ssl/private/deep/a.key", Some("/usr/sbin/haproxy"), None),
            ("/etc/ssl/private/a.key", Some("/usr/bin/cat"), Some("unexpected_executable")),
            ("/etc/ssl/private/a.key", None, Some("unknown_executable")),
            ("/etc/ssl/private/open/a.key", Some("/usr/bin/cat"), None),
            ("/etc/ssl/private/open/a.key", None, None),
            ("/home/alice/.ssh/id_rsa", Some("/usr/bin/ssh"), None),
            ("/home/alice/.ssh/id_rsa", Some("/usr/bin/scp"), Some("unexpected_executable")),
            ("/home/alice/deep/.ssh/id_rsa", Some("/usr/bin/ssh"), Some("outside_places")),
            ("/tmp/a.key", Some("/usr/sbin/nginx"), Some("outside_places")),
            ("/etc/ssl/private.key", Some("/usr/sbin/nginx"), Some("outside_places")),
            ("/etc/ssl/private", Some("/usr/sbin/nginx"), Some("outside_places")),
            ("…/etc/ssl/private/a.key", Some("/usr/sbin/nginx"), Some("outside_places")),
        ] {
            let ancestors = || panic!("no place has a rule about ancestors");
            assert_eq!(rules.judge(file, exe, ancestors), fault, "{file} {exe:?}");
        }
    }

    #[test]
    fn a_child_of_neither_sshd_nor_systemd_is_unexpected() {
        let rules = read(
            r#"{"places": [
                {"path": "/etc/ssh", "parents": ["/usr/sbin/sshd", "/usr/lib/systemd/systemd"]},
                {"path": "/srv/keys", "not_below": ["/usr/sbin/sshd"]}
            ]}"#,
        )
        .unwrap();
        let (sshd, bash) = (Some("/usr/sbin/sshd"), Some("/bin/bash"));
        for (file, ancestors, fault) in [
            ("/etc/ssh/ssh_host_rsa_key", &[sshd][..], None),
            ("/etc/ssh/ssh_host_rsa_key", &[bash, sshd], Some("unexpected_parent")),
            ("/etc/ssh/ssh_host_rsa_key", &[None, sshd], Some("unknown_parent")),
            ("/etc/ssh/ssh_host_rsa_key", &[], Some("unknown_parent")),
            ("/srv/keys/a.key", &[bash, None, sshd], Some("unexpected_ancestor")),
            ("/srv/keys/a.key", &[bash, None], None),
            ("/srv/keys/a.key", &[], None),
        ] {
            let ancestors = || ancestors.iter().map(|exe| exe.map(str::to_owned)).collect();
            assert_eq!(rules.judge(file, Some("/bin/cat"), ancestors), fault, "{file}");
        }
    }

    #[test]
    fn one_place_that_accepts_the_open_is_enough() {
        let rules = read(
            r#"{"places": [
                {"path": "/a", "executables": ["/bin/x"]},
                {"path": "/a", "parents": ["/bin/sh"]}
            ]}"#,
        )
        .unwrap();
        let judge =
            |exe, parent: &str| rules.judge("/a/k", Some(exe), || vec![Some(parent.into())]);
        assert_eq!(judge("/bin/x", "/bin/y"), None);
        assert_eq!(judge("/bin/y", "/bin/sh"), None);
        assert_eq!(judge("/bin/y", "/bin/y"), Some("unexpected_executable"));
    }

    #[test]
    fn configuration_errors_name_the_cause() {
        for (config, wanted) in [
            ("{}", "`places`"),
            (r#"{"places": []}"#, "is empty"),
            (r#"{"places": [{"path": "etc"}]}"#, "\"etc\" is not an absolute path"),
            (r#"{"places": [{"path": "/a/../b"}]}"#, "\"/a/../b\" is not an absolute path without"),
            (r#"{"places": [{"path": "/a", "executables": ["cat"]}]}"#, "\"cat\""),
            (r#"{"places": [{"path": "/a", "parents": ["sshd"]}]}"#, "\"sshd\""),
            (r#"{"places": [{"path": "/a", "not_below": ["sshd"]}]}"#, "\"sshd\""),
            (r#"{"places": [{"path": "/a", "exe": []}]}"#, "unknown field `exe`"),
        ] {
            let error = read(config).unwrap_err();
            assert!(error.contains(wanted), "{config}: {error}");
        }
    }
}
