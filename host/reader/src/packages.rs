//! The packages of a system, from the text databases of dpkg and apk: which package owns a library, and its version.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::head::{self, OPEN_FLAGS};

/// Maximum size in bytes of a database, and of all lists of files together.
const MAX_BYTES: usize = 64 << 20;
/// Maximum number of lists of files.
const MAX_LISTS: usize = 16_384;
/// Maximum number of libraries.
const MAX_LIBRARIES: usize = 65_536;
/// How long the databases may delay other requests.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The versions of the packages that own libraries, by the library's path.
#[derive(Debug, Default)]
pub(super) struct Packages(HashMap<Box<[u8]>, Arc<str>>);

impl Packages {
    /// Reads the databases below the root of a process.
    pub(super) fn read(root: &OwnedFd, pid: u32) -> Packages {
        Packages::read_until(root, pid, Instant::now() + TIMEOUT)
    }

    /// Like [`Packages::read`], with another time limit.
    fn read_until(root: &OwnedFd, pid: u32, deadline: Instant) -> Packages {
        let file = |path: &str| read_file(&head::open_below(root, pid, path.as_bytes()).ok()?);
        let mut packages = Packages::default();
        if let Some(status) = file("/var/lib/dpkg/status") {
            packages.add_dpkg(&status, root, pid, deadline);
        } else if let Some(installed) = file("/lib/apk/db/installed") {
            packages.add_apk(&installed);
        }
        packages
    }

    /// Returns the version of the package that owns this path.
    pub(super) fn version(&self, path: &[u8]) -> Option<String> {
        self.0.get(without_usr(path)).map(|version| version.to_string())
    }

    fn add_dpkg(
        &mut self,
        status: &[u8],
        root: &OwnedFd,
        pid: u32,
        deadline: Instant,
    ) -> Option<()> {
        let versions = dpkg_versions(status);
        let directory = head::open_below(root, pid, b"/var/lib/dpkg/info").ok()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(&directory, ".", flags, Mode::empty()).ok()?;
        let entries = rustix::fs::Dir::read_from(&directory).ok()?;
        let mut bytes = 0;
        for entry in entries.filter_map(Result::ok).take(MAX_LISTS) {
            let name = entry.file_name().to_bytes();
            let Some(package) = name.strip_suffix(b".list") else { continue };
            let Some(version) = versions.get(package) else { continue };
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let list = openat(&directory, entry.file_name(), flags, Mode::empty()).ok();
            let Some(list) = list.as_ref().and_then(read_file) else { continue };
            bytes += list.len();
            if bytes > MAX_BYTES || Instant::now() > deadline {
                return None;
            }
            list.split(|&byte| byte == b'\n').for_each(|path| self.add(path, version));
        }
        Some(())
    }

    /// Records of lines `X:value`: P is a package, V its version, F a directory, R a file in it.
    fn add_apk(&mut self, installed: &[u8]) {
        let (mut version, mut directory): (Arc<str>, &[u8]) = ("".into(), b"");
        for line in installed.split(|&byte| byte == b'\n') {
            match line.split_at_checked(2) {
                Some((b"V:", value)) => version = String::from_utf8_lossy(value).into(),
                Some((b"F:", value)) => directory = value,
                Some((b"R:", value)) => {
                    self.add(&[b"/", directory, b"/", value].concat(), &version);
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, path: &[u8], version: &Arc<str>) {
        let is_library = path.windows(3).any(|window| window == b".so");
        if is_library && self.0.len() < MAX_LIBRARIES && !version.is_empty() {
            self.0.insert(without_usr(path).into(), version.clone());
        }
    }
}

/// `/lib` may be a link to `/usr/lib`, and databases use either path.
fn without_usr(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/usr").filter(|rest| rest.starts_with(b"/lib")).unwrap_or(path)
}

/// Returns the versions of installed packages, by the names of their lists: the package, possibly `:` and the
/// architecture.
fn dpkg_versions(status: &[u8]) -> HashMap<Vec<u8>, Arc<str>> {
    let mut versions = HashMap::new();
    let (mut package, mut architecture): (&[u8], &[u8]) = (b"", b"");
    for line in status.split(|&byte| byte == b'\n') {
        let field = |name: &[u8]| line.strip_prefix(name).map(<[u8]>::trim_ascii);
        if let Some(value) = field(b"Package:") {
            (package, architecture) = (value, b"");
        } else if let Some(value) = field(b"Architecture:") {
            architecture = value;
        } else if let Some(value) = field(b"Version:") {
            let version: Arc<str> = String::from_utf8_lossy(value).into();
            versions.insert([package, b":", architecture].concat(), version.clone());
            versions.insert(package.to_vec(), version);
        }
    }
    versions
}

/// Reads a regular file that is open with `O_PATH`.
fn read_file(fd: &OwnedFd) -> Option<Vec<u8>> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let opened = openat(CWD, &path, OPEN_FLAGS, Mode::empty()).ok()?;
    let mut file = std::io::Read::take(std::fs::File::from(opened), MAX_BYTES as u64);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dpkg_packages_have_versions() {
        let status = b"Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\n\
            Multi-Arch: same\nVersion: 3.0.15-1~deb12u1\n\nPackage: x\nVersion: 1:2\n\nrubbish";
        let versions = dpkg_versions(status);
        let version = |name: &[u8]| versions.get(name).map(|version| &**version);
        assert_eq!(version(b"libssl3:amd64"), Some("3.0.15-1~deb12u1"));
        assert_eq!(version(b"x"), Some("1:2"));
        assert_eq!(version(b"libssl3:i386"), None);
    }

    #[test]
    fn apk_packages_have_versions() {
        let installed =
            b"P:libssl3\nV:3.3.2-r4\nF:usr/lib\nR:libssl.so.3\nZ:Q1\n\nP:b\nV:1\nF:bin\nR:b\n\nR";
        let mut packages = Packages::default();
        packages.add_apk(installed);
        assert_eq!(packages.version(b"/usr/lib/libssl.so.3").as_deref(), Some("3.3.2-r4"));
        assert_eq!(packages.version(b"/lib/libssl.so.3").as_deref(), Some("3.3.2-r4"));
        assert_eq!(packages.version(b"/bin/b"), None);
    }

    #[test]
    fn packages_of_this_system_are_found() {
        let own = std::process::id();
        let libc = procfs_libc(own);
        if !std::path::Path::new("/var/lib/dpkg/status").exists() {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let packages = Packages::read_until(&head::root(own).unwrap(), own, deadline);
        let version = packages.version(&libc);
        assert!(version.is_some_and(|version| version.contains('.')), "{}", libc.escape_ascii());
    }

    fn procfs_libc(pid: u32) -> Vec<u8> {
        let maps = super::super::procfs::read(pid, "maps").unwrap();
        let files = super::super::procfs::parse_maps(&maps);
        let libc = files.into_iter().find(|file| file.path.windows(9).any(|it| it == b"libc.so.6"));
        libc.unwrap().path
    }
}
