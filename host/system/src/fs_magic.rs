//! Magic numbers of file systems, as in the kernel's `linux/magic.h` and in the file systems' own headers.

/// overlayfs
pub const OVERLAYFS: u32 = 0x794c_7630;
/// btrfs
pub const BTRFS: u32 = 0x9123_683e;
/// bcachefs
pub const BCACHEFS: u32 = 0xca45_1a4e;

/// File systems on which an access may block indefinitely, because it depends on another machine or process.
const REMOTE: [u32; 16] = [
    0x6573_5546, // FUSE
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS (OpenAFS)
    0x6b41_4653, // AFS (kAFS)
    0x7375_7245, // Coda
    0x0102_1997, // 9P
    0x0bd0_0bd0, // Lustre
    0x1980_0202, // MQUEUE, no files
    0x0187,      // autofs
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
    0x2003_0528, // OrangeFS
];

/// Names in mountinfo of file systems whose device number in `stat` differs from the superblock's.
const WITHOUT_DEVICE: [(u32, &str); 3] =
    [(OVERLAYFS, "overlay"), (BTRFS, "btrfs"), (BCACHEFS, "bcachefs")];

/// Whether an access to this file system may block indefinitely, because it depends on another machine or process.
pub fn is_remote(magic: u32) -> bool {
    REMOTE.contains(&magic)
}

/// Returns the name in mountinfo of a file system whose device number in `stat` differs from the superblock's.
pub fn without_device(magic: u32) -> Option<&'static str> {
    WITHOUT_DEVICE.iter().find(|(known, _)| *known == magic).map(|(_, kind)| *kind)
}

/// Returns the magic number of a file system by its name in mountinfo, for the file systems of [`without_device`].
pub fn without_device_named(kind: &str) -> Option<u32> {
    WITHOUT_DEVICE.iter().find(|(_, known)| *known == kind).map(|(magic, _)| *magic)
}
