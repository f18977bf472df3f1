//! Finds the versions of mapped libraries: the library's own version string, else the version of its package, else that in
//! its file name.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashlink::LruCache;
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::head::{self, OPEN_FLAGS};
use super::mount_namespaces::MountNamespaces;
use super::packages::Packages;
use super::procfs;
use super::protocol::{HeadRequest, LibraryQuery};
use super::statx::{cached, ctime_ns, dev};

/// Maximum number of libraries whose version is known.
const MAX_LIBRARIES: usize = 4096;
/// Maximum number of roots whose packages are known: one for each container.
const MAX_ROOTS: usize = 16;
/// Maximum number of bytes read of a library.
const MAX_READ: usize = 16 << 20;
/// Time limit for reading a library.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// Words before the version in the version strings of libraries.
const PRODUCTS: [&[u8]; 9] = [
    b"OpenSSL ",
    b"LibreSSL ",
    b"GnuTLS ",
    b"wolfSSL ",
    b"Mbed TLS ",
    b"mbed TLS ",
    b"Libgcrypt ",
    b"NSS ",
    b"Botan ",
];
/// Maximum length of a version.
const MAX_VERSION: usize = 64;

/// Device, inode number and change time of a file.
type Identity = (u32, u64, i128);

/// The known versions.
#[derive(Debug)]
pub(super) struct Versions {
    known: LruCache<Identity, Option<Arc<str>>>,
    /// By the device and inode number of the root directory.
    packages: LruCache<(u32, u64), Packages>,
}

impl Default for Versions {
    fn default() -> Versions {
        Versions { known: LruCache::new(MAX_LIBRARIES), packages: LruCache::new(MAX_ROOTS) }
    }
}

impl Versions {
    /// Returns the version of the library. `None`: the library is not at its path any more, or the version is unknown.
    pub(super) fn of(
        &mut self,
        library: &LibraryQuery,
        namespaces: &MountNamespaces,
    ) -> Option<String> {
        let request = HeadRequest {
            pid: library.pid,
            nameless: false,
            mount_ns: library.file.mount_ns,
            root: library.file.root,
            path: library.file.path.clone(),
            dev: library.file.dev,
            inode: library.file.inode,
            ctime_ns: library.file.ctime_ns,
            sb_magic: library.file.sb_magic,
        };
        head::with_view_of_opener(&request, namespaces, |pid| {
            let root = head::root(pid).ok()?;
            let fd = head::open_below(&root, pid, &request.path).ok()?;
            let stat = cached(&fd, "").filter(|stat| stat.stx_ino == request.inode)?;
            let identity = (dev(&stat), stat.stx_ino, ctime_ns(&stat));
            if let Some(known) = self.known.get(&identity) {
                return Some(known.clone());
            }
            let version = own_version(&fd)
                .or_else(|| self.package_version(&root, pid, &request.path))
                .or_else(|| name_version(procfs::file_name(&request.path)))
                .map(Arc::from);
            self.known.insert(identity, version.clone());
            Some(version)
        })
        .flatten()
        .map(|version| version.to_string())
    }

    fn package_version(&mut self, root: &OwnedFd, pid: u32, path: &[u8]) -> Option<String> {
        let stat = cached(root, "")?;
        let identity = (dev(&stat), stat.stx_ino);
        if !self.packages.contains_key(&identity) {
            self.packages.insert(identity, Packages::read(root, pid));
        }
        self.packages.get(&identity)?.version(path)
    }
}

/// Searches the file for the version string of a known product.
fn own_version(fd: &OwnedFd) -> Option<String> {
    let start = Instant::now();
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let file = openat(
        CWD,
        OsStr::from_bytes(path.as_bytes()),
        OPEN_FLAGS | OFlags::NOATIME,
        Mode::empty(),
    )
    .or_else(|_| openat(CWD, OsStr::from_bytes(path.as_bytes()), OPEN_FLAGS, Mode::empty()))
    .ok()?;
    /// Size of a piece, and by how much two pieces overlap.
    const PIECE: usize = 256 << 10;
    const OVERLAP: usize = MAX_VERSION * 2;
    let mut buffer = vec![0; PIECE];
    let (mut kept, mut total) = (0, 0);
    while total < MAX_READ && start.elapsed() < READ_TIMEOUT {
        let read = match rustix::io::read(&file, buffer.get_mut(kept..)?) {
            Ok(0) => break,
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return None,
        };
        total += read;
        let filled = kept + read;
        if let Some(version) = find_version(buffer.get(..filled)?) {
            return Some(version);
        }
        let keep = filled.saturating_sub(OVERLAP);
        buffer.copy_within(keep..filled, 0);
        kept = filled - keep;
    }
    None
}

/// Returns the first version that follows the name of a product.
fn find_version(bytes: &[u8]) -> Option<String> {
    bytes.iter().enumerate().find_map(|(at, first)| {
        let rest = bytes.get(at..)?;
        let starts = |product: &&[u8]| product.first() == Some(first) && rest.starts_with(product);
        let product = PRODUCTS.iter().find(|product| starts(product))?;
        version_at(rest.get(product.len()..)?)
    })
}

/// Returns the version at the start of the text: two or more numbers and dots, then possibly a letter.
fn version_at(text: &[u8]) -> Option<String> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let letters = text.iter().skip(digits).take_while(|byte| byte.is_ascii_lowercase()).count();
    let version = text.get(..digits + if letters == 1 { 1 } else { 0 })?;
    let numbers = text.get(..digits)?;
    let is_version = numbers.contains(&b'.')
        && numbers.split(|&byte| byte == b'.').all(|number| !number.is_empty())
        && letters <= 1
        && version.len() <= MAX_VERSION;
    is_version.then(|| String::from_utf8_lossy(version).into_owned())
}

/// Returns the version in a file name: `1.1` of `libssl.so.1.1`.
fn name_version(name: &[u8]) -> Option<String> {
    const SUFFIX: &[u8] = b".so.";
    let at = name.windows(SUFFIX.len()).rposition(|window| window == SUFFIX)?;
    let version = name.get(at + SUFFIX.len()..)?;
    let is_version = !version.is_empty()
        && version.len() <= MAX_VERSION
        && version.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_+~".contains(byte));
    is_version.then(|| String::from_utf8_lossy(version).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_strings_of_products_are_found() {
        for (text, version) in [
            (&b"x\0OpenSSL 3.0.15 3 Sep 2024\0"[..], Some("3.0.15")),
            (b"OpenSSL default\0OpenSSL 1.1.1w  11 Sep 2023", Some("1.1.1w")),
            (b"OpenSSL 1.1.0 compatible", Some("1.1.0")),
            (b"mbed TLS 2.28.3", Some("2.28.3")),
            (b"GnuTLS error: %s", None),
            (b"OpenSSL 3", None),
            (b"OpenSSL 3.", None),
            (b"OpenSSL 3.0.beta", None),
            (b"", None),
        ] {
            assert_eq!(find_version(text).as_deref(), version, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn file_names_have_versions() {
        for (name, version) in [
            (&b"libssl.so.1.1"[..], Some("1.1")),
            (b"libgnutls.so.30.40.3", Some("30.40.3")),
            (b"libnss3.so", None),
            (b"libx.so.", None),
            (b"libx.so.1/2", None),
        ] {
            assert_eq!(name_version(name).as_deref(), version, "{}", name.escape_ascii());
        }
    }
}
