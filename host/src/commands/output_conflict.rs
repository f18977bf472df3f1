//! Refuses conflicting files: an output must not be the recording that is read, or the recording that is written.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::error::{ExitStatus, Failure};

/// Maximum number of symbolic links in a chain, as in the kernel.
const MAX_LINKS: usize = 40;

/// Refuses an output that is the recording.
pub(super) fn check_recording(recording: &Metadata, output: Option<&Path>) -> Result<(), Failure> {
    if !recording.is_file() {
        return Ok(());
    }
    let (output, name) = match output {
        Some(path) => (fs::metadata(path).ok(), "--output"),
        None => (standard_output(), "standard output"),
    };
    if output.is_some_and(|output| identity(&output) == identity(recording)) {
        return Err(usage(format!("{name} is the recording itself: name another file")));
    }
    Ok(())
}

/// Refuses an output that is a document that is read. `--output` may name it: it is replaced after it was read.
pub(super) fn check_input(
    name: &str,
    input: &Metadata,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let is_same = |output: Metadata| identity(&output) == identity(input);
    if output.is_none() && standard_output().is_some_and(is_same) {
        return Err(usage(format!("standard output is {name} itself: use --output")));
    }
    Ok(())
}

/// Refuses `--record` and `--output` with the same file.
pub(super) fn check_record(record: &Path, output: Option<&Path>) -> Result<(), Failure> {
    let is_same = |output| location(output).is_some_and(|it| Some(it) == location(record));
    if output.is_some_and(is_same) {
        return Err(usage(format!(
            "--output and --record are the same file {}: name another one for the recording",
            record.display()
        )));
    }
    Ok(())
}

fn usage(text: String) -> Failure {
    Failure { code: ExitStatus::Usage, error: anyhow!(text) }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn standard_output() -> Option<Metadata> {
    let copy = std::io::stdout().as_fd().try_clone_to_owned().ok()?;
    File::from(copy).metadata().ok()
}

/// Returns the identity of the folder of a file, and the file's name, after following links. The file need not exist.
fn location(path: &Path) -> Option<((u64, u64), OsString)> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let parent = parent(&path);
        match fs::read_link(&path) {
            Ok(target) => path = parent.join(target),
            Err(_) => {
                return Some((identity(&fs::metadata(parent).ok()?), path.file_name()?.to_owned()));
            }
        }
    }
    None
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_of_the_same_file_have_the_same_location() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new");
        fs::create_dir(dir.path().join("sub")).unwrap();
        symlink("../new", dir.path().join("sub/link")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        assert_eq!(location(&new), location(&dir.path().join("sub/../new")));
        assert_eq!(location(&new), location(&dir.path().join("sub/link")));
        assert_ne!(location(&new), location(&dir.path().join("other")));
        assert_eq!(location(&dir.path().join("loop")), None);
        let refused = check_record(&new, Some(&dir.path().join("sub/link"))).unwrap_err();
        assert!(refused.error.to_string().starts_with("--output and --record are the same file"));
        assert!(check_record(&new, Some(&dir.path().join("other"))).is_ok());
        assert!(check_record(&new, None).is_ok());
    }

    #[test]
    fn a_hard_link_to_the_recording_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [recording, link] = ["a.rec", "b.rec"].map(|name| dir.path().join(name));
        fs::write(&recording, "x").unwrap();
        fs::hard_link(&recording, &link).unwrap();
        let metadata = fs::metadata(&recording).unwrap();
        for same in [&recording, &link] {
            let message = check_recording(&metadata, Some(same)).unwrap_err().error.to_string();
            assert!(message.starts_with("--output is the recording itself"), "{message}");
        }
        assert!(check_recording(&metadata, Some(&dir.path().join("other"))).is_ok());
    }
}
