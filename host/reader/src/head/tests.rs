use super::super::fs_magic::WITHOUT_DEVICE;
use super::super::proc_probe::ProbePool;
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const EXT4: u32 = 0xef53;

/// A file, and the question that the kernel's words on it make.
fn asked(sb_magic: u32) -> (tempfile::TempDir, Statx, Wanted) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pem");
    fs::write(&path, "x").unwrap();
    let stat = known(CWD, &path).unwrap();
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
    let wanted = Wanted { file, uid: 0, size: stat.stx_size, maybe_reader: None };
    (dir, stat, wanted)
}

const SAME: Option<Found> = Some(Found::Same);
const CHANGED: Option<Found> = Some(Found::Changed);

/// Changes one thing after the other, and tells for which of them it is the same file still.
fn same_with(sb_magic: u32) -> [Option<Found>; 7] {
    let (_dir, stat, wanted) = asked(sb_magic);
    assert_eq!(is_it(&stat, &wanted), SAME);
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
        is_it(&stat, &wanted)
    })
}

#[test]
fn what_tells_a_file_from_another_depends_on_its_file_system() {
    // Inode number, device, change time, size, modification time, time of birth, no regular file.
    assert_eq!(same_with(EXT4), [None, None, SAME, CHANGED, CHANGED, None, None]);
    assert_eq!(same_with(BTRFS), [None, SAME, SAME, CHANGED, CHANGED, None, None]);
    assert_eq!(same_with(BCACHEFS), [None, SAME, SAME, CHANGED, CHANGED, None, None]);
    assert_eq!(same_with(OVERLAYFS), [SAME, SAME, SAME, CHANGED, SAME, SAME, None]);
    let (_dir, mut stat, wanted) = asked(OVERLAYFS);
    stat.stx_ino += 1;
    stat.stx_ctime.tv_sec += 1;
    assert_eq!(is_it(&stat, &wanted), None, "of inode number and change time one has to be right");
}

type Change = Box<dyn Fn(&Path)>;
type Case = (&'static str, Change, Result<&'static str, HeadRefusal>, Found);

fn by(change: fn(&Path)) -> Change {
    Box::new(change)
}

fn other(path: &Path) -> PathBuf {
    path.with_extension("other")
}

/// The file that was opened still exists.
fn still_the_file() -> Vec<Case> {
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
            "rename to a name that is known",
            Box::new(|p| {
                fs::write(other(p), content("new")).unwrap();
                fs::rename(p, other(p)).unwrap();
            }),
            Ok("old"),
            Found::Same,
        ),
        (
            "backup, and a new one",
            Box::new(|p| {
                fs::rename(p, other(p)).unwrap();
                fs::write(p, content("new")).unwrap();
            }),
            Ok("old"),
            Found::Same,
        ),
    ]
}

/// Another file, or none, has the path, or the file was written to.
fn no_longer_the_file() -> Vec<Case> {
    vec![
        (
            "replaced",
            Box::new(|p| {
                fs::write(other(p), content("new")).unwrap();
                fs::rename(other(p), p).unwrap();
            }),
            Ok("new"),
            Found::Replaced,
        ),
        (
            "by a link",
            Box::new(|p| {
                fs::write(other(p), content("new")).unwrap();
                fs::remove_file(p).unwrap();
                std::os::unix::fs::symlink(other(p), p).unwrap();
            }),
            Err(HeadRefusal::Gone),
            Found::Same,
        ),
        (
            "by a directory",
            by(|p| {
                fs::remove_file(p).unwrap();
                fs::create_dir(p).unwrap();
            }),
            Err(HeadRefusal::Gone),
            Found::Same,
        ),
        (
            "by a pipe",
            by(|p| {
                fs::remove_file(p).unwrap();
                rustix::fs::mknodat(CWD, p, FileType::Fifo, Mode::RUSR, 0).unwrap();
            }),
            Err(HeadRefusal::Gone),
            Found::Same,
        ),
        ("removed", by(|p| fs::remove_file(p).unwrap()), Err(HeadRefusal::Gone), Found::Same),
        (
            "written to",
            by(|p| fs::write(p, content("newer")).unwrap()),
            Ok("newer"),
            Found::Changed,
        ),
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

/// Changes to a file between its open and the read of its head, and the answer after each.
#[test]
fn what_happens_after_the_open() {
    for (case, change, head, found) in still_the_file().into_iter().chain(no_longer_the_file()) {
        let (dir, _, mut wanted) = asked(EXT4);
        let path = dir.path().join("a.pem");
        fs::write(&path, content("old")).unwrap();
        let stat = known(CWD, &path).unwrap();
        (wanted.file.ctime_ns, wanted.size) = (ctime_ns(&stat), stat.stx_size);
        // A clock's tick later: what is written then has another time.
        std::thread::sleep(Duration::from_millis(15));
        change(&path);
        let answer = read(&wanted, &mut MountNamespaces::new(ProbePool::default()));
        assert_eq!(answer.head, head.map(content), "{case}");
        assert_eq!(answer.found, found, "{case}");
    }
}

/// What is seen of it is it.
fn content(label: &str) -> Vec<u8> {
    format!("-----BEGIN {label}-----\n").into_bytes()
}

#[test]
fn a_file_that_was_empty_has_no_content() {
    let (dir, _, mut wanted) = asked(EXT4);
    let path = dir.path().join("a.pem");
    wanted.size = 0;
    std::thread::sleep(Duration::from_millis(15));
    fs::write(&path, content("later")).unwrap();
    let answer = read(&wanted, &mut MountNamespaces::new(ProbePool::default()));
    assert_eq!(answer.head, Ok(Vec::new()));
}

#[test]
fn the_loss_of_its_name_leaves_a_file_what_it_was() {
    let (_dir, mut stat, wanted) = asked(EXT4);
    stat.stx_nlink = 0;
    stat.stx_ctime.tv_sec += 1;
    assert_eq!(is_it(&stat, &wanted), SAME);
    stat.stx_mtime.tv_sec += 2;
    assert_eq!(is_it(&stat, &wanted), CHANGED, "it was written to since");
}

/// A server says any inode number and any time that it likes.
#[test]
fn a_file_system_without_device_numbers_is_known_by_its_mount() {
    let (_dir, _, mut wanted) = asked(EXT4);
    let mut places = MountNamespaces::new(ProbePool::default());
    assert!(read(&wanted, &mut places).head.is_ok());
    for (sb_magic, _) in WITHOUT_DEVICE {
        wanted.file.sb_magic = sb_magic;
        let path = OsStr::from_bytes(&wanted.file.path);
        let file = open(path, OFlags::PATH, Mode::empty()).unwrap();
        let mounted = mount(&file, &Mounts::of(wanted.file.pid)).unwrap().0;
        let as_asked = without_device(sb_magic) == Some(mounted.as_str());
        assert_eq!(read(&wanted, &mut places).head.is_ok(), as_asked, "{mounted}");
    }
}
