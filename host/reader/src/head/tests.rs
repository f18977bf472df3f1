use super::super::proc_probe::ProbePool;
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const EXT4: u32 = 0xef53;

/// Creates a file, and the request for it as the kernel side would report it.
fn file_and_request(sb_magic: u32) -> (tempfile::TempDir, Statx, Wanted) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pem");
    fs::write(&path, "x").unwrap();
    let stat = cached(CWD, &path).unwrap();
    let file = HeadRequest {
        pid: std::process::id(),
        nameless: false,
        mount_ns: 0,
        root: (0, 0),
        path: path.into_os_string().into_encoded_bytes(),
        dev: dev(&stat),
        inode: stat.stx_ino,
        ctime_ns: ctime_ns(&stat),
        sb_magic,
    };
    let wanted = Wanted { file, uid: 0, size: stat.stx_size, maybe_reader: None, blocks: false };
    (dir, stat, wanted)
}

const SAME: Option<Found> = Some(Found::Same);
const CHANGED: Option<Found> = Some(Found::Changed);

/// Changes one attribute at a time, and returns the result of each comparison.
fn compare_after_each_change(sb_magic: u32) -> [Option<Found>; 7] {
    let (_dir, stat, wanted) = file_and_request(sb_magic);
    assert_eq!(compare(&stat, &wanted), SAME);
    let changes: [fn(&mut Statx); 7] = [
        |stat| stat.stx_ino += 1,
        |stat| stat.stx_dev_minor += 1,
        |stat| stat.stx_ctime.tv_sec += 1,
        |stat| {
            stat.stx_ctime.tv_sec += 1;
            stat.stx_size += 1;
        },
        |stat| {
            stat.stx_ctime.tv_sec += 1;
            stat.stx_mtime.tv_sec += 1;
        },
        |stat| {
            stat.stx_mask |= StatxFlags::BTIME.bits();
            stat.stx_btime.tv_sec = stat.stx_ctime.tv_sec + 1;
        },
        |stat| stat.stx_mode = 0o040_644,
    ];
    changes.map(|change| {
        let mut stat = stat;
        change(&mut stat);
        compare(&stat, &wanted)
    })
}

#[test]
fn the_file_system_determines_which_attributes_identify_a_file() {
    // Inode number, device, ctime, size, mtime, birth time, not a regular file.
    assert_eq!(compare_after_each_change(EXT4), [None, None, SAME, CHANGED, CHANGED, None, None]);
    assert_eq!(compare_after_each_change(BTRFS), [None, SAME, SAME, CHANGED, CHANGED, None, None]);
    assert_eq!(
        compare_after_each_change(BCACHEFS),
        [None, SAME, SAME, CHANGED, CHANGED, None, None]
    );
    assert_eq!(compare_after_each_change(OVERLAYFS), [SAME, SAME, SAME, CHANGED, SAME, SAME, None]);
    let (_dir, mut stat, wanted) = file_and_request(OVERLAYFS);
    stat.stx_ino += 1;
    stat.stx_ctime.tv_sec += 1;
    assert_eq!(compare(&stat, &wanted), None, "inode number or ctime must match");
}

type Change = Box<dyn Fn(&Path)>;
type Case = (&'static str, Change, Result<&'static str, HeadRefusal>, Found);

fn by(change: fn(&Path)) -> Change {
    Box::new(change)
}

fn other(path: &Path) -> PathBuf {
    path.with_extension("other")
}

/// The opened file still exists.
fn changes_that_keep_the_file() -> Vec<Case> {
    let mode = |mode| fs::Permissions::from_mode(mode);
    vec![
        (
            "chmod",
            Box::new(move |p| fs::set_permissions(p, mode(0o600)).unwrap()),
            Ok("old"),
            Found::Same,
        ),
        ("chown", by(|p| std::os::unix::fs::chown(p, None, None).unwrap()), Ok("old"), Found::Same),
        ("link", Box::new(|p| fs::hard_link(p, other(p)).unwrap()), Ok("old"), Found::Same),
        ("rename", Box::new(|p| fs::rename(p, other(p)).unwrap()), Ok("old"), Found::Same),
        (
            "rename over another file",
            Box::new(|p| {
                fs::write(other(p), content("new")).unwrap();
                fs::rename(p, other(p)).unwrap();
            }),
            Ok("old"),
            Found::Same,
        ),
        (
            "rename, and a new file at the path",
            Box::new(|p| {
                fs::rename(p, other(p)).unwrap();
                fs::write(p, content("new")).unwrap();
            }),
            Ok("old"),
            Found::Same,
        ),
    ]
}

/// The path has another file or none, or the file was modified.
fn changes_that_replace_the_file() -> Vec<Case> {
    vec![
        (
            "replaced by a file",
            Box::new(|p| {
                fs::write(other(p), content("new")).unwrap();
                fs::rename(other(p), p).unwrap();
            }),
            Ok("new"),
            Found::Replaced,
        ),
        (
            "replaced by a link",
            Box::new(|p| {
                fs::write(other(p), content("new")).unwrap();
                fs::remove_file(p).unwrap();
                std::os::unix::fs::symlink(other(p), p).unwrap();
            }),
            Err(HeadRefusal::Gone),
            Found::Same,
        ),
        (
            "replaced by a directory",
            by(|p| {
                fs::remove_file(p).unwrap();
                fs::create_dir(p).unwrap();
            }),
            Err(HeadRefusal::Gone),
            Found::Same,
        ),
        (
            "replaced by a pipe",
            by(|p| {
                fs::remove_file(p).unwrap();
                rustix::fs::mknodat(CWD, p, FileType::Fifo, Mode::RUSR, 0).unwrap();
            }),
            Err(HeadRefusal::Gone),
            Found::Same,
        ),
        ("removed", by(|p| fs::remove_file(p).unwrap()), Err(HeadRefusal::Gone), Found::Same),
        ("modified", by(|p| fs::write(p, content("newer")).unwrap()), Ok("newer"), Found::Changed),
        (
            "times set",
            by(|p| {
                let file = fs::File::options().append(true).open(p).unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            }),
            Ok("old"),
            Found::Same,
        ),
    ]
}

#[test]
fn changes_between_the_open_and_the_read_are_detected() {
    let cases = changes_that_keep_the_file().into_iter().chain(changes_that_replace_the_file());
    for (case, change, head, found) in cases {
        let (dir, _, mut wanted) = file_and_request(EXT4);
        let path = dir.path().join("a.pem");
        fs::write(&path, content("old")).unwrap();
        let stat = cached(CWD, &path).unwrap();
        (wanted.file.ctime_ns, wanted.size) = (ctime_ns(&stat), stat.stx_size);
        // Longer than a tick of the file system's clock, so that a later change has a later timestamp.
        std::thread::sleep(Duration::from_millis(15));
        change(&path);
        let response = read(&wanted, &HeadContext::new(ProbePool::default()));
        assert_eq!(response.head, head.map(content), "{case}");
        assert_eq!(response.found, found, "{case}");
        let is_opened = response.head.is_ok() && found != Found::Replaced;
        assert_eq!(response.stat.is_some(), is_opened, "{case}: only of the opened file");
    }
}

#[test]
fn metadata_is_that_of_the_opened_file_now() {
    let (dir, _, wanted) = file_and_request(EXT4);
    let path = dir.path().join("a.pem");
    let stat = || read(&wanted, &HeadContext::new(ProbePool::default())).stat.unwrap();
    let before = stat();
    assert_eq!(before.changed_ns, wanted.file.ctime_ns);
    std::thread::sleep(Duration::from_millis(15));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4640)).unwrap();
    fs::hard_link(&path, other(&path)).unwrap();
    let after = stat();
    assert_eq!((after.mode, after.links), (0o104_640, 2));
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    assert_eq!((after.uid, after.gid), (uid, gid));
    assert_eq!(after.modified_ns, before.modified_ns);
    assert!(after.changed_ns > before.changed_ns, "a verdict for the open does not hold");
}

/// Content whose public part is the whole.
fn content(label: &str) -> Vec<u8> {
    format!("-----BEGIN {label}-----\n").into_bytes()
}

#[test]
fn a_file_that_was_empty_at_the_open_has_an_empty_head() {
    let (dir, _, mut wanted) = file_and_request(EXT4);
    let path = dir.path().join("a.pem");
    wanted.size = 0;
    std::thread::sleep(Duration::from_millis(15));
    fs::write(&path, content("later")).unwrap();
    let response = read(&wanted, &HeadContext::new(ProbePool::default()));
    assert_eq!(response.head, Ok(Vec::new()));
    assert!(response.stat.is_some());
}

#[test]
fn an_unlinked_file_is_unmodified_until_it_is_written() {
    let (_dir, mut stat, wanted) = file_and_request(EXT4);
    stat.stx_nlink = 0;
    stat.stx_ctime.tv_sec += 1;
    assert_eq!(compare(&stat, &wanted), SAME);
    stat.stx_mtime.tv_sec += 2;
    assert_eq!(compare(&stat, &wanted), CHANGED, "written since the open");
}

/// A file server can report any inode number and time.
#[test]
fn a_file_system_without_a_device_number_is_identified_by_its_mount() {
    let (_dir, _, mut wanted) = file_and_request(EXT4);
    let context = HeadContext::new(ProbePool::default());
    assert!(read(&wanted, &context).head.is_ok());
    for sb_magic in [OVERLAYFS, BTRFS, BCACHEFS] {
        wanted.file.sb_magic = sb_magic;
        let path = OsStr::from_bytes(&wanted.file.path);
        let file = open(path, OFlags::PATH, Mode::empty()).unwrap();
        let kind = mount_of(&file, &Mounts::of(wanted.file.pid)).unwrap().0;
        let is_same_kind = without_device(sb_magic) == Some(kind.as_str());
        assert_eq!(read(&wanted, &context).head.is_ok(), is_same_kind, "{kind}");
    }
}
