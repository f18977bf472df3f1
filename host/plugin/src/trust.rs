//! Ownership and mode checks for configuration and plugin files.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crypto_tracer_system::confine;

/// The only directory for plugins and configuration of a program that has more privileges than its invoker.
pub const SITE_DIR: &str = "/etc/crypto-tracer";

/// Write permission for the group and for others.
const OTHERS_WRITE: u32 = 0o022;
/// The sticky bit, as in `/tmp`. Other users rely on being able to write to such a directory.
const STICKY: u32 = 0o1000;
/// Maximum number of symbolic links in one path.
const MAX_LINKS: usize = 40;

/// Reason why a file is not trusted, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Untrusted(String);

/// Origin of a plugin's specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line, by the operator.
    CommandLine,
    /// In a configuration file.
    Configuration,
}

/// Trust in files, which depends on the privileges of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// This process has capabilities, or runs as root.
    privileged: bool,
    /// This process has more privileges than its invoker (AT_SECURE): file capabilities or set-user-ID.
    elevated: bool,
    /// Required owner of trusted files.
    owner: u32,
    /// This directory and its parents are not checked. `/`, except in tests.
    base: PathBuf,
}

impl Trust {
    /// Trust for the privileges of this process.
    pub fn of_this_process() -> Trust {
        let capable =
            rustix::thread::capabilities(None).is_ok_and(|sets| !sets.permitted.is_empty());
        let elevated = confine::is_elevated();
        let privileged = capable || elevated || rustix::process::geteuid().is_root();
        Trust { privileged, elevated, owner: 0, base: "/".into() }
    }

    /// Whether plugins and configuration may come only from [`SITE_DIR`], not from the command line or the user's files.
    pub fn is_elevated(&self) -> bool {
        self.elevated
    }

    /// Checks a configuration file.
    ///
    /// # Errors
    /// A user other than root could have written it.
    pub fn check_configuration(&self, path: &Path) -> Result<(), Untrusted> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let plain = absolute.components().all(|part| part != Component::ParentDir);
        if self.elevated && !(plain && absolute.starts_with(SITE_DIR)) {
            return Err(Untrusted(format!(
                "{} is not below {SITE_DIR}: a program with elevated privileges accepts no other files",
                path.display()
            )));
        }
        if self.privileged { self.walk(&absolute) } else { Ok(()) }
    }

    /// Checks a plugin file.
    ///
    /// # Errors
    /// An untrusted user could have written it.
    pub(super) fn check_plugin(&self, path: &Path, origin: Origin) -> Result<(), Untrusted> {
        match origin {
            Origin::Configuration => self.check_configuration(path),
            Origin::CommandLine if self.elevated => Err(Untrusted(format!(
                "a program with elevated privileges accepts no plugins from the command line: list the plugin in {SITE_DIR}/config.toml"
            ))),
            Origin::CommandLine => match std::fs::metadata(path) {
                Ok(found) if found.is_file() && found.mode() & OTHERS_WRITE != 0 => {
                    let path = quoted(path);
                    Err(Untrusted(format!(
                        "users other than its owner can write to it; to fix it, run `chmod go-w {path}`"
                    )))
                }
                // Missing files are reported on open.
                _ => Ok(()),
            },
        }
    }

    /// Checks a file or directory of compiled code, which runs outside of the sandbox.
    ///
    /// # Errors
    /// A user other than root could have written it, or this process has no privileges: then nothing protects its files from
    /// the user's other programs.
    pub(super) fn check_compiled(&self, path: &Path) -> Result<(), Untrusted> {
        if !self.privileged {
            return Err(Untrusted(
                "a program without privileges loads no compiled code".to_owned(),
            ));
        }
        self.walk(path)
    }

    /// Whether an opened file is a regular one that only root can write to.
    pub(super) fn is_trusted_file(&self, found: &Metadata) -> bool {
        found.is_file() && found.uid() == self.owner && found.mode() & OTHERS_WRITE == 0
    }

    /// Checks each directory of the path, each symbolic link, and the file itself.
    fn walk(&self, path: &Path) -> Result<(), Untrusted> {
        let mut rest: Vec<OsString> = parts(path);
        let mut here = PathBuf::from("/");
        let mut links = 0;
        self.check(&here, path)?;
        while let Some(part) = rest.pop() {
            if part == ".." {
                here.pop();
                continue;
            }
            here.push(&part);
            let Some(found) = self.check(&here, path)? else { return Ok(()) };
            if found.is_symlink() {
                links += 1;
                let target = std::fs::read_link(&here).ok().filter(|_| links <= MAX_LINKS);
                let Some(target) = target else { return Ok(()) };
                here.pop();
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                rest.extend(parts(&target));
            }
        }
        Ok(())
    }

    /// Checks one component of the path of `file`. None: it does not exist, which is reported on open.
    fn check(&self, path: &Path, file: &Path) -> Result<Option<Metadata>, Untrusted> {
        let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(None) };
        if self.base.starts_with(path) {
            return Ok(Some(found));
        }
        let what = if found.is_dir() { "the directory" } else { "the file" };
        let (path, fix) = (path.display(), quoted(path));
        // Do not suggest changing a directory's owner or the mode of `/tmp`; suggest moving the file.
        let move_file =
            || format!("put the file where only root can write: run {}", install_command(file));
        if found.uid() != self.owner {
            let remedy = if found.is_dir() {
                move_file()
            } else {
                format!("to fix it, run `chown -h root:root {fix}`")
            };
            let owner = found.uid();
            return Err(Untrusted(format!(
                "{what} {path} belongs to uid {owner}, not to root; {remedy}"
            )));
        }
        // The mode of a symbolic link is ignored; its directory has been checked.
        if !found.is_symlink() && found.mode() & OTHERS_WRITE != 0 {
            let sticky = found.is_dir() && found.mode() & STICKY != 0;
            let remedy =
                if sticky { move_file() } else { format!("to fix it, run `chmod go-w {fix}`") };
            return Err(Untrusted(format!(
                "users other than root can write to {what} {path}; {remedy}"
            )));
        }
        Ok(Some(found))
    }
}

#[cfg(test)]
impl Trust {
    /// Trust of a privileged process in files of this user below `base`.
    pub(super) fn of_tests(base: PathBuf) -> Trust {
        let owner = rustix::process::geteuid().as_raw();
        Trust { privileged: true, elevated: false, owner, base }
    }

    pub(super) fn with_other_owner(self) -> Trust {
        Trust { owner: self.owner + 1, ..self }
    }

    pub(super) fn without_privileges(self) -> Trust {
        Trust { privileged: false, ..self }
    }
}

/// The components of a path in reverse order.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

/// The command that installs a copy of a file in [`SITE_DIR`].
fn install_command(file: &Path) -> String {
    let name = file.file_name().map(Path::new).unwrap_or(file);
    let target = Path::new(SITE_DIR).join(name);
    format!("`install -D -o root -g root -m 0644 {} {}`", quoted(file), quoted(&target))
}

/// The path as one word of a shell command.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    // Only a path with a NUL byte has no quoted form. No such file exists.
    let quoted = shlex::try_quote(&text).map(Cow::into_owned);
    quoted.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn test_directory() -> (tempfile::TempDir, Trust) {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir(base.join("etc")).unwrap();
        fs::write(base.join("etc/a.wasm"), "").unwrap();
        for (path, mode) in [("", 0o755), ("etc", 0o755), ("etc/a.wasm", 0o644)] {
            chmod(&base.join(path), mode);
        }
        let owner = rustix::process::geteuid().as_raw();
        (dir, Trust { privileged: true, elevated: false, owner, base })
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn message(result: Result<(), Untrusted>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_others_can_write_is_not_trusted() {
        let (_dir, trust) = test_directory();
        let file = trust.base.join("etc/a.wasm");
        let check = || trust.check_plugin(&file, Origin::Configuration);
        assert_eq!(check(), Ok(()));
        for mode in [0o664, 0o646] {
            chmod(&file, mode);
            let message = message(check());
            assert!(
                message.contains("the file")
                    && message.contains(&format!("`chmod go-w {}`", file.display()))
            );
        }
        chmod(&file, 0o644);
        chmod(&trust.base.join("etc"), 0o775);
        assert!(
            message(check()).contains("the directory") && message(check()).contains("`chmod go-w ")
        );
        // An unprivileged process checks nothing.
        let plain = Trust { privileged: false, ..trust.clone() };
        assert_eq!(plain.check_plugin(&file, Origin::Configuration), Ok(()));
    }

    #[test]
    fn a_file_of_another_owner_is_not_trusted() {
        let (_dir, trust) = test_directory();
        let file = trust.base.join("etc/a.wasm");
        let trust = Trust { owner: trust.owner + 1, ..trust };
        let text = message(trust.check_configuration(&file));
        assert!(text.contains("the directory") && !text.contains("chown"), "{text}");
        assert!(text.contains("`install -D -o root"), "{text}");
        let trust = Trust { base: trust.base.join("etc"), ..trust };
        let text = message(trust.check_configuration(&file));
        assert!(text.contains("`chown -h root:root"), "{text}");
    }

    /// The remedy never removes write permission from a directory such as `/tmp`, at any position in the path.
    #[test]
    fn the_remedy_below_a_sticky_directory_is_another_location() {
        let (_dir, trust) = test_directory();
        let shared = trust.base.join("etc");
        for mode in [0o1777, 0o1775, 0o3777, 0o1757] {
            chmod(&shared, mode);
            for file in ["a.wasm", "own/b.wasm", "own/deep/c.toml", "not-there.toml", "it's.wasm"] {
                let file = shared.join(file);
                let text = message(trust.check_configuration(&file));
                assert!(!text.contains("chmod"), "{text}");
                let name = file.file_name().map(Path::new).unwrap();
                let target = quoted(&Path::new(SITE_DIR).join(name));
                let command =
                    format!("`install -D -o root -g root -m 0644 {} {target}`", quoted(&file));
                assert!(text.contains("the directory") && text.contains(&command), "{text}");
            }
        }
        chmod(&shared, 0o1755);
        assert_eq!(trust.check_configuration(&shared.join("a.wasm")), Ok(()));
    }

    #[test]
    fn targets_of_symbolic_links_are_checked() {
        let (_dir, trust) = test_directory();
        let other = trust.base.join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("b.wasm"), "").unwrap();
        chmod(&other, 0o777);
        symlink("../other/b.wasm", trust.base.join("etc/link")).unwrap();
        symlink(&other, trust.base.join("etc/dir")).unwrap();
        symlink("loop", trust.base.join("etc/loop")).unwrap();
        for name in ["link", "dir/b.wasm"] {
            let message = message(trust.check_configuration(&trust.base.join("etc").join(name)));
            assert!(message.contains("the directory") && message.contains("other"), "{message}");
        }
        assert_eq!(trust.check_configuration(&trust.base.join("etc/loop")), Ok(()));
        assert_eq!(trust.check_configuration(&trust.base.join("etc/missing")), Ok(()));
    }

    #[test]
    fn a_plugin_of_the_command_line_may_have_any_owner() {
        let (_dir, trust) = test_directory();
        let trust = Trust { owner: trust.owner + 1, ..trust };
        let file = trust.base.join("etc/a.wasm");
        assert_eq!(trust.check_plugin(&file, Origin::CommandLine), Ok(()));
        chmod(&file, 0o664);
        assert!(message(trust.check_plugin(&file, Origin::CommandLine)).contains("chmod go-w"));
    }

    #[test]
    fn with_file_capabilities_only_the_site_directory_is_trusted() {
        let (_dir, trust) = test_directory();
        let file = trust.base.join("etc/a.wasm");
        let trust = Trust { elevated: true, ..trust };
        assert!(message(trust.check_plugin(&file, Origin::CommandLine)).contains(SITE_DIR));
        assert!(message(trust.check_configuration(&file)).contains(SITE_DIR));
        let around = Path::new("/etc/crypto-tracer/../../tmp/a.wasm");
        assert!(message(trust.check_configuration(around)).contains(SITE_DIR));
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.wasm")), "/a/b-c.wasm");
        assert_eq!(quoted(Path::new("/a b/it's")), r#""/a b/it's""#);
    }
}
