//! File systems by their magic numbers.

pub(super) const OVERLAYFS: u32 = 0x794c_7630;
pub(super) const BTRFS: u32 = 0x9123_683e;
pub(super) const BCACHEFS: u32 = 0xca45_1a4e;

/// File systems that show programs another device number than the kernel has.
pub(super) const WITHOUT_DEVICE: [(u32, &str); 3] =
    [(OVERLAYFS, "overlay"), (BTRFS, "btrfs"), (BCACHEFS, "bcachefs")];

/// The name of a file system whose device number does not tell.
pub(super) fn without_device(sb_magic: u32) -> Option<&'static str> {
    WITHOUT_DEVICE.iter().find(|(magic, _)| *magic == sb_magic).map(|(_, kind)| *kind)
}
