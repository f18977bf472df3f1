//! The inputs of an artifact: source files, the locked versions of the crates, and the part of the root manifest that a
//! build reads. Each input is identified by its SHA-256.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The inputs of one build.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    /// Folders and files, relative to the workspace. A folder stands for all its `.rs`, `.toml` and `.wit` files.
    pub(crate) paths: Vec<&'a str>,
    /// The workspace members that are built.
    pub(crate) packages: Vec<&'a str>,
    /// The profile that they are built with.
    pub(crate) profile: &'a str,
}

impl Inputs<'_> {
    /// The hash of every input. A key is a path, or names a part of a file.
    pub(crate) fn hashes(&self, root: &Path) -> Result<BTreeMap<String, String>> {
        let mut hashes = BTreeMap::new();
        for path in &self.paths {
            add(root, Path::new(path), &mut hashes)?;
        }
        let locked = Locked::read(root)?.closure(&self.packages);
        let text: String = locked.lines.iter().map(|line| format!("{line}\n")).collect();
        hashes.insert(format!("Cargo.lock: {}", self.packages.join(", ")), sha256(text.as_bytes()));
        let settings = settings(root, self.profile, &locked.names)?;
        hashes.insert(
            format!("Cargo.toml: package, profile {}, dependencies", self.profile),
            sha256(settings.as_bytes()),
        );
        Ok(hashes)
    }
}

fn add(root: &Path, path: &Path, hashes: &mut BTreeMap<String, String>) -> Result<()> {
    let full = root.join(path);
    if full.is_dir() {
        for entry in fs::read_dir(&full).with_context(|| format!("cannot list {path:?}"))? {
            let name = entry?.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            let inner = path.join(&name);
            let wanted = inner.extension().is_some_and(|e| e == "rs" || e == "toml" || e == "wit");
            if !hidden && name != "target" && (wanted || root.join(&inner).is_dir()) {
                add(root, &inner, hashes)?;
            }
        }
        return Ok(());
    }
    let bytes = fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
    hashes.insert(path.to_string_lossy().into_owned(), sha256(&bytes));
    Ok(())
}

/// The packages in Cargo.lock.
struct Locked(Vec<Package>);

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// Some packages and all their dependencies.
struct Closure {
    names: BTreeSet<String>,
    lines: BTreeSet<String>,
}

impl Locked {
    fn read(root: &Path) -> Result<Locked> {
        #[derive(serde::Deserialize)]
        struct SourceFile {
            package: Vec<Package>,
        }
        let text = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
        let file: SourceFile = toml::from_str(&text).context("Cargo.lock")?;
        Ok(Locked(file.package))
    }

    /// The packages and their dependencies. Cargo.lock writes a dependency as `name`, or `name version` if the name is
    /// ambiguous.
    fn closure(&self, packages: &[&str]) -> Closure {
        let mut todo: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
        let mut closure = Closure { names: BTreeSet::new(), lines: BTreeSet::new() };
        while let Some(wanted) = todo.pop() {
            let mut words = wanted.split(' ');
            let (name, version) = (words.next().unwrap_or_default(), words.next());
            let fits = |p: &&Package| p.name == name && version.is_none_or(|v| v == p.version);
            for package in self.0.iter().filter(fits) {
                let checksum = package.checksum.as_deref().unwrap_or("here");
                let line = format!("{} {} {checksum}", package.name, package.version);
                if closure.lines.insert(line) {
                    closure.names.insert(package.name.clone());
                    todo.extend(package.dependencies.iter().cloned());
                }
            }
        }
        closure
    }
}

/// The parts of the root manifest that concern these crates and this profile.
fn settings(root: &Path, profile: &str, names: &BTreeSet<String>) -> Result<String> {
    let text = fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let manifest: toml::Table = toml::from_str(&text).context("Cargo.toml")?;
    let table = |path: &[&str]| {
        path.iter().try_fold(&manifest, |table, key| table.get(*key)?.as_table()).cloned()
    };
    let mut dependencies = table(&["workspace", "dependencies"]).unwrap_or_default();
    dependencies.retain(|name, _| names.contains(name));
    let mut kept = toml::Table::new();
    kept.insert("package".into(), table(&["workspace", "package"]).unwrap_or_default().into());
    kept.insert("release".into(), table(&["profile", "release"]).unwrap_or_default().into());
    kept.insert("profile".into(), table(&["profile", profile]).unwrap_or_default().into());
    kept.insert("dependencies".into(), dependencies.into());
    Ok(kept.to_string())
}

/// The locked version of a crate that the workspace member `of` depends on.
pub(crate) fn locked_version(root: &Path, of: &str, name: &str) -> Result<String> {
    let locked = Locked::read(root)?;
    let member = locked.0.iter().find(|package| package.name == of);
    let wanted = member.and_then(|member| {
        member.dependencies.iter().find(|wanted| wanted.split(' ').next() == Some(name))
    });
    let wanted = wanted.with_context(|| format!("{of} does not depend on {name}"))?;
    let written = wanted.split(' ').nth(1);
    let only = locked.0.iter().find(|package| package.name == name).map(|p| p.version.as_str());
    Ok(written.or(only).context("Cargo.lock lacks a version")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_follows_dependencies_by_version() {
        let package = |name: &str, version: &str, dependencies: &[&str]| Package {
            name: name.into(),
            version: version.into(),
            checksum: Some(format!("{name}{version}")),
            dependencies: dependencies.iter().map(|&d| d.into()).collect(),
        };
        let locked = Locked(vec![
            package("a", "1.0.0", &["b 2.0.0", "c"]),
            package("b", "1.0.0", &["d"]),
            package("b", "2.0.0", &["a"]),
            package("c", "1.0.0", &[]),
            package("d", "1.0.0", &[]),
        ]);
        let closure = locked.closure(&["a"]);
        let lines: Vec<_> = closure.lines.iter().map(String::as_str).collect();
        assert_eq!(lines, ["a 1.0.0 a1.0.0", "b 2.0.0 b2.0.0", "c 1.0.0 c1.0.0"]);
    }

    #[test]
    fn the_hash_changes_with_each_input() {
        let dir = std::env::temp_dir().join(format!("xtask-sources-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Cargo.lock", "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n");
        write("Cargo.toml", "[profile.p]\nlto = true\n[workspace.dependencies]\nz = \"1\"\n");
        write("a/src/lib.rs", "");
        write("a/target/x.rs", "");
        write("a/notes.txt", "");
        let inputs = Inputs { paths: vec!["a"], packages: vec!["a"], profile: "p" };
        let before = inputs.hashes(&dir).unwrap();
        assert_eq!(before.len(), 3, "{before:?}");
        for (path, text) in [
            ("a/src/lib.rs", "//"),
            ("a/src/new.rs", ""),
            ("Cargo.lock", "[[package]]\nname = \"a\"\nversion = \"1.0.1\"\n"),
            ("Cargo.toml", "[profile.p]\nlto = false\n"),
        ] {
            let last = inputs.hashes(&dir).unwrap();
            write(path, text);
            assert_ne!(inputs.hashes(&dir).unwrap(), last, "{path}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
