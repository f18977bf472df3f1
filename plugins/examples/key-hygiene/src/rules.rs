//! Where keys may be, and which executables may open them.

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
        let executables = places.iter().flat_map(|place| &place.executables).flatten();
        let paths = places.iter().map(|place| &place.path).chain(executables);
        match paths.into_iter().find(|path| !is_plain(path)) {
            Some(odd) => Err(format!("{odd:?} is not an absolute path without `.` and `..`")),
            None => Ok(Rules(places)),
        }
    }

    /// The rule that this open of a private key violates; `None` if it violates no rule.
    ///
    /// If several places contain the key, those with the most path components apply.
    pub fn judge(&self, file: &str, exe: Option<&str>) -> Option<&'static str> {
        let holding = self.0.iter().filter(|place| place.holds(file));
        let Some(most) = holding.clone().map(Place::depth).max() else {
            return Some("outside_places");
        };
        let mut precise = holding.filter(|place| place.depth() == most);
        let Some(exe) = exe else {
            // The executable is not known, so only a place that allows every executable accepts the open.
            let free = precise.any(|place| place.executables.is_none());
            return (!free).then_some("unknown_executable");
        };
        let allows = |place: &Place| match &place.executables {
            Some(executables) => executables.iter().any(|allowed| allowed == exe),
            None => true,
        };
        (!precise.any(allows)).then_some("unexpected_executable")
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
            assert_eq!(rules.judge(file, exe), fault, "{file} {exe:?}");
        }
    }

    #[test]
    fn configuration_errors_name_the_cause() {
        for (config, wanted) in [
            ("{}", "`places`"),
            (r#"{"places": []}"#, "is empty"),
            (r#"{"places": [{"path": "etc"}]}"#, "\"etc\" is not an absolute path"),
            (r#"{"places": [{"path": "/a/../b"}]}"#, "\"/a/../b\" is not an absolute path without"),
            (r#"{"places": [{"path": "/a", "executables": ["cat"]}]}"#, "\"cat\""),
            (r#"{"places": [{"path": "/a", "exe": []}]}"#, "unknown field `exe`"),
        ] {
            let error = read(config).unwrap_err();
            assert!(error.contains(wanted), "{config}: {error}");
        }
    }
}
