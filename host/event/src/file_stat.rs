//! Metadata of a file.

use serde::{Deserialize, Serialize};

use super::OpenedFile;

/// Metadata of an opened file that the kernel's records do not have, as of the time when the file was inspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// User id of the owner.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Number of hard links.
    pub links: u32,
    /// Time of the last change of the content in nanoseconds since 1970.
    pub modified_ns: i128,
    /// Change time in nanoseconds since 1970. Any change of the other fields changes it.
    pub changed_ns: i128,
}

impl FileStat {
    /// A fact by its name in the plugin contract. `None`: another name.
    pub fn fact(&self, name: &str) -> Option<u64> {
        Some(match name {
            "uid" => self.uid.into(),
            "gid" => self.gid.into(),
            "mode" => self.mode.into(),
            "links" => self.links.into(),
            "modified" => micros(self.modified_ns),
            _ => return None,
        })
    }
}

impl OpenedFile {
    /// A fact that the kernel reported with the open, by its name in the plugin contract. `None`: another name.
    pub fn fact(&self, name: &str) -> Option<u64> {
        Some(match name {
            "inode" => self.inode,
            "device" => self.dev.into(),
            "changed" => micros(self.ctime_ns),
            "size" if self.created => 0,
            "size" => self.size,
            _ => return None,
        })
    }
}

/// Microseconds since 1970; 0 for earlier times, which users can set.
fn micros(time_ns: i128) -> u64 {
    u64::try_from((time_ns / 1000).max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_age_are_microseconds() {
        let modified =
            |modified_ns| FileStat { modified_ns, ..FileStat::default() }.fact("modified");
        assert_eq!(modified(1_700_000_000_123_456_789), Some(1_700_000_000_123_456));
        assert_eq!(modified(-1), Some(0));
        assert_eq!(modified(i128::MIN), Some(0));
        assert_eq!(modified(i128::MAX), Some(u64::MAX));
    }

    #[test]
    fn each_fact_has_one_source() {
        let stat = FileStat { uid: 1, gid: 2, mode: 0o100_640, links: 3, ..FileStat::default() };
        let file =
            OpenedFile { dev: 8 << 20 | 1, inode: u64::MAX, size: 9, ..OpenedFile::default() };
        let facts = |name| (stat.fact(name), file.fact(name));
        for (name, found) in [
            ("uid", (Some(1), None)),
            ("gid", (Some(2), None)),
            ("mode", (Some(0o100_640), None)),
            ("links", (Some(3), None)),
            ("modified", (Some(0), None)),
            ("device", (None, Some(8 << 20 | 1))),
            ("inode", (None, Some(u64::MAX))),
            ("changed", (None, Some(0))),
            ("size", (None, Some(9))),
            ("", (None, None)),
            ("Mode", (None, None)),
            ("mode\0", (None, None)),
        ] {
            assert_eq!(facts(name), found, "{name:?}");
        }
        let created = OpenedFile { created: true, ..file };
        assert_eq!(created.fact("size"), Some(0));
    }
}
