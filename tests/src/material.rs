//! Files to open: a certificate and a key that `openssl` made, folders that go away.

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
    /// The same for all tests of a process; made at the first call.
    ///
    /// # Panics
    ///
    /// When `openssl` cannot make it.
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
            assert!(status.success(), "openssl makes no certificate");
            let read = |path: &Path| std::fs::read(path).expect("openssl wrote it");
            Material { certificate: read(&certificate), key: read(&key) }
        })
    }
}

/// A folder that goes away with the value.
///
/// # Panics
///
/// When it cannot be made.
pub fn temp_dir() -> TempDir {
    tempfile::Builder::new().prefix("crypto-tracer-test-").tempdir().expect("a temporary folder")
}

/// As [`temp_dir`], where a privileged tracer obeys a configuration: nobody but root can write there, or above. For
/// anybody else than root it is any folder.
///
/// # Panics
///
/// When it cannot be made.
pub fn trusted_dir() -> TempDir {
    if !is_root() {
        return temp_dir();
    }
    let made = tempfile::Builder::new().prefix("crypto-tracer-test-").tempdir_in("/var/lib");
    made.expect("a folder in /var/lib")
}

/// A folder below `/home`, as a user has one; it goes away with the value.
#[derive(Debug)]
pub struct HomeDir(TempDir);

impl HomeDir {
    /// Makes it.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn new() -> HomeDir {
        let dir = tempfile::Builder::new().prefix("crypto-tracer-test-").tempdir_in("/home");
        HomeDir(dir.expect("a folder below /home"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file in it.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
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
