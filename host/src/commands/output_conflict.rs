//! Files that are named twice: what is read must not be what is written, nor two things written into one file.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::error::{ExitStatus, Failure};

/// Links that are followed one after the other, as many as the kernel does.
const MOST_LINKS: usize = 40;

/// Refuses an output that would be written over the recording while it is read.
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

/// Refuses `--record` where nothing new can be made, before anything else is made.
pub(super) fn check_record(record: &Path, output: Option<&Path>) -> Result<(), Failure> {
    if output.is_some_and(|output| place(output).is_some_and(|out| Some(out) == place(record))) {
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

/// Where a file is, or would be made: its folder, and its name there.
fn place(path: &Path) -> Option<((u64, u64), OsString)> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
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
    fn one_place_however_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new");
        fs::create_dir(dir.path().join("sub")).unwrap();
        symlink("../new", dir.path().join("sub/link")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        assert_eq!(place(&new), place(&dir.path().join("sub/../new")));
        assert_eq!(place(&new), place(&dir.path().join("sub/link")));
        assert_ne!(place(&new), place(&dir.path().join("other")));
        assert_eq!(place(&dir.path().join("loop")), None);
        let told = check_record(&new, Some(&dir.path().join("sub/link"))).unwrap_err();
        assert!(told.error.to_string().starts_with("--output and --record are the same file"));
        assert!(check_record(&new, Some(&dir.path().join("other"))).is_ok());
        assert!(check_record(&new, None).is_ok());
    }

    #[test]
    fn a_hard_link_is_the_recording_too() {
        let dir = tempfile::tempdir().unwrap();
        let [recording, link] = ["a.rec", "b.rec"].map(|name| dir.path().join(name));
        fs::write(&recording, "x").unwrap();
        fs::hard_link(&recording, &link).unwrap();
        let metadata = fs::metadata(&recording).unwrap();
        for same in [&recording, &link] {
            let told = check_recording(&metadata, Some(same)).unwrap_err().error.to_string();
            assert!(told.starts_with("--output is the recording itself"), "{told}");
        }
        assert!(check_recording(&metadata, Some(&dir.path().join("other"))).is_ok());
    }
}
