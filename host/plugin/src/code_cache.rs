//! Compiled plugins on disk.
//!
//! Compiled code is native code, which runs outside of the sandbox. So a file is trusted like the program itself: root owns it
//! and every directory of its path, and no other user can write to them. A process without privileges uses no cache, because
//! nothing protects its files from the user's other programs. The check of the content is against damage, not against
//! attackers: a file that was cut or overwritten must not run.

use std::fs::{self, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::trust::Trust;

/// The directory. The cache is used if it exists.
pub(super) const CODE_DIR: &str = "/var/cache/crypto-tracer";
/// Maximum number of files.
const MAX_FILES: usize = 32;
/// Maximum size of a file, in bytes. A plugin with an interpreter has 100 MB.
const MAX_BYTES: u64 = 256 << 20;
const EXTENSION: &str = "cwasm";
/// Bytes of the hash before the code.
const HASH: usize = 32;

/// A directory of compiled plugins that only root can write to.
#[derive(Debug)]
pub(super) struct CodeCache {
    directory: PathBuf,
    trust: Trust,
}

impl CodeCache {
    /// None: the directory does not exist, another user could write to it, or this process has no privileges.
    pub(super) fn open(directory: &Path, trust: &Trust) -> Option<CodeCache> {
        let usable = directory.is_dir() && trust.check_compiled(directory).is_ok();
        usable.then(|| CodeCache { directory: directory.to_owned(), trust: trust.clone() })
    }

    /// The code of the component with this hash for this engine. None: it is not there, is damaged or is not trusted.
    pub(super) fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let path = self.path(engine, sha256);
        self.trust.check_compiled(&path).ok()?;
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).ok()?;
        let found = file.metadata().ok()?;
        // The file that was opened, in case root has replaced it since.
        if found.len() > MAX_BYTES || !self.trust.is_trusted_file(&found) {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        let (hash, code) = bytes.split_at_checked(HASH)?;
        if Sha256::digest(code).as_slice() != hash {
            return None;
        }
        // SAFETY: the bytes are the output of `Component::serialize`: only root can write to the file and to its directories,
        // and the hash shows that it is complete. The engine refuses code of another version, configuration or processor.
        unsafe { Component::deserialize(engine, code) }.ok()
    }

    /// Stores the code of a component. A process that cannot write, for example that of a service, stores nothing.
    pub(super) fn store(&self, engine: &Engine, sha256: &str, component: &Component) {
        if let Ok(code) = component.serialize() {
            let _ = self.write(&self.path(engine, sha256), &code);
        }
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let part = path.with_extension(format!("part{}", std::process::id()));
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o644).open(&part)?;
            file.write_all(&Sha256::digest(code))?;
            file.write_all(code)?;
            file.sync_all()?;
            fs::rename(&part, path)
        };
        let written = write();
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        self.remove_oldest();
        written
    }

    /// Removes files of earlier plugins and versions. Keeps other files.
    fn remove_oldest(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let of = |entry: fs::DirEntry| {
            let path = entry.path();
            let changed = entry.metadata().and_then(|found| found.modified());
            let ours = path.extension().is_some_and(|extension| extension == EXTENSION);
            ours.then(|| (changed.unwrap_or(SystemTime::UNIX_EPOCH), path))
        };
        let mut files: Vec<(SystemTime, PathBuf)> =
            entries.filter_map(Result::ok).filter_map(of).collect();
        files.sort();
        let surplus = files.len().saturating_sub(MAX_FILES);
        for (_, path) in files.into_iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
    }

    /// The file's name has everything that the code depends on: the component, the engine's version and configuration, and
    /// the features of the processor.
    fn path(&self, engine: &Engine, sha256: &str) -> PathBuf {
        let mut digest = DigestHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut digest);
        let mut name = sha256.to_owned();
        name.push('-');
        for byte in digest.0.finalize().iter().take(16) {
            name.push_str(&format!("{byte:02x}"));
        }
        self.directory.join(name).with_extension(EXTENSION)
    }
}

/// Hashes with SHA-256: the standard hasher may differ between versions.
struct DigestHasher(Sha256);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::engine::{DEFAULT_STACK, engine};

    struct Site {
        dir: tempfile::TempDir,
        trust: Trust,
        engine: Engine,
        component: Component,
    }

    const SHA: &str = "00ff";

    fn site() -> Site {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let base = dir.path().canonicalize().unwrap();
        let engine = engine(DEFAULT_STACK).unwrap();
        let component = wat::parse_str("(component (core module (func)))").unwrap();
        let component = Component::new(&engine, component).unwrap();
        fs::create_dir(base.join("cache")).unwrap();
        fs::set_permissions(base.join("cache"), Permissions::from_mode(0o755)).unwrap();
        Site { trust: Trust::of_tests(base), engine, component, dir }
    }

    impl Site {
        fn directory(&self) -> PathBuf {
            self.dir.path().canonicalize().unwrap().join("cache")
        }

        fn cache(&self) -> CodeCache {
            CodeCache::open(&self.directory(), &self.trust).unwrap()
        }

        fn stored(&self) -> PathBuf {
            let cache = self.cache();
            cache.store(&self.engine, SHA, &self.component);
            assert!(cache.load(&self.engine, SHA).is_some());
            cache.path(&self.engine, SHA)
        }
    }

    #[test]
    fn stored_code_loads_into_the_same_engine_only() {
        let site = site();
        site.stored();
        assert!(site.cache().load(&site.engine, "00fe").is_none());
        let other = Engine::default();
        assert_ne!(site.cache().path(&other, SHA), site.cache().path(&site.engine, SHA));
        assert!(site.cache().load(&other, SHA).is_none());
    }

    /// Whatever is in the file, it never runs unless it is complete.
    #[test]
    fn damaged_code_is_refused() {
        let site = site();
        let path = site.stored();
        let whole = fs::read(&path).unwrap();
        for cut in [0, 1, HASH, HASH + 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(site.cache().load(&site.engine, SHA).is_none(), "{cut}");
        }
        for flipped in [0, HASH, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[flipped] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(site.cache().load(&site.engine, SHA).is_none(), "{flipped}");
        }
        // It is compiled again and replaced.
        site.stored();
        assert_eq!(fs::read(&path).unwrap().len(), whole.len());
    }

    #[test]
    fn code_that_another_user_could_write_is_refused() {
        let site = site();
        let (path, directory) = (site.stored(), site.directory());
        for mode in [0o664, 0o646, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(site.cache().load(&site.engine, SHA).is_none(), "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(site.cache().load(&site.engine, SHA).is_some());
        for mode in [0o775, 0o757, 0o1777] {
            fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
            assert!(CodeCache::open(&directory, &site.trust).is_none(), "{mode:o}");
        }
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let foreign = site.trust.clone().with_other_owner();
        assert!(CodeCache::open(&directory, &foreign).is_none());
        // A link to code elsewhere.
        let elsewhere = site.dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(site.cache().load(&site.engine, SHA).is_none());
    }

    #[test]
    fn without_privileges_or_a_directory_there_is_no_cache() {
        let site = site();
        site.stored();
        let plain = site.trust.clone().without_privileges();
        assert!(CodeCache::open(&site.directory(), &plain).is_none());
        assert!(CodeCache::open(&site.directory().join("none"), &site.trust).is_none());
    }

    #[test]
    fn the_number_of_files_is_bounded() {
        let site = site();
        fs::write(site.directory().join("notes.txt"), "of the operator").unwrap();
        let last = (0..MAX_FILES + 3).map(|number| {
            let sha = format!("{number:04}");
            site.cache().store(&site.engine, &sha, &site.component);
            sha
        });
        let last = last.reduce(|_, next| next).unwrap();
        assert!(site.cache().load(&site.engine, &last).is_some());
        assert_eq!(fs::read_dir(site.directory()).unwrap().count(), MAX_FILES + 1);
    }
}
