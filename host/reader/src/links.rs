//! Resolves symbolic links on a path without access to remote file systems, which may block indefinitely.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::mounts::Mounts;

/// Maximum number of links followed, as in the kernel.
const MAX_LINKS: usize = 40;
/// Maximum number of path components looked up. A link target may add many.
const MAX_COMPONENTS: usize = 1024;

/// Resolves the links of an absolute path in this process's mount namespace. `None`: the path has no links, has too
/// many links or components, or leads through a remote file system.
pub fn resolve_links(path: &Path) -> Option<PathBuf> {
    let mounts = Mounts::of(std::process::id());
    let mut rest = reversed_components(path);
    let mut resolved = PathBuf::from("/");
    let mut links = 0;
    for _ in 0..MAX_COMPONENTS {
        let Some(name) = rest.pop() else { return (links > 0).then_some(resolved) };
        if name == ".." {
            resolved.pop();
            continue;
        }
        resolved.push(&name);
        if mounts.may_block(resolved.as_os_str().as_bytes()) {
            return None;
        }
        let is_link = resolved.symlink_metadata().is_ok_and(|found| found.is_symlink());
        if is_link {
            links += 1;
            let target = resolved.read_link().ok().filter(|_| links <= MAX_LINKS)?;
            resolved.pop();
            if target.is_absolute() {
                resolved = PathBuf::from("/");
            }
            rest.extend(reversed_components(&target));
        }
    }
    None
}

fn reversed_components(path: &Path) -> Vec<OsString> {
    let components = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    components.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn resolves_paths_with_links_and_only_those() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        fs::create_dir_all(at("real/deep")).unwrap();
        fs::write(at("real/a.pem"), "").unwrap();
        symlink(at("real"), at("absolute")).unwrap();
        symlink("real", at("relative")).unwrap();
        symlink("../real/deep", at("real/up")).unwrap();
        symlink("absolute", at("twice")).unwrap();
        symlink("real/a.pem", at("file.pem")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("/", at("root")).unwrap();
        for (path, target) in [
            ("absolute", Some("real")),
            ("relative", Some("real")),
            ("relative/a.pem", Some("real/a.pem")),
            ("relative/deep/../a.pem", Some("real/a.pem")),
            ("real/up", Some("real/deep")),
            ("twice/deep", Some("real/deep")),
            ("file.pem", Some("real/a.pem")),
            ("dangling/x", Some("nowhere/x")),
            ("relative/missing/x.pem", Some("real/missing/x.pem")),
            ("loop", None),
            ("real", None),
            ("real/a.pem", None),
            ("missing/x", None),
        ] {
            assert_eq!(resolve_links(&at(path)), target.map(at), "{path}");
        }
        assert_eq!(resolve_links(&at("root")), Some("/".into()));
        assert_eq!(resolve_links(Path::new("/")), None);
        let long = format!("{}{}", at("relative").display(), "/x".repeat(2 * MAX_COMPONENTS));
        assert_eq!(resolve_links(Path::new(&long)), None);
    }
}
