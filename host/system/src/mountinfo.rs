//! Parses `/proc/PID/mountinfo`.

/// A mount, as one line of the file describes it. Names are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Id of the mount.
    pub id: u64,
    /// Mount point, as the process sees it.
    pub point: Vec<u8>,
    /// Type of the file system, with its subtype: `ext4`, `fuse.sshfs`.
    pub kind: String,
    /// Options of the superblock, separated by commas.
    pub super_options: String,
}

/// Returns the mounts of a mountinfo file, in its order. Lines that are malformed are skipped.
pub fn parse(mountinfo: &[u8]) -> impl Iterator<Item = MountInfo> {
    mountinfo.split(|&byte| byte == b'\n').filter_map(parse_line)
}

/// `id parent dev root point options [optional …] - type source super-options`
fn parse_line(line: &[u8]) -> Option<MountInfo> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    let text = |at: usize| fields.get(at).map(|field| String::from_utf8_lossy(field).into_owned());
    Some(MountInfo {
        id: text(0)?.parse().ok()?,
        point: unescape(fields.get(4)?),
        kind: text(separator + 1)?,
        super_options: text(separator + 3).unwrap_or_default(),
    })
}

/// Decodes the octal escapes of white space and backslash, such as `\040`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'\\').then(|| tail.split_at_checked(3)).flatten();
        let code = code.and_then(|(digits, tail)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 8).ok()?, tail))
        });
        let (byte, tail) = code.unwrap_or((first, tail));
        out.push(byte);
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed_and_malformed_ones_skipped() {
        let file = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
            23 22 0:41 / /mnt/a\\040b rw - fuse.sshfs x rw\nrubbish\n24 x\n\
            25 22 0:9 / /no-options rw - tmpfs tmpfs\n\xff 1 0:1 / / rw - x x x\n";
        let found: Vec<MountInfo> = parse(file).collect();
        let points: Vec<_> = found.iter().map(|mount| mount.point.as_slice()).collect();
        assert_eq!(points, [b"/".as_slice(), b"/mnt/a b", b"/no-options"]);
        assert_eq!((found[0].id, found[0].kind.as_str()), (22, "ext4"));
        assert_eq!(found[0].super_options, "rw,errors=remount-ro");
        assert_eq!((found[1].kind.as_str(), found[2].super_options.as_str()), ("fuse.sshfs", ""));
    }

    #[test]
    fn only_whole_escapes_are_decoded() {
        for (text, decoded) in [
            (r"/a\040b\134", r"/a b\"),
            (r"/a\04", r"/a\04"),
            (r"/a\999b", r"/a\999b"),
            (r"\\040", r"\ "),
            ("", ""),
        ] {
            assert_eq!(unescape(text.as_bytes()), decoded.as_bytes(), "{text}");
        }
    }
}
