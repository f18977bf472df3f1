//! Symbolic links on a path, without asking a file system that may never answer.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::mounts::Mounts;

/// Links that are followed, as in the kernel.
const MOST_LINKS: usize = 40;
/// Names that are looked up: a link may lead to a path of many more.
const MOST_NAMES: usize = 1024;

/// Where this absolute path leads, as this process sees it. None: through no link, or where that cannot be known without
/// asking a file system that may never answer.
pub fn resolve_links(path: &Path) -> Option<PathBuf> {
    let mounts = Mounts::of(std::process::id());
    let mut left = names(path);
    let mut here = PathBuf::from("/");
    let mut links = 0;
    for _ in 0..MOST_NAMES {
        let Some(name) = left.pop() else { return (links > 0).then_some(here) };
        if name == ".." {
            here.pop();
            continue;
        }
        here.push(&name);
        if mounts.lead_away(here.as_os_str().as_bytes()) {
            return None;
        }
        let is_link = here.symlink_metadata().is_ok_and(|found| found.is_symlink());
        if is_link {
            links += 1;
            let target = here.read_link().ok().filter(|_| links <= MOST_LINKS)?;
            here.pop();
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            left.extend(names(&target));
        }
    }
    None
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_of_every_kind_are_followed_and_nothing_else() {
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
        for (path, leads) in [
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
            assert_eq!(resolve_links(&at(path)), leads.map(at), "{path}");
        }
        assert_eq!(resolve_links(&at("root")), Some("/".into()));
        assert_eq!(resolve_links(Path::new("/")), None);
        // A path that is longer than what is looked up.
        let long = format!("{}{}", at("relative").display(), "/x".repeat(2 * MOST_NAMES));
        assert_eq!(resolve_links(Path::new(&long)), None);
    }
}
