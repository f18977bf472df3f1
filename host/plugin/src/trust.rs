//! Who could have written what the program is about to obey: a configuration, or a plugin.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crypto_tracer_system::confine;

/// The only place for plugins and configuration of a program that has more rights than who starts it.
pub const SITE: &str = "/etc/crypto-tracer";

/// Write permission for the group and for everybody.
const OTHERS_WRITE: u32 = 0o022;
/// In a directory with this bit everybody may write, and it has to stay so: `/tmp`.
const STICKY: u32 = 0o1000;
/// Symbolic links on one path.
const MOST_LINKS: usize = 40;

/// Why a file is not obeyed, and the command that repairs it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Untrusted(String);

/// Where a plugin was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator's own choice, now.
    CommandLine,
    /// A file that was written some time.
    Configuration,
}

/// What this process could be misused for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// It may do more than any user's program.
    privileged: bool,
    /// It may do more than who starts it (AT_SECURE): file capabilities, set-user-id.
    elevated: bool,
    /// Who may own what it obeys.
    owner: u32,
    /// Directories above this one are not looked at. The root, but for tests.
    above: PathBuf,
}

impl Trust {
    /// As this process is.
    pub fn of_this_process() -> Trust {
        let capable =
            rustix::thread::capabilities(None).is_ok_and(|sets| !sets.permitted.is_empty());
        let elevated = confine::is_elevated();
        let privileged = capable || elevated || rustix::process::geteuid().is_root();
        Trust { privileged, elevated, owner: 0, above: "/".into() }
    }

    /// Whether plugins and configuration come from [`SITE`] alone, never from the command line or the user's files.
    pub fn is_elevated(&self) -> bool {
        self.elevated
    }

    /// Whether a configuration may be obeyed.
    ///
    /// # Errors
    /// Somebody else than root could have written it.
    pub fn check_configuration(&self, path: &Path) -> Result<(), Untrusted> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let plain = absolute.components().all(|part| part != Component::ParentDir);
        if self.elevated && !(plain && absolute.starts_with(SITE)) {
            return Err(Untrusted(format!(
                "{} is not below {SITE}: a program with file capabilities obeys nothing else",
                path.display()
            )));
        }
        if self.privileged { self.walk(&absolute) } else { Ok(()) }
    }

    /// Whether a plugin may be run.
    ///
    /// # Errors
    /// Somebody could have changed it who is not to.
    pub fn check_plugin(&self, path: &Path, origin: Origin) -> Result<(), Untrusted> {
        match origin {
            Origin::Configuration => self.check_configuration(path),
            Origin::CommandLine if self.elevated => Err(Untrusted(format!(
                "a program with file capabilities takes no plugin from the command line: name it in {SITE}/config.toml"
            ))),
            Origin::CommandLine => match std::fs::metadata(path) {
                Ok(found) if found.is_file() && found.mode() & OTHERS_WRITE != 0 => {
                    let path = quoted(path);
                    Err(Untrusted(format!(
                        "others than its owner can write it: repair with `chmod go-w {path}`"
                    )))
                }
                // That it cannot be read is told when it is read.
                _ => Ok(()),
            },
        }
    }

    /// Every directory on the way, every link, and the file itself.
    fn walk(&self, path: &Path) -> Result<(), Untrusted> {
        let mut left: Vec<OsString> = parts(path);
        let mut here = PathBuf::from("/");
        let mut links = 0;
        self.check(&here, path)?;
        while let Some(part) = left.pop() {
            if part == ".." {
                here.pop();
                continue;
            }
            here.push(&part);
            let Some(found) = self.check(&here, path)? else { return Ok(()) };
            if found.is_symlink() {
                links += 1;
                let target = std::fs::read_link(&here).ok().filter(|_| links <= MOST_LINKS);
                let Some(target) = target else { return Ok(()) };
                here.pop();
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                left.extend(parts(&target));
            }
        }
        Ok(())
    }

    /// One file or directory on the way to `file`. None: it is not there, which is told when it is read.
    fn check(&self, path: &Path, file: &Path) -> Result<Option<Metadata>, Untrusted> {
        let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(None) };
        if self.above.starts_with(path) {
            return Ok(Some(found));
        }
        let what = if found.is_dir() { "the directory" } else { "the file" };
        let (path, repair) = (path.display(), quoted(path));
        // Who owns a directory, and that everybody may write to `/tmp`, is no mistake to repair: others rely on it.
        let elsewhere = || format!("put the file where only root can write: {}", installed(file));
        if found.uid() != self.owner {
            let remedy = if found.is_dir() {
                elsewhere()
            } else {
                format!("repair with `chown -h root:root {repair}`")
            };
            let owner = found.uid();
            return Err(Untrusted(format!(
                "{what} {path} belongs to uid {owner}, not to root: {remedy}"
            )));
        }
        // Whoever may write a link's directory was looked at already.
        if !found.is_symlink() && found.mode() & OTHERS_WRITE != 0 {
            let sticky = found.is_dir() && found.mode() & STICKY != 0;
            let remedy =
                if sticky { elsewhere() } else { format!("repair with `chmod go-w {repair}`") };
            return Err(Untrusted(format!("others than root can write {what} {path}: {remedy}")));
        }
        Ok(Some(found))
    }
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

/// The command that puts a copy of a file into the site's own directory.
fn installed(file: &Path) -> String {
    let name = file.file_name().map(Path::new).unwrap_or(file);
    let target = Path::new(SITE).join(name);
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

    fn place() -> (tempfile::TempDir, Trust) {
        let dir = tempfile::tempdir().unwrap();
        let above = dir.path().canonicalize().unwrap();
        fs::create_dir(above.join("etc")).unwrap();
        fs::write(above.join("etc/a.wasm"), "").unwrap();
        for (path, mode) in [("", 0o755), ("etc", 0o755), ("etc/a.wasm", 0o644)] {
            chmod(&above.join(path), mode);
        }
        let owner = rustix::process::geteuid().as_raw();
        (dir, Trust { privileged: true, elevated: false, owner, above })
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn told(result: Result<(), Untrusted>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn what_others_can_write_is_not_obeyed() {
        let (_dir, trust) = place();
        let file = trust.above.join("etc/a.wasm");
        let check = || trust.check_plugin(&file, Origin::Configuration);
        assert_eq!(check(), Ok(()));
        for mode in [0o664, 0o646] {
            chmod(&file, mode);
            let told = told(check());
            assert!(
                told.contains("the file")
                    && told.contains(&format!("`chmod go-w {}`", file.display()))
            );
        }
        chmod(&file, 0o644);
        chmod(&trust.above.join("etc"), 0o775);
        assert!(told(check()).contains("the directory") && told(check()).contains("`chmod go-w "));
        // Where nothing is at stake, neither is trust.
        let plain = Trust { privileged: false, ..trust.clone() };
        assert_eq!(plain.check_plugin(&file, Origin::Configuration), Ok(()));
    }

    #[test]
    fn what_is_somebody_elses_is_not_obeyed() {
        let (_dir, trust) = place();
        let file = trust.above.join("etc/a.wasm");
        let trust = Trust { owner: trust.owner + 1, ..trust };
        let said = told(trust.check_configuration(&file));
        assert!(said.contains("the directory") && !said.contains("chown"), "{said}");
        assert!(said.contains("`install -D -o root"), "{said}");
        let trust = Trust { above: trust.above.join("etc"), ..trust };
        let said = told(trust.check_configuration(&file));
        assert!(said.contains("`chown -h root:root"), "{said}");
    }

    /// A command that would keep everybody from using `/tmp` is no remedy, wherever in the path that directory is.
    #[test]
    fn below_a_sticky_directory_another_place_is_the_remedy() {
        let (_dir, trust) = place();
        let shared = trust.above.join("etc");
        for mode in [0o1777, 0o1775, 0o3777, 0o1757] {
            chmod(&shared, mode);
            for file in ["a.wasm", "own/b.wasm", "own/deep/c.toml", "not-there.toml", "it's.wasm"] {
                let file = shared.join(file);
                let said = told(trust.check_configuration(&file));
                assert!(!said.contains("chmod"), "{said}");
                let name = file.file_name().map(Path::new).unwrap();
                let target = quoted(&Path::new(SITE).join(name));
                let command =
                    format!("`install -D -o root -g root -m 0644 {} {target}`", quoted(&file));
                assert!(said.contains("the directory") && said.contains(&command), "{said}");
            }
        }
        chmod(&shared, 0o1755);
        assert_eq!(trust.check_configuration(&shared.join("a.wasm")), Ok(()));
    }

    #[test]
    fn a_link_leads_to_where_it_leads() {
        let (_dir, trust) = place();
        let other = trust.above.join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("b.wasm"), "").unwrap();
        chmod(&other, 0o777);
        symlink("../other/b.wasm", trust.above.join("etc/link")).unwrap();
        symlink(&other, trust.above.join("etc/dir")).unwrap();
        symlink("loop", trust.above.join("etc/loop")).unwrap();
        for name in ["link", "dir/b.wasm"] {
            let told = told(trust.check_configuration(&trust.above.join("etc").join(name)));
            assert!(told.contains("the directory") && told.contains("other"), "{told}");
        }
        assert_eq!(trust.check_configuration(&trust.above.join("etc/loop")), Ok(()));
        assert_eq!(trust.check_configuration(&trust.above.join("etc/missing")), Ok(()));
    }

    #[test]
    fn on_the_command_line_only_others_matter() {
        let (_dir, trust) = place();
        let trust = Trust { owner: trust.owner + 1, ..trust };
        let file = trust.above.join("etc/a.wasm");
        assert_eq!(trust.check_plugin(&file, Origin::CommandLine), Ok(()));
        chmod(&file, 0o664);
        assert!(told(trust.check_plugin(&file, Origin::CommandLine)).contains("chmod go-w"));
    }

    #[test]
    fn with_file_capabilities_only_the_sites_directory_counts() {
        let (_dir, trust) = place();
        let file = trust.above.join("etc/a.wasm");
        let trust = Trust { elevated: true, ..trust };
        assert!(told(trust.check_plugin(&file, Origin::CommandLine)).contains(SITE));
        assert!(told(trust.check_configuration(&file)).contains(SITE));
        let around = Path::new("/etc/crypto-tracer/../../tmp/a.wasm");
        assert!(told(trust.check_configuration(around)).contains(SITE));
    }

    #[test]
    fn commands_survive_odd_names() {
        assert_eq!(quoted(Path::new("/a/b-c.wasm")), "/a/b-c.wasm");
        assert_eq!(quoted(Path::new("/a b/it's")), r#""/a b/it's""#);
    }
}
