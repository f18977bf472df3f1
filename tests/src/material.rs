//! Files to open: a certificate and a key that `openssl` creates, and temporary folders.

use super::gate::is_root;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub struct Material {
    /// `CERTIFICATE`
    pub certificate: Vec<u8>,
    /// `PRIVATE KEY`
    pub key: Vec<u8>,
}

impl Material {
    /// Returns the same certificate and key for all tests of a process; the first call creates them.
    ///
    /// # Panics
    ///
    /// If `openssl` cannot create them.
    pub fn get() -> &'static Material {
        static MATERIAL: OnceLock<Material> = OnceLock::new();
        MATERIAL.get_or_init(|| {
            let dir = temp_dir();
            let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
            let status = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
                .args(["-nodes", "-days", "1", "-subj", "/CN=crypto-tracer-test"])
                .arg("-out")
                .arg(&certificate)
                .arg("-keyout")
                .arg(&key)
                .stderr(Stdio::null())
                .status()
                .expect("openssl can be run");
            assert!(status.success(), "openssl failed to create a certificate");
            let read = |path: &Path| std::fs::read(path).expect("openssl wrote it");
            Material { certificate: read(&certificate), key: read(&key) }
        })
    }
}

/// Creates a folder that is removed when the value is dropped.
///
/// # Panics
///
/// If the folder cannot be created.
pub fn temp_dir() -> TempDir {
    tempfile::Builder::new().prefix("crypto-tracer-test-").tempdir().expect("a temporary folder")
}

/// Like [`temp_dir`], but in a location where a privileged tracer accepts a configuration: only root can write the
/// folder and those above it. If the test does not run as root, it is any temporary folder.
///
/// # Panics
///
/// If the folder cannot be created.
pub fn trusted_dir() -> TempDir {
    if !is_root() {
        return temp_dir();
    }
    let made = tempfile::Builder::new().prefix("crypto-tracer-test-").tempdir_in("/var/lib");
    made.expect("a folder in /var/lib")
}

/// A folder below `/home`, like a home directory. It is removed when the value is dropped.
#[derive(Debug)]
pub struct HomeDir(TempDir);

impl HomeDir {
    /// Creates the folder.
    ///
    /// # Panics
    ///
    /// If the folder cannot be created.
    pub fn new() -> HomeDir {
        let dir = tempfile::Builder::new().prefix("crypto-tracer-test-").tempdir_in("/home");
        HomeDir(dir.expect("a folder below /home"))
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file in the folder and returns its path.
    ///
    /// # Panics
    ///
    /// If the file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).expect("a file in a new folder");
        path
    }
}

impl Default for HomeDir {
    fn default() -> Self {
        HomeDir::new()
    }
}
