//! Builds an initramfs: a cpio archive in the format "newc".

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// An archive under construction.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    names: std::collections::BTreeSet<String>,
}

impl Archive {
    /// Adds a folder and its parents.
    pub(super) fn folder(&mut self, path: &str) -> Result<()> {
        let mut above = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if !above.is_empty() {
                above.push('/');
            }
            above.push_str(part);
            if !self.names.contains(&above) {
                self.add(&above.clone(), DIRECTORY | 0o755, b"")?;
            }
        }
        Ok(())
    }

    /// Adds a file with this content.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.in_folder(path, REGULAR | mode, content)
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.in_folder(path, LINK | 0o777, target.as_bytes())
    }

    /// Adds a copy of a file of this machine; follows links.
    pub(super) fn copy(&mut self, from: &Path, to: &str) -> Result<()> {
        let read = || format!("cannot read {}", from.display());
        let content = fs::read(from).with_context(read)?;
        let mode = fs::metadata(from).with_context(read)?.permissions().mode() & 0o777;
        self.file(to, mode, &content)
    }

    fn in_folder(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let path = path.trim_start_matches('/');
        if self.names.contains(path) {
            return Ok(());
        }
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder)?;
        }
        self.add(path, mode, content)
    }

    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.names.insert(name.to_owned());
        let inode = u32::try_from(self.names.len())?;
        let size = u32::try_from(content.len())?;
        let name_size = u32::try_from(name.len() + 1)?;
        self.bytes.extend_from_slice(b"070701");
        // Inode, mode, uid, gid, links, mtime, size, device (2), special device (2), size of the name, checksum.
        for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    /// Ends the archive and returns its bytes.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.add("TRAILER!!!", 0, b"")?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn folders_precede_their_content_and_occur_once() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", 0o644, b"text").unwrap();
        archive.link("a/b/d", "c").unwrap();
        archive.file("a/b/c", 0o600, b"not again").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("070701").count(), 5);
        let at = |name: &str| text.find(name).unwrap();
        assert!(at("a\0") < at("a/b\0") && at("a/b\0") < at("a/b/c\0"));
        assert!(text.contains("text") && !text.contains("not again"));
    }
}
