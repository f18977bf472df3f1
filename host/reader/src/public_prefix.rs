//! What of a file's beginning a plugin may see. An allow-list: what is not known to be public does not pass.
//!
//! - Of PEM: the lines that begin a block, and the blocks that are public (certificates, requests, revocation lists,
//!   public keys) whole. Nothing that stands around the blocks, and nothing of a block that is not whole. Every line
//!   is written anew, with one line end, so that a plugin takes for a block what [`pem`] does and nothing else.
//! - Of DER: a certificate (SEQUENCE, SEQUENCE, `[0]`) to its end, else [`DER_BYTES`].
//! - Of other text: the word that tells its format, if it is one of [`FORMATS`]. A password may be all of a file.
//! - Of anything else: [`OTHER_BYTES`]; of a file that is not longer than a key, and nothing known, [`SHORT_BYTES`].

use super::pem::{self, BEGIN, Block, DASHES, END, End};
use super::protocol::HEAD_BYTES;

/// Enough to tell what a DER structure is; a key's numbers come later.
const DER_BYTES: usize = 7;
/// Enough for magic numbers.
const OTHER_BYTES: usize = 16;
/// What may be a key, and nothing else, is not longer: 512 bits.
const KEY_BYTES: usize = 64;
/// Of what may be a key.
const SHORT_BYTES: usize = 4;
/// The longest line of a PEM body. The standard says 64, and that others may be read.
const LINE_BYTES: usize = 76;

/// Beginnings of binary files that are known, and no key: key stores, of Java and Bouncy Castle, of KeePass, of LUKS.
const BINARIES: [&[u8]; 7] = [
    b"\xfe\xed\xfe\xed",
    b"\xce\xce\xce\xce",
    b"\0\0\0\x01\0\0\0\x14",
    b"\0\0\0\x02\0\0\0\x14",
    b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5",
    b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5",
    b"LUKS\xba\xbe",
];

/// Beginnings of texts that tell what they are, and nothing else.
const FORMATS: [&[u8]; 16] = [
    b"PuTTY-User-Key-File-2:",
    b"PuTTY-User-Key-File-3:",
    b"AGE-SECRET-KEY-1",
    b"age-encryption.org/v1",
    b"# created: ",
    b"untrusted comment: ",
    b"ssh-rsa ",
    b"ssh-dss ",
    b"ssh-ed25519 ",
    b"ecdsa-sha2-nistp",
    b"sk-ssh-ed25519@o",
    b"sk-ecdsa-sha2-ni",
    b"---- BEGIN SSH2 ",
    b"<?xml ",
    b"{",
    b"#",
];

/// Blocks whose body is public.
const PUBLIC: [&[u8]; 7] = [
    b"CERTIFICATE",
    b"X509 CERTIFICATE",
    b"TRUSTED CERTIFICATE",
    b"X509 CRL",
    b"CERTIFICATE REQUEST",
    b"NEW CERTIFICATE REQUEST",
    b"PUBLIC KEY",
];

/// The part of `text`, a file's first bytes, that may be seen: at most [`HEAD_BYTES`]. `is_cut`: the file has more.
pub(super) fn public_prefix(text: &[u8], is_cut: bool) -> Vec<u8> {
    let blocks = pem::blocks(text);
    if pem::begins_early(&blocks) {
        return shown(&blocks, is_cut);
    }
    let head = text.get(..HEAD_BYTES).unwrap_or(text);
    if let Some(length) = der_certificate(head) {
        return head.split_at(length.min(head.len())).0.to_vec();
    }
    let known = BINARIES.iter().any(|magic| head.starts_with(magic));
    let most = match head {
        _ if known => OTHER_BYTES,
        _ if is_text(head) => format(head),
        [0x30, ..] if head.len() > KEY_BYTES || is_der(head) => DER_BYTES,
        _ if head.len() <= KEY_BYTES => SHORT_BYTES,
        _ => OTHER_BYTES,
    };
    head.split_at(most.min(head.len())).0.to_vec()
}

/// Whether a reader of text would get along with what might be seen of it, in any encoding that is in use.
fn is_text(head: &[u8]) -> bool {
    let (begin, _) = head.split_at(head.len().min(OTHER_BYTES));
    let utf16 = begin.starts_with(b"\xff\xfe") || begin.starts_with(b"\xfe\xff");
    // What is no UTF-8 may be Latin-1, or another of its kind: only control characters tell that it is no text.
    utf16 || !begin.iter().any(is_control) || is_wide(begin)
}

fn is_control(&byte: &u8) -> bool {
    byte < b' ' && !byte.is_ascii_whitespace() || byte == 0x7f
}

/// Two or four bytes for each character, without a mark: all but one are the same, small number.
fn is_wide(begin: &[u8]) -> bool {
    let as_width = |width: usize, low: usize| {
        let mut characters = begin.chunks_exact(width).map(|bytes| {
            let (before, rest) = bytes.split_at(low);
            let (&character, behind) = rest.split_first()?;
            let mut high = before.iter().chain(behind);
            let first = *high.next()?;
            let same = high.all(|&byte| byte == 0 || byte == first);
            (same && first < b' ' && !is_control(&character)).then_some(first)
        });
        let Some(Some(first)) = characters.next() else { return false };
        characters.len() > 0 && characters.all(|high| high.is_some_and(|high| high == first))
    };
    [(2, 0), (2, 1), (4, 0), (4, 3)].into_iter().any(|(width, low)| as_width(width, low))
}

/// How much of a text tells its format.
fn format(head: &[u8]) -> usize {
    let known = FORMATS.iter().filter(|format| head.starts_with(format));
    known.map(|format| format.len().min(OTHER_BYTES)).max().unwrap_or(0)
}

/// What may be seen of a file with blocks. Where that is more than [`HEAD_BYTES`], bodies before the block that says
/// what the file is are left out, the first ones first, and after that whole blocks.
fn shown(blocks: &[Block<'_>], is_cut: bool) -> Vec<u8> {
    let (before, rest) = blocks.split_at(pem::deciding(blocks).unwrap_or(0));
    let most = rest.first().map_or(0, |block| begin_len(block) + body_len(block, is_cut));
    let room = HEAD_BYTES.saturating_sub(most);
    let begins: usize = before.iter().map(begin_len).sum();
    let bodies: usize = before.iter().map(|block| body_len(block, is_cut)).sum();
    let (mut bodies_out, mut begins_out) =
        ((begins + bodies).saturating_sub(room), begins.saturating_sub(room));
    let mut out = Vec::new();
    for block in before {
        let body = body_len(block, is_cut);
        let without_body = bodies_out > 0;
        bodies_out = bodies_out.saturating_sub(body);
        if begins_out > 0 {
            begins_out = begins_out.saturating_sub(begin_len(block));
        } else if !(add_begin(&mut out, block)
            && (without_body || add_body(&mut out, block, is_cut)))
        {
            return out;
        }
    }
    for block in rest {
        if !(add_begin(&mut out, block) && add_body(&mut out, block, is_cut)) {
            break;
        }
    }
    out
}

fn begin_len(block: &Block<'_>) -> usize {
    BEGIN.len() + block.label.len() + DASHES.len() + 1
}

/// With the line that ends the block.
fn body_len(block: &Block<'_>, is_cut: bool) -> usize {
    let lines = public_lines(block, is_cut);
    let len: usize = lines.into_iter().flatten().map(|(line, _)| line.len() + 1).sum();
    len + if len > 0 { END.len() + block.label.len() + DASHES.len() + 1 } else { 0 }
}

/// Whether there is room for all of `parts`, which are added then.
fn add(out: &mut Vec<u8>, parts: &[&[u8]]) -> bool {
    let fits = out.len() + parts.iter().map(|part| part.len()).sum::<usize>() <= HEAD_BYTES;
    if fits {
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }
    fits
}

fn add_begin(out: &mut Vec<u8>, block: &Block<'_>) -> bool {
    add(out, &[BEGIN, block.label, DASHES, b"\n"])
}

/// Whether the body fits, or there is none that may be seen. Of one that does not fit the lines that do.
fn add_body(out: &mut Vec<u8>, block: &Block<'_>, is_cut: bool) -> bool {
    let Some(mut lines) = public_lines(block, is_cut) else { return true };
    let is_open = block.end == End::Open;
    let all = lines.all(|(line, has_end)| {
        // A line that the end of what was read cuts off has no line end.
        add(out, &[line, if has_end || !is_open { b"\n" } else { b"" }])
    });
    // The end is not copied, it is written.
    all && (is_open || add(out, &[END, block.label, DASHES, b"\n"]))
}

/// The lines of a body that is public. What has no end may go on with anything, unless the end may be there, behind
/// what was read.
fn public_lines<'a>(
    block: &Block<'a>,
    is_cut: bool,
) -> Option<impl Iterator<Item = (&'a [u8], bool)>> {
    let is_whole = block.end == End::Whole || block.end == End::Open && is_cut;
    if !is_whole || !PUBLIC.contains(&block.label) {
        return None;
    }
    let lines = pem::body_lines(block.body);
    let (mut width, mut is_last) = (None, false);
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    // All are of one length, but the last.
    let fits = lines.clone().all(|(line, _)| {
        let most = *width.get_or_insert(line.len());
        let fits = !is_last && (1..=LINE_BYTES.min(most)).contains(&line.len());
        is_last = line.len() < most || line.contains(&b'=');
        fits && line.iter().all(base64)
    });
    (fits && width.is_some()).then_some(lines)
}

/// The length of the certificate that this begins with. What stands behind it may be its key.
fn der_certificate(head: &[u8]) -> Option<usize> {
    let (outer, length) = sequence(head)?;
    let (inner, _) = sequence(outer)?;
    (inner.first() == Some(&0xa0)).then_some(head.len() - outer.len() + length)
}

/// Whether it is a SEQUENCE that says how short it is, and is.
fn is_der(head: &[u8]) -> bool {
    match head {
        [0x30, length @ ..=0x7f, rest @ ..] => rest.len() == usize::from(*length),
        _ => sequence(head).is_some_and(|(rest, length)| rest.len() == length),
    }
}

/// What is inside a SEQUENCE that is as long as a certificate may be, and how long it says it is.
fn sequence(der: &[u8]) -> Option<(&[u8], usize)> {
    match der {
        [0x30, 0x82, high, low, rest @ ..] => {
            Some((rest, usize::from(*high) << 8 | usize::from(*low)))
        }
        [0x30, 0x81, length, rest @ ..] => Some((rest, usize::from(*length))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    const CERT: &str = "-----BEGIN CERTIFICATE-----\ncHVibGlj\n-----END CERTIFICATE-----\n";

    fn seen(head: &str) -> String {
        String::from_utf8(public_prefix(head.as_bytes(), false)).unwrap()
    }

    #[test]
    fn private_bodies_and_everything_around_blocks_stay_out() {
        assert_eq!(seen(KEY), "-----BEGIN PRIVATE KEY-----\n");
        assert_eq!(seen(CERT), CERT);
        assert_eq!(
            seen(&format!("secret\n{CERT}secret\n{KEY}{CERT}secret")),
            format!("{CERT}-----BEGIN PRIVATE KEY-----\n{CERT}")
        );
        assert_eq!(
            seen("\u{feff}-----BEGIN EC PRIVATE KEY-----\r\nx\r\n"),
            "-----BEGIN EC PRIVATE KEY-----\n"
        );
        assert_eq!(
            seen("a: s3cret -----BEGIN CERTIFICATE----- s3cret\n"),
            "",
            "a line that only quotes it"
        );
    }

    #[test]
    fn a_public_block_ends_where_it_is_none_any_more() {
        let begin = "-----BEGIN CERTIFICATE-----\n";
        let long = "A".repeat(LINE_BYTES + 1);
        for behind in [
            "QUJD\npassword: hunter2\nQUJD\n-----END CERTIFICATE-----\n",
            "QUJD\n\nhunter2hunter2\n-----END CERTIFICATE-----\n",
            "QUJD\nQU==\nhunter2hunter2\n-----END CERTIFICATE-----\n",
            "QUJD\nQU==\nhunt\n-----END CERTIFICATE-----\n",
            "QUJDQUJD\nQUJD\nhunt\n-----END CERTIFICATE-----\n",
            "QUJD\nhunter2\n",
            "QUJD\nQUJD",
            "QUJD\n-----END PRIVATE KEY-----\n",
            &format!("{long}\n-----END CERTIFICATE-----\n"),
            "",
        ] {
            assert_eq!(seen(&format!("{begin}{behind}")), begin, "{behind}");
        }
        assert_eq!(
            seen(&format!("{begin}QUJD\n{KEY}")),
            format!("{begin}-----BEGIN PRIVATE KEY-----\n")
        );
        // The end is not copied, it is written.
        let secret = CERT.replace("-----\n", "----- s3cret\n");
        assert_eq!(seen(&secret), CERT);
        let windows = CERT.replace('\n', "\r\n");
        assert_eq!(seen(&windows).replace('\r', ""), CERT);
    }

    #[test]
    fn der_and_the_rest() {
        // 0x300 bytes behind the four of the outer header.
        let certificate =
            [&[0x30, 0x82, 3, 0, 0x30, 0x82, 2, 0, 0xa0][..], &[7; 0x300 - 5]].concat();
        assert_eq!(public_prefix(&certificate, false), certificate);
        let with_key = [&certificate[..], b"\x30\x82secret"].concat();
        assert_eq!(public_prefix(&with_key, false), certificate);
        let key = [&[0x30, 0x82, 3, 0, 2, 1, 0, 0x30][..], &[7; 700]].concat();
        assert_eq!(public_prefix(&key, false).len(), DER_BYTES);
        assert_eq!(public_prefix(&[1; 500], false).len(), OTHER_BYTES);
        assert_eq!(
            public_prefix(b"\xfe\xed\xfe\xed\0\0\0\x02", false),
            b"\xfe\xed\xfe\xed\0\0\0\x02"
        );
        assert_eq!(public_prefix(b"", false), b"");
    }

    #[test]
    fn of_a_block_that_is_cut_off_the_whole_lines() {
        let line = "QUJD".repeat(16) + "\n";
        let mut head = b"-----BEGIN CERTIFICATE-----\n".to_vec();
        while head.len() < HEAD_BYTES {
            head.extend_from_slice(line.as_bytes());
        }
        head.truncate(HEAD_BYTES);
        assert_eq!(public_prefix(&head, true), head);
        head.pop();
        assert_eq!(
            public_prefix(&head, false),
            b"-----BEGIN CERTIFICATE-----\n",
            "nothing was cut off"
        );
    }

    #[test]
    fn what_may_be_a_key_is_not_shown_whole() {
        let key = |length: usize| -> Vec<u8> {
            (0..length).map(|at| (at as u8).wrapping_mul(37) ^ 1).collect()
        };
        for length in [5, 8, 16, 24, 32, 48, 64] {
            assert_eq!(public_prefix(&key(length), false).len(), SHORT_BYTES, "{length}");
        }
        assert_eq!(public_prefix(&key(65), false).len(), OTHER_BYTES);
        let mut like_der = key(32);
        like_der[0] = 0x30;
        assert_eq!(public_prefix(&like_der, false).len(), SHORT_BYTES);
        like_der[1] = 30;
        assert_eq!(public_prefix(&like_der, false).len(), DER_BYTES, "so short a SEQUENCE is one");
        let store = [&b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5"[..], &[1; 24]].concat();
        assert_eq!(public_prefix(&store, false), store[..OTHER_BYTES]);
    }

    #[test]
    fn no_encoding_hides_a_text() {
        let wide =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let wide_big =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
        let widest = |text: &str| -> Vec<u8> {
            text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect()
        };
        for text in [
            &b"p\xe4ssw\xf6rt-und-mehr"[..],
            b"\x80 100 f\xfcr alle",
            b"\xf0\xe1\xf2\xef\xec\xf8 \xed\xe0\xf8",
            &wide("hunter2 and more"),
            &wide_big("hunter2 and more"),
            &wide("\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}"),
            &widest("hunter2 and more"),
        ] {
            assert_eq!(public_prefix(text, false), b"", "{}", text.escape_ascii());
        }
    }

    #[test]
    fn of_text_only_its_format() {
        for (text, format) in [
            ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none", "PuTTY-User-Key-F"),
            ("AGE-SECRET-KEY-1QQPQYS", "AGE-SECRET-KEY-1"),
            (
                "# created: 2024-01-01T00:00:00Z\n# public key: age1x\nAGE-SECRET-KEY-1X",
                "# created: ",
            ),
            ("{\"k\":\"GawgguFyGrWKav7AX4VKUg\",\"kty\":\"oct\"}", "{"),
            ("root:$6$salt$hash:19000:0:99999:7:::\n", ""),
            ("alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", ""),
            ("hunter2\n", ""),
            ("0123456789abcdef0123456789abcdef", ""),
            ("\u{feff}s3cret", ""),
            ("pässwört-und-mehr", ""),
            ("fifteen bytes..é", ""),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "ssh-ed25519 "),
        ] {
            assert_eq!(seen(text), format, "{text}");
        }
        assert_eq!(public_prefix(b"\xff\xfes\0e\0c\0r\0e\0t\0", false), b"");
    }

    proptest! {
        /// Whatever stands around it, a private block's body does not pass.
        #[test]
        fn no_private_body_passes(before in "[a-z \n-]{0,40}", label in "(RSA |EC |OPENSSH |ENCRYPTED |)PRIVATE KEY", after in "[a-zA-Z \n-]{0,40}") {
            let file = format!("{before}\n-----BEGIN {label}-----\nS3CR3T/S3CR3T\n-----END {label}-----\n{after}");
            prop_assert!(!seen(&file).contains("S3CR3T"));
        }

        /// A text without a block shows at most the name of a format.
        #[test]
        fn no_text_passes(text in "[ -~\n]{0,80}") {
            prop_assume!(!text.contains("-----BEGIN "));
            let shown = seen(&text);
            let known = FORMATS.iter().any(|format| format.starts_with(shown.as_bytes()));
            prop_assert!(known, "{shown:?}");
        }

        #[test]
        fn what_is_seen_is_not_longer(head in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(public_prefix(&head, false).len() <= head.len().max(OTHER_BYTES) + 1);
        }
    }
}
