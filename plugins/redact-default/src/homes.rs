//! The home directories, and the names in the components of their paths.

use std::borrow::Cow;

/// Replaces a part of a path that may be private.
const ELLIPSIS: &str = "…";
/// Replaces the name of a user.
pub(crate) const USER: &str = "USER";
/// Directories below the root in which a `home` belongs to a program and never contains home directories.
const SYSTEM: &[&str] =
    &["bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "sys", "usr"];

/// Directories below the root whose entries have users' names: removable media, and mailboxes.
const NAMED: &[&[&str]] =
    &[&["media"], &["run", "media"], &["var", "mail"], &["var", "spool", "mail"]];

/// Locations of home directories, in addition to `/home` and `/root`.
#[derive(Clone, Debug, Default)]
pub struct Homes {
    /// Directories whose entries are home directories, split into components.
    parents: Vec<Vec<String>>,
    /// Home directories, split into components.
    users: Vec<Vec<String>>,
    /// Home directories of root, split into components.
    roots: Vec<Vec<String>>,
}

/// Position of the name in the path of a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// The last component is a name.
    InName,
    /// The last components, this many, are the home of root.
    InRoot(usize),
}

impl Homes {
    /// `parents`: directories of home directories, like `/home`. `users`: home directories. `roots`: those of root.
    ///
    /// # Errors
    /// A path is not absolute, or is the root, which would make every path a home.
    pub fn new(parents: &[String], users: &[String], roots: &[String]) -> Result<Homes, String> {
        let mut homes = Homes {
            parents: vec![vec!["home".to_owned()]],
            users: Vec::new(),
            roots: vec![vec!["root".to_owned()]],
        };
        let named = NAMED.iter().map(|path| path.iter().map(|&name| name.to_owned()).collect());
        homes.parents.extend(named);
        for (paths, into) in
            [(parents, &mut homes.parents), (users, &mut homes.users), (roots, &mut homes.roots)]
        {
            for path in paths {
                into.push(configured(path)?);
            }
        }
        Ok(homes)
    }

    /// All paths that lead to a home.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Vec<String>> {
        self.parents.iter().chain(&self.users).chain(&self.roots)
    }

    /// Hides the names in the components of an absolute path. Returns whether one was hidden.
    pub(crate) fn hide(&self, components: &mut Vec<Cow<'_, str>>) -> bool {
        let mut hidden = self.hide_at(components, root_in_proc(components));
        // A backup, a container's root in the host's file system, or a home on another disk.
        if !hidden && components.first().is_some_and(|first| SYSTEM.contains(&&**first)) {
            return false;
        }
        let mut at = 1;
        while at + 2 < components.len() {
            let found = components.get(at).is_some_and(|name| name == "home");
            hidden |= found && replace(components, at + 1);
            at += if found { 2 } else { 1 };
        }
        hidden
    }

    /// Like [`Homes::hide`], for the path from the component `at` on.
    pub(crate) fn hide_at(&self, components: &mut Vec<Cow<'_, str>>, at: usize) -> bool {
        let below = |prefix: &&Vec<String>| begins(components.get(at..), prefix);
        let parent = self.parents.iter().filter(below).map(|parent| at + parent.len()).max();
        let users = self.users.iter().filter(below).map(|user| at + user.len() - 1);
        // The entries of the deepest parent are names. In nested homes, each level has one.
        let mut names: Vec<usize> =
            parent.into_iter().chain(users).filter(|&name| name < components.len()).collect();
        let root = self.roots.iter().filter(below).map(Vec::len).max();
        names.retain(|&name| root.is_none_or(|len| name >= at + len));
        for &name in &names {
            replace(components, name);
        }
        let Some(len) = root else { return !names.is_empty() };
        components.splice(at..at + len, ["home".into(), "ROOT".into()]);
        true
    }

    /// Meaning of the last component of an absolute path.
    fn ends(&self, components: &[&str]) -> Option<Ends> {
        let same = |home: &Vec<String>, path: &[&str]| path.iter().eq(home.iter());
        let path = components.get(root_in_proc(components)..).unwrap_or_default();
        if let Some(root) = self.roots.iter().find(|root| same(root, path)) {
            return Some(Ends::InRoot(root.len()));
        }
        let (_, above) = path.split_last()?;
        let below_parent = self.parents.iter().any(|parent| same(parent, above));
        let named = below_parent || self.users.iter().any(|user| same(user, path));
        named.then_some(Ends::InName)
    }

    /// Hides the names in a path and changes nothing else: `//`, `.` and `..` remain, with the same meaning for the
    /// program that gets the path.
    pub(crate) fn hide_in_place<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let mut shown: Vec<Option<&str>> = path.split('/').map(Some).collect();
        // The resolved components so far, and their positions in the path.
        let (mut names, mut places): (Vec<&str>, Vec<usize>) = (Vec::new(), Vec::new());
        for (place, component) in path.split('/').enumerate() {
            match component {
                "" | "." => continue,
                ".." => {
                    names.pop();
                    places.pop();
                    continue;
                }
                name => (names.push(name), places.push(place)),
            };
            let mut put = |back: usize, text: Option<&'static str>| {
                let place = places.len().checked_sub(back).and_then(|at| places.get(at));
                let Some(shown) = place.and_then(|&place| shown.get_mut(place)) else { return };
                if !matches!(*shown, Some("ROOT")) {
                    *shown = text;
                }
            };
            match self.ends(&names) {
                Some(Ends::InName) => put(1, Some(USER)),
                Some(Ends::InRoot(len)) => {
                    (2..=len).for_each(|back| put(back, None));
                    put(1, Some("home/ROOT"));
                }
                None => {}
            }
            let system = names.first().is_some_and(|first| SYSTEM.contains(first));
            let above = names.len().checked_sub(3).filter(|&at| at > 0 && !system);
            if above.and_then(|at| names.get(at)) == Some(&"home") {
                put(2, Some(USER));
            }
        }
        if shown.iter().copied().eq(path.split('/').map(Some)) {
            return path.into();
        }
        shown.into_iter().flatten().collect::<Vec<_>>().join("/").into()
    }

    /// Whether the entries of this directory are home directories.
    pub(crate) fn is_parent(&self, path: &str) -> bool {
        let components = resolved(path);
        self.parents.iter().any(|parent| components.iter().eq(parent.iter()))
    }

    /// Whether this is exactly the path of a home directory.
    pub(crate) fn is_home(&self, path: &str) -> bool {
        let components = resolved(path);
        let above = components.split_last().map(|(_, above)| above);
        above.is_some_and(|above| self.parents.iter().any(|parent| above.iter().eq(parent.iter())))
    }

    /// Hides the names in the components of a path whose start is missing: it may start anywhere, even within the path
    /// of a home directory.
    pub(crate) fn hide_without_beginning(&self, components: &mut [Cow<'_, str>]) {
        let parents = self.parents.iter().flat_map(|parent| tails(parent, 1, parent.len()));
        let users = self.users.iter().chain(&self.roots).filter(|user| user.len() > 1);
        let users = users.flat_map(|user| tails(user, 0, user.len()));
        let mut whole = false;
        let names: Vec<usize> = parents
            .chain(users)
            .filter(|&(_, rest, name)| {
                // The output of an earlier run has USER in place of the name.
                let same = |at: usize| match (components.get(at), rest.get(at)) {
                    (Some(found), Some(wanted)) => found == wanted || at == name && found == USER,
                    _ => false,
                };
                (0..rest.len()).all(same)
            })
            .map(|(cut, _, name)| {
                whole |= cut == 0;
                name
            })
            .collect();
        for name in names {
            replace(components, name);
        }
        for at in 1..components.len().saturating_sub(2) {
            if components.get(at).is_some_and(|name| name == "home") {
                replace(components, at + 1);
            }
        }
        if components.len() > 1
            && !whole
            && let Some(first) = components.first_mut()
            && first != USER
        {
            *first = ELLIPSIS.into();
        }
    }
}

/// Whether the components start with those of `prefix`.
fn begins(components: Option<&[Cow<'_, str>]>, prefix: &[String]) -> bool {
    let start = components.and_then(|components| components.get(..prefix.len()));
    start.is_some_and(|start| start.iter().eq(prefix.iter()))
}

/// Position after `/proc/PID/root`, which is a root itself.
fn root_in_proc(components: &[impl AsRef<str>]) -> usize {
    let is = |at: usize, name: &str| components.get(at).is_some_and(|it| it.as_ref() == name);
    match () {
        () if !is(0, "proc") => 0,
        () if is(2, "root") => 3,
        () if is(2, "task") && is(4, "root") => 5,
        () => 0,
    }
}

/// A path without its first components, for each number of them below `len`: the number, the rest, and the position of
/// the name, `beyond` components after the last one of the rest.
fn tails(
    path: &[String],
    beyond: usize,
    len: usize,
) -> impl Iterator<Item = (usize, &[String], usize)> {
    (0..len).filter_map(move |cut| {
        let rest = path.get(cut..)?;
        Some((cut, rest, (rest.len() + beyond).saturating_sub(1)))
    })
}

/// Replaces the component by [`USER`]. False: it does not exist.
fn replace(components: &mut [Cow<'_, str>], at: usize) -> bool {
    match components.get_mut(at) {
        // The output of an earlier run: `/root` is already hidden.
        Some(name) if name == "ROOT" => true,
        Some(name) => {
            *name = USER.into();
            true
        }
        None => false,
    }
}

/// The components of a path of the configuration.
fn configured(path: &str) -> Result<Vec<String>, String> {
    let components: Vec<String> = resolved(path).iter().map(|name| name.to_string()).collect();
    if !path.starts_with('/') || components.is_empty() {
        return Err(format!(
            "`{path}` is no directory of homes: an absolute path is right, not `/`"
        ));
    }
    Ok(components)
}

/// The components of an absolute path, with `.`, `..` and empty ones resolved.
pub(crate) fn resolved(path: &str) -> Vec<Cow<'_, str>> {
    let mut components: Vec<Cow<'_, str>> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name.into()),
        }
    }
    components
}
