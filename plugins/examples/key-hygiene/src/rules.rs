//! Where keys may be, and who may open them there. No bindings, so `cargo test` runs it as it is.

use serde::Deserialize;

/// The places of the configuration.
#[derive(Debug)]
pub struct Rules(Vec<Place>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// A directory; `*` stands for one name in it.
    path: String,
    /// Executables that open keys there; none: any may.
    executables: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    places: Vec<Place>,
}

impl Rules {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub fn read(config: &str) -> Result<Rules, String> {
        let Written { places } = serde_json::from_str(config).map_err(|error| error.to_string())?;
        if places.is_empty() {
            return Err("`places` is empty: write where private keys may be".to_owned());
        }
        let executables = places.iter().flat_map(|place| &place.executables).flatten();
        let paths = places.iter().map(|place| &place.path).chain(executables);
        match paths.into_iter().find(|path| !is_plain(path)) {
            Some(odd) => Err(format!("{odd:?} is no absolute path without `.` and `..`")),
            None => Ok(Rules(places)),
        }
    }

    /// What is wrong with this open of a private key, in a word.
    ///
    /// Of several places that hold the key the most precise ones count: those with most names in their path.
    pub fn judge(&self, file: &str, exe: Option<&str>) -> Option<&'static str> {
        let holding = self.0.iter().filter(|place| place.holds(file));
        let Some(most) = holding.clone().map(Place::depth).max() else {
            return Some("outside_places");
        };
        let mut precise = holding.filter(|place| place.depth() == most);
        let Some(exe) = exe else {
            // Who it was is not known any more: only a place for all is in order.
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

/// Paths of events are absolute and have no detours: what has one would never fit.
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
        // A path that lost its beginning is nowhere that is known.
        let Some(path) = file.strip_prefix('/') else { return false };
        let mut there = path.split('/');
        self.names().all(|name| there.next().is_some_and(|other| name == "*" || name == other))
            && there.next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: &str = r#"{"places": [
        {"path": "/etc/ssl/private", "executables": ["/usr/sbin/nginx", "/usr/sbin/haproxy"]},
        {"path": "/etc/ssl/private/open"},
        {"path": "/home/*/.ssh/", "executables": ["/usr/bin/ssh"]}
    ]}"#;

    #[test]
    fn place_and_program_have_to_fit() {
        let rules = Rules::read(PLACES).unwrap();
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
    fn what_is_wrong_is_named() {
        for (config, wanted) in [
            ("{}", "`places`"),
            (r#"{"places": []}"#, "is empty"),
            (r#"{"places": [{"path": "etc"}]}"#, "\"etc\" is no absolute path"),
            (r#"{"places": [{"path": "/a/../b"}]}"#, "\"/a/../b\" is no absolute path without"),
            (r#"{"places": [{"path": "/a", "executables": ["cat"]}]}"#, "\"cat\""),
            (r#"{"places": [{"path": "/a", "exe": []}]}"#, "unknown field `exe`"),
        ] {
            let told = Rules::read(config).unwrap_err();
            assert!(told.contains(wanted), "{config}: {told}");
        }
    }
}
