//! Superblock magic numbers of file systems.

pub(super) const OVERLAYFS: u32 = 0x794c_7630;
pub(super) const BTRFS: u32 = 0x9123_683e;
pub(super) const BCACHEFS: u32 = 0xca45_1a4e;

/// File systems whose device number in `stat` differs from the superblock's, with their names in mountinfo.
pub(super) const WITHOUT_DEVICE: [(u32, &str); 3] =
    [(OVERLAYFS, "overlay"), (BTRFS, "btrfs"), (BCACHEFS, "bcachefs")];

/// Returns the name of a file system in [`WITHOUT_DEVICE`].
pub(super) fn without_device(sb_magic: u32) -> Option<&'static str> {
    WITHOUT_DEVICE.iter().find(|(magic, _)| *magic == sb_magic).map(|(_, kind)| *kind)
}
