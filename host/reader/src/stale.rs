//! Compares files that processes used with the files that have their paths now.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, Statx, openat, readlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::head::{self, HeadContext, OPEN_FLAGS};
use super::mount_namespaces::MountNamespaces;
use super::protocol::{Currency, Fingerprint, Found, HeadRequest, StaleQuery, UsedFile, Wanted};
use super::statx::{cached, ctime_ns, dev, ns};
use super::{procfs, unobservable};
use crypto_tracer_system::fs_magic::{BCACHEFS, BTRFS, OVERLAYFS};

/// Maximum number of bytes of a file that are compared. Certificates and keys are much smaller.
const MAX_COMPARED: u64 = 1 << 20;
/// Start times of `/proc` are rounded down to this.
const TICK_NS: u64 = 10_000_000;
/// The link that the kubelet swaps.
const KUBELET_LINK: &[u8] = b"..data";

/// Returns a fingerprint of the file's content at the open. `None`: the content changed meanwhile, or cannot be read.
pub(super) fn fingerprint(wanted: &Wanted, context: &HeadContext) -> Option<Fingerprint> {
    if context.is_other_tracers(wanted) {
        return None;
    }
    let file = head::find(wanted, context).ok()?;
    (file.found == Found::Same).then(|| content(&file.fd)).flatten()
}

/// Compares a used file with the one that has its path now.
pub(super) fn compare(query: &StaleQuery, namespaces: &MountNamespaces) -> Currency {
    if !is_alive(query) {
        return Currency::Ended;
    }
    let request = request(query);
    let looked = head::with_view_of_opener(&request, namespaces, |pid| {
        if !head::has_view_of_opener(pid, &request) {
            return None;
        }
        let root = head::root(pid);
        let currency = match root.map(|root| (head::open_below(&root, pid, &request.path), root)) {
            Ok((found @ (Ok(_) | Err(Errno::NOENT | Errno::NOTDIR)), root)) => {
                let compared = found.map_or(Currency::Deleted, |fd| compare_with(&fd, query));
                let is_replaced = matches!(compared, Currency::Replaced { .. });
                let superseded = || superseded(&root, pid, &request.path);
                if is_replaced { compared } else { superseded().unwrap_or(compared) }
            }
            Ok((Err(_), _)) | Err(_) => return None,
        };
        Some(currency)
    });
    match looked {
        // Between the look-up and now, the process may have ended or opened the file again.
        Some(currency) if currency.is_stale() && query.file.library => still_maps(query, currency),
        Some(currency) => currency,
        None if !is_alive(query) => Currency::Ended,
        None => Currency::Unknown,
    }
}

fn request(query: &StaleQuery) -> HeadRequest {
    let UsedFile { mount_ns, root, ref path, dev, inode, ctime_ns, sb_magic, .. } = query.file;
    HeadRequest {
        pid: query.pid,
        nameless: false,
        mount_ns,
        root,
        path: path.clone(),
        dev,
        inode,
        ctime_ns,
        sb_magic,
    }
}

/// Whether the process still runs. Zombies use nothing.
fn is_alive(query: &StaleQuery) -> bool {
    let Ok(stat) = procfs::read(query.pid, "stat") else { return false };
    let start = procfs::parse_stat(&stat).map(|(_, start_ns)| start_ns);
    let is_same = start.is_some_and(|start| start.abs_diff(query.start_ns) < 2 * TICK_NS);
    is_same && unobservable::of(query.pid).is_none()
}

/// Compares with the file that has the path now. It is open with `O_PATH`.
fn compare_with(fd: &OwnedFd, query: &StaleQuery) -> Currency {
    let Some(stat) = cached(fd, "") else { return Currency::Unknown };
    let replaced = Currency::Replaced { since_ns: ctime_ns(&stat) };
    if FileType::from_raw_mode(u32::from(stat.stx_mode)) != FileType::RegularFile {
        return replaced;
    }
    let used = &query.file;
    if used.library {
        return if is_same_inode(&stat, used) { Currency::Current } else { replaced };
    }
    let wanted = Wanted {
        file: request(query),
        uid: query.uid,
        size: used.size,
        maybe_reader: None,
        blocks: false,
    };
    let modified = Currency::Modified { since_ns: ns(&stat.stx_mtime) };
    match head::compare(&stat, &wanted) {
        None => replaced,
        Some(Found::Same) => Currency::Current,
        // The process may have written it itself, through the descriptor that it opened.
        Some(_) if query.writes => Currency::Current,
        Some(_) if stat.stx_size != used.size => modified,
        // `touch` looks like a write of as many bytes: only the content tells.
        Some(_) => match (query.fingerprint, content(fd)) {
            (Some(before), Some(now)) if before == now => Currency::Current,
            (Some(_), Some(_)) => modified,
            _ => Currency::Unknown,
        },
    }
}

fn is_same_inode(stat: &Statx, used: &UsedFile) -> bool {
    let has_device = !matches!(used.sb_magic, BTRFS | BCACHEFS | OVERLAYFS) && used.sb_magic != 0;
    stat.stx_ino == used.inode && (!has_device || dev(stat) == used.dev)
}

/// Looks whether a link beside the path leads to another version of the file by now. The path of an open has no links, so
/// the file that was opened through a link may still be there, unchanged.
fn superseded(root: &OwnedFd, pid: u32, path: &[u8]) -> Option<Currency> {
    let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    kubelet_link(&parts).or_else(|| certbot_link(&parts)).and_then(|(link, version)| {
        let fd = head::open_below(root, pid, &link).ok()?;
        let stat = cached(&fd, "")?;
        let target = readlinkat(&fd, "", Vec::new()).ok()?;
        let now = procfs::file_name(target.as_bytes());
        (now != version).then(|| Currency::Replaced { since_ns: ctime_ns(&stat) })
    })
}

/// `/volume/..2026_01_31_08_00_00.1/tls.crt`: the kubelet replaces all files of a volume by making `/volume/..data` lead to
/// another such directory.
fn kubelet_link<'a>(parts: &[&'a [u8]]) -> Option<(Vec<u8>, &'a [u8])> {
    let at = parts.iter().rposition(|part| part.starts_with(b"..") && part.len() > 2)?;
    let version = *parts.get(at)?;
    let link = [parts.get(..at)?, &[KUBELET_LINK]].concat().join(&b'/');
    (version != KUBELET_LINK).then_some((link, version))
}

/// `/etc/letsencrypt/archive/NAME/privkey1.pem`: certbot makes `/etc/letsencrypt/live/NAME/privkey.pem` lead to the next one.
fn certbot_link<'a>(parts: &[&'a [u8]]) -> Option<(Vec<u8>, &'a [u8])> {
    let [above @ .., archive, name, version] = parts else { return None };
    let stem = version.strip_suffix(b".pem").filter(|_| *archive == b"archive")?;
    let end = stem.iter().rposition(|byte| !byte.is_ascii_digit())? + 1;
    let (stem, number) = stem.split_at(end);
    let file = [stem, b".pem"].concat();
    let link = [above, &[&b"live"[..], name, &file]].concat().join(&b'/');
    (!number.is_empty()).then_some((link, *version))
}

/// Whether the process still maps the library. Some file systems show one file under two inode numbers; the kernel marks
/// the mapping of a replaced file.
fn still_maps(query: &StaleQuery, currency: Currency) -> Currency {
    let Ok(maps) = procfs::read(query.pid, "maps") else { return Currency::Unknown };
    let used = &query.file;
    let is_mapped = procfs::parse_maps(&maps).iter().any(|mapped| {
        let (path, deleted) = procfs::strip_deleted(mapped.path.clone());
        mapped.inode == used.inode || deleted && path == used.path
    });
    if is_mapped { currency } else { Currency::Current }
}

/// Hashes the content of a file that is open with `O_PATH`.
fn content(fd: &OwnedFd) -> Option<Fingerprint> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let opened = openat(CWD, &path, OPEN_FLAGS | OFlags::NOATIME, Mode::empty())
        .or_else(|_| openat(CWD, &path, OPEN_FLAGS, Mode::empty()))
        .ok()?;
    let size = cached(&opened, "")?.stx_size;
    if size > MAX_COMPARED {
        return None;
    }
    let mut hasher = Sha256::new();
    let mut buffer = [0; 16 << 10];
    let mut read = 0;
    loop {
        match rustix::io::read(&opened, &mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                read += n as u64;
                hasher.update(buffer.split_at(n).0);
            }
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
        if read > MAX_COMPARED {
            return None;
        }
    }
    hasher.finalize().first_chunk().copied().map(Fingerprint)
}

#[cfg(test)]
mod tests;
