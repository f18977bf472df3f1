//! `stat` of a file in cases.json.

use anyhow::{Result, ensure};
use serde::Deserialize;

use crypto_tracer_event::{FileStat, OpenedFile};

/// File type in `st_mode`, and its value for regular files: no other file is opened as one.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// Facts by their names in the contract. Those that are missing are 0, except for `links`, 1, and `mode`, "0600".
#[derive(Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "an object with facts by their names, except for `size`"
)]
pub(super) struct WrittenStat {
    uid: u32,
    gid: u32,
    /// In octal digits, because JSON has no octal numbers.
    mode: String,
    links: u32,
    modified: u64,
    inode: u64,
    device: u32,
    changed: u64,
}

impl Default for WrittenStat {
    fn default() -> WrittenStat {
        let (uid, gid, modified, inode, device, changed) = (0, 0, 0, 0, 0, 0);
        WrittenStat { uid, gid, mode: "0600".into(), links: 1, modified, inode, device, changed }
    }
}

impl WrittenStat {
    /// What the host finds when it inspects the file, and what the kernel reports with the open.
    pub(super) fn facts(&self) -> Result<(FileStat, OpenedFile)> {
        let WrittenStat { uid, gid, ref mode, links, modified, inode, device: dev, changed } =
            *self;
        let bits = u32::from_str_radix(mode, 8)
            .ok()
            .filter(|bits| bits & !(TYPE | 0o7777) == 0 && [0, REGULAR].contains(&(bits & TYPE)));
        ensure!(
            bits.is_some(),
            "`mode` {mode:?}: expected the octal digits of a regular file's mode, such as \"0640\""
        );
        let nanos = |micros: u64| i128::from(micros) * 1000;
        let mode = bits.unwrap_or_default() | REGULAR;
        let (modified_ns, changed_ns) = (nanos(modified), nanos(changed));
        let stat = FileStat { uid, gid, mode, links, modified_ns, changed_ns };
        Ok((stat, OpenedFile { dev, inode, ctime_ns: changed_ns, ..OpenedFile::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(json: &str) -> Result<(FileStat, OpenedFile)> {
        serde_json::from_str::<WrittenStat>(json)?.facts()
    }

    #[test]
    fn facts_have_defaults_and_bounds() {
        let (stat, file) = facts("{}").unwrap();
        assert_eq!((stat.mode, stat.links, file.inode), (0o100_600, 1, 0));
        let (stat, file) = facts(
            r#"{"uid": 33, "gid": 4, "mode": "4640", "links": 2, "modified": 5, "inode": 6, "device": 7, "changed": 8}"#,
        )
        .unwrap();
        assert_eq!((stat.uid, stat.gid, stat.mode, stat.links), (33, 4, 0o104_640, 2));
        assert_eq!((stat.fact("modified"), file.fact("changed")), (Some(5), Some(8)));
        assert_eq!((file.fact("inode"), file.fact("device")), (Some(6), Some(7)));
        for mode in ["", "0o600", "rw-", "8", "-1", "0040755", "1000000", "77777777777777"] {
            let error = facts(&format!("{{\"mode\": {mode:?}}}")).unwrap_err().to_string();
            assert!(error.contains("octal digits"), "{mode}: {error}");
        }
        let error = facts("{\"size\": 1}").unwrap_err().to_string();
        assert!(error.contains("unknown field `size`"), "{error}");
    }
}
