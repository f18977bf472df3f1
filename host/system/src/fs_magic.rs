//! Magic numbers of file systems, as in the kernel's `linux/magic.h` and in the file systems' own headers.

use std::borrow::Cow;

/// overlayfs
pub const OVERLAYFS: u32 = 0x794c_7630;
/// btrfs
pub const BTRFS: u32 = 0x9123_683e;
/// bcachefs
pub const BCACHEFS: u32 = 0xca45_1a4e;

/// File systems on which an access may block indefinitely, because it depends on another machine or process, with names.
const REMOTE: [(u32, &str); 16] = [
    (0x6573_5546, "fuse"),
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb3"),
    (0x00c3_6400, "ceph"),
    // OpenAFS, then kAFS.
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x0102_1997, "9p"),
    (0x0bd0_0bd0, "lustre"),
    // It has no files.
    (0x1980_0202, "mqueue"),
    (0x0187, "autofs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x2003_0528, "orangefs"),
];

/// Other file systems that have a name.
const LOCAL: [(u32, &str); 42] = [
    // ext2 and ext3 have the same number.
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (OVERLAYFS, "overlay"),
    (BTRFS, "btrfs"),
    (BCACHEFS, "bcachefs"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x9584_58f6, "hugetlbfs"),
    (0x2fc1_2fc1, "zfs"),
    (0xf2f5_2010, "f2fs"),
    (0x7371_7368, "squashfs"),
    (0xe0f5_e1e2, "erofs"),
    (0x28cd_3d45, "cramfs"),
    (0x9660, "iso9660"),
    (0x1501_3346, "udf"),
    (0x4d44, "vfat"),
    (0x2011_bab0, "exfat"),
    (0x5346_544e, "ntfs"),
    (0x7366_746e, "ntfs3"),
    (0x3153_464a, "jfs"),
    (0x5265_4973, "reiserfs"),
    (0x3434, "nilfs2"),
    (0x72b6, "jffs2"),
    (0x2405_1905, "ubifs"),
    (0x4244, "hfs"),
    (0x482b, "hfsplus"),
    (0xf15f, "ecryptfs"),
    (0x6175_6673, "aufs"),
    (0x5a4f_4653, "zonefs"),
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0xcafe_4a11, "bpf"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x6165_676c, "pstore"),
    (0xde5e_81e4, "efivarfs"),
    (0x6265_6570, "configfs"),
    (0x5345_434d, "secretmem"),
];

/// Names in mountinfo of file systems whose device number in `stat` differs from the superblock's.
const WITHOUT_DEVICE: [(u32, &str); 3] =
    [(OVERLAYFS, "overlay"), (BTRFS, "btrfs"), (BCACHEFS, "bcachefs")];

/// Whether an access to this file system may block indefinitely, because it depends on another machine or process.
pub fn is_remote(magic: u32) -> bool {
    REMOTE.iter().any(|(known, _)| *known == magic)
}

/// Returns the name of a file system, as in mountinfo where there is one name; `0x` and the number in hexadecimal for an
/// unknown one.
pub fn name(magic: u32) -> Cow<'static, str> {
    let known = REMOTE.iter().chain(&LOCAL).find(|(known, _)| *known == magic);
    known.map_or_else(|| format!("{magic:#x}").into(), |(_, name)| (*name).into())
}

/// Returns the magic number of a file system by its [`name`].
pub fn named(name: &str) -> Option<u32> {
    let known = REMOTE.iter().chain(&LOCAL).find(|(_, known)| *known == name);
    let hex = || u32::from_str_radix(name.strip_prefix("0x")?, 16).ok();
    known.map(|(magic, _)| *magic).or_else(hex)
}

/// Returns the name in mountinfo of a file system whose device number in `stat` differs from the superblock's.
pub fn without_device(magic: u32) -> Option<&'static str> {
    WITHOUT_DEVICE.iter().find(|(known, _)| *known == magic).map(|(_, kind)| *kind)
}

/// Returns the magic number of a file system by its name in mountinfo, for the file systems of [`without_device`].
pub fn without_device_named(kind: &str) -> Option<u32> {
    WITHOUT_DEVICE.iter().find(|(_, known)| *known == kind).map(|(magic, _)| *magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_belong_together() {
        for (magic, kind) in
            [(0xef53, "ext4"), (OVERLAYFS, "overlay"), (0x6969, "nfs"), (0x0102_1994, "tmpfs")]
        {
            assert_eq!((&*name(magic), named(kind)), (kind, Some(magic)));
        }
        for (magic, kind) in WITHOUT_DEVICE {
            assert_eq!(name(magic), kind);
        }
        assert_eq!((&*name(0xdead_beef), named("0xdeadbeef")), ("0xdeadbeef", Some(0xdead_beef)));
        assert_eq!((named("0x"), named("0x1ffffffff"), named("ext5")), (None, None, None));
    }

    #[test]
    fn a_number_has_one_name_of_one_word() {
        let mut numbers: Vec<u32> = REMOTE.iter().chain(&LOCAL).map(|(magic, _)| *magic).collect();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]));
        let is_word = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        assert!(REMOTE.iter().chain(&LOCAL).all(|(_, name)| is_word(name)));
    }
}
