use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use super::*;
use crate::proc_probe::ProbePool;
use crate::protocol::{Currency, UsedFile};
use crypto_tracer_system::fs_magic;

fn context() -> HeadContext {
    HeadContext::new(ProbePool::default())
}

/// What a process would have noted that opened the file now.
fn opened(pid: u32, path: &Path) -> StaleQuery {
    let path = fs::canonicalize(path).unwrap();
    let stat = cached(CWD, &path).unwrap();
    let kind = crate::mounts::Mounts::of(std::process::id());
    let kind = kind.kind(stat.stx_mnt_id).map(|(kind, _)| kind.to_owned()).unwrap();
    let (_, start_ns) = procfs::parse_stat(&procfs::read(pid, "stat").unwrap()).unwrap();
    let file = UsedFile {
        path: path.as_os_str().as_bytes().to_vec(),
        dev: dev(&stat),
        inode: stat.stx_ino,
        size: stat.stx_size,
        ctime_ns: ctime_ns(&stat),
        sb_magic: fs_magic::without_device_named(&kind).unwrap_or(0),
        ..UsedFile::default()
    };
    let mut query = StaleQuery { pid, start_ns, uid: 0, file, writes: false, fingerprint: None };
    let wanted = Wanted {
        file: request(&query),
        uid: 0,
        size: query.file.size,
        maybe_reader: None,
        blocks: false,
    };
    query.fingerprint = fingerprint(&wanted, &context());
    assert_eq!(query.fingerprint.is_some(), query.file.size <= MAX_COMPARED);
    query
}

/// The same for this process.
fn opened_here(path: &Path) -> StaleQuery {
    opened(std::process::id(), path)
}

fn now(query: &StaleQuery) -> Currency {
    compare(query, context().namespaces())
}

/// Sets the modification time, as `touch` does: to now, which is later than the open, also where the clock is coarse.
fn touch(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() + std::time::Duration::from_secs(2)).unwrap();
}

/// Writes other content of the same length, at a later time.
fn rewrite(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    touch(path);
}

#[test]
fn what_leaves_the_content_alone_makes_nothing_stale() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pem");
    fs::write(&path, "old").unwrap();
    let query = opened_here(&path);
    assert_eq!(now(&query), Currency::Current);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&path, dir.path().join("b.pem")).unwrap();
    assert_eq!(now(&query), Currency::Current);
    touch(&path);
    assert_eq!(now(&query), Currency::Current);
    fs::rename(&path, dir.path().join("c.pem")).unwrap();
    fs::rename(dir.path().join("c.pem"), &path).unwrap();
    assert_eq!(now(&query), Currency::Current);
}

#[test]
fn a_write_a_rename_and_a_removal_make_it_stale() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pem");
    fs::write(&path, "old").unwrap();
    let query = opened_here(&path);
    rewrite(&path, "new");
    assert!(matches!(now(&query), Currency::Modified { .. }), "{:?}", now(&query));
    // The process itself may have written it.
    assert_eq!(now(&StaleQuery { writes: true, ..query.clone() }), Currency::Current);
    // Without the content at the open, `touch` cannot be told from a write of as many bytes.
    assert_eq!(now(&StaleQuery { fingerprint: None, ..query.clone() }), Currency::Unknown);
    rewrite(&path, "longer");
    let without = StaleQuery { fingerprint: None, ..query.clone() };
    assert!(matches!(now(&without), Currency::Modified { .. }));
    assert_eq!(now(&opened_here(&path)), Currency::Current, "opened again");

    let query = opened_here(&path);
    fs::write(dir.path().join("new"), "longer").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert!(matches!(now(&query), Currency::Replaced { .. }));
    let query = opened_here(&path);
    fs::remove_file(&path).unwrap();
    assert_eq!(now(&query), Currency::Deleted);
    fs::create_dir(&path).unwrap();
    assert!(matches!(now(&query), Currency::Replaced { .. }));
    symlink("/dev/null", dir.path().join("link")).unwrap();
    fs::remove_dir(&path).unwrap();
    fs::rename(dir.path().join("link"), &path).unwrap();
    assert!(matches!(now(&query), Currency::Replaced { .. }));
}

/// Swaps `..data` as the kubelet does.
fn swap_data(dir: &Path, version: &str) {
    symlink(version, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
}

#[test]
fn a_swapped_link_makes_it_stale() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for version in ["..2026_01", "..2026_02"] {
        fs::create_dir(dir.join(version)).unwrap();
        fs::write(dir.join(version).join("tls.crt"), version).unwrap();
    }
    swap_data(dir, "..2026_01");
    symlink("..data/tls.crt", dir.join("tls.crt")).unwrap();
    let query = opened_here(&dir.join("tls.crt"));
    assert!(query.file.path.ends_with(b"/..2026_01/tls.crt"));
    assert_eq!(now(&query), Currency::Current);
    swap_data(dir, "..2026_02");
    assert!(matches!(now(&query), Currency::Replaced { .. }), "the old directory is still there");
    fs::remove_dir_all(dir.join("..2026_01")).unwrap();
    assert!(matches!(now(&query), Currency::Replaced { .. }));
    assert_eq!(now(&opened_here(&dir.join("tls.crt"))), Currency::Current);
    fs::remove_dir_all(dir.join("..2026_02")).unwrap();
    fs::remove_file(dir.join("..data")).unwrap();
    assert_eq!(now(&query), Currency::Deleted);
}

#[test]
fn a_renewal_by_certbot_makes_it_stale() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir_all(dir.join("archive/site")).unwrap();
    fs::create_dir_all(dir.join("live/site")).unwrap();
    let link = dir.join("live/site/fullchain.pem");
    for number in [1, 2] {
        let target = format!("../../archive/site/fullchain{number}.pem");
        fs::write(dir.join(format!("archive/site/fullchain{number}.pem")), "x").unwrap();
        let _ = fs::remove_file(&link);
        symlink(&target, &link).unwrap();
        let first = dir.join("archive/site/fullchain1.pem");
        let currency = now(&opened_here(&first));
        assert_eq!(matches!(currency, Currency::Replaced { .. }), number == 2, "{currency:?}");
    }
    // Other files are not versions.
    fs::write(dir.join("archive/site/other1.pem"), "x").unwrap();
    assert_eq!(now(&opened_here(&dir.join("archive/site/other1.pem"))), Currency::Current);
}

#[test]
fn a_process_that_has_ended_uses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pem");
    fs::write(&path, "old").unwrap();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let query = opened(child.id(), &path);
    fs::remove_file(&path).unwrap();
    assert_eq!(now(&query), Currency::Deleted);
    child.kill().unwrap();
    // A zombie until it is waited for.
    child.wait().unwrap();
    assert_eq!(now(&query), Currency::Ended);
    let reused = StaleQuery { pid: std::process::id(), ..query };
    assert_eq!(now(&reused), Currency::Ended, "another process has the pid");
}

#[test]
fn a_library_is_stale_while_it_is_mapped() {
    let own = std::process::id();
    let maps = procfs::read(own, "maps").unwrap();
    let libc = procfs::parse_maps(&maps)
        .into_iter()
        .find(|file| procfs::file_name(&file.path).starts_with(b"libc.so"))
        .unwrap();
    let mut query = opened_here(Path::new(&*String::from_utf8_lossy(&libc.path)));
    query.file.library = true;
    assert_eq!(now(&query), Currency::Current);
    // Its path is another inode, but no mapping has that one: unmapped meanwhile.
    let other = UsedFile { inode: u64::MAX, ..query.file.clone() };
    assert_eq!(now(&StaleQuery { file: other, ..query.clone() }), Currency::Current);
    // A mapped inode whose path is another file.
    let executable = UsedFile {
        path: fs::canonicalize("/bin/sh").unwrap().as_os_str().as_bytes().to_vec(),
        ..query.file.clone()
    };
    let replaced = now(&StaleQuery { file: executable, ..query.clone() });
    assert!(matches!(replaced, Currency::Replaced { .. }), "{replaced:?}");
    let gone = UsedFile { path: b"/nonexistent/libc.so.6".to_vec(), ..query.file.clone() };
    assert_eq!(now(&StaleQuery { file: gone, ..query }), Currency::Deleted);
}
