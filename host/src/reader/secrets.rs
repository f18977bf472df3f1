//! What of a file's beginning a plugin may see. An allow-list: what is not known to be public does not pass.
//!
//! - Of PEM: the lines that begin a block, and the blocks that are public (certificates, requests, revocation lists,
//!   public keys) whole. Nothing that stands around the blocks.
//! - Of DER: a certificate (SEQUENCE, SEQUENCE, `[0]`) to its end, else [`DER_BYTES`].
//! - Of other text: the word that tells its format, if it is one of [`FORMATS`]. A password may be all of a file.
//! - Of anything else: [`OTHER_BYTES`].

/// Enough to tell what a DER structure is; a key's numbers come later.
const DER_BYTES: usize = 7;
/// Enough for magic numbers.
const OTHER_BYTES: usize = 16;

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

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

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

/// The part of `head`, a file's first bytes, that may be seen.
pub(super) fn visible(head: &[u8]) -> Vec<u8> {
    if head.split(|&byte| byte == b'\n').any(|line| begin(line).is_some()) {
        return pem(head);
    }
    let most = match head {
        _ if is_text(head) => format(head),
        [0x30, ..] => der_certificate(head).unwrap_or(DER_BYTES),
        _ => OTHER_BYTES,
    };
    head.split_at(most.min(head.len())).0.to_vec()
}

/// Whether a reader of text would get along with what might be seen of it.
fn is_text(head: &[u8]) -> bool {
    let (begin, _) = head.split_at(head.len().min(OTHER_BYTES));
    let utf16 = begin.starts_with(b"\xff\xfe") || begin.starts_with(b"\xfe\xff");
    let control = |&byte: &u8| byte < b' ' && !byte.is_ascii_whitespace() || byte == 0x7f;
    let utf8 = match std::str::from_utf8(begin) {
        Ok(_) => true,
        // A character that goes on behind.
        Err(error) => error.error_len().is_none(),
    };
    utf16 || utf8 && !begin.iter().any(control)
}

/// How much of a text tells its format.
fn format(head: &[u8]) -> usize {
    let known = FORMATS.iter().filter(|format| head.starts_with(format));
    known.map(|format| format.len().min(OTHER_BYTES)).max().unwrap_or(0)
}

fn pem(head: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut body_is_public = false;
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        if let Some(label) = begin(line) {
            for part in [BEGIN, label, DASHES, b"\n"] {
                out.extend_from_slice(part);
            }
            body_is_public = PUBLIC.contains(&label);
        } else if body_is_public {
            let text = line.trim_ascii();
            if text.starts_with(END) {
                body_is_public = false;
                out.extend_from_slice(line);
            } else if text.iter().all(|&b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)) {
                out.extend_from_slice(line);
            } else {
                body_is_public = false;
            }
        }
    }
    out
}

/// The label of a line that begins a block. What stands before it on the line (a byte order mark, text) does not
/// matter, and is not part of the answer.
fn begin(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(BEGIN.len()).position(|window| window == BEGIN)?;
    let rest = line.get(at + BEGIN.len()..)?;
    let end = rest.windows(DASHES.len()).position(|window| window == DASHES)?;
    let label = rest.get(..end)?;
    let is_label = |&b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ';
    (!label.is_empty() && label.len() <= 64 && label.iter().all(is_label)).then_some(label)
}

/// The length of the certificate that this begins with. What stands behind it may be its key.
fn der_certificate(head: &[u8]) -> Option<usize> {
    let (outer, length) = sequence(head)?;
    let (inner, _) = sequence(outer)?;
    (inner.first() == Some(&0xa0)).then_some(head.len() - outer.len() + length)
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
        String::from_utf8(visible(head.as_bytes())).unwrap()
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
            "-----BEGIN CERTIFICATE-----\n"
        );
    }

    #[test]
    fn a_public_block_ends_where_it_is_none_any_more() {
        let odd = "-----BEGIN CERTIFICATE-----\nQUJD\npassword: hunter2\nQUJD\n";
        assert_eq!(seen(odd), "-----BEGIN CERTIFICATE-----\nQUJD\n");
        let unfinished = format!("-----BEGIN CERTIFICATE-----\nQUJD\n{KEY}");
        assert_eq!(
            seen(&unfinished),
            "-----BEGIN CERTIFICATE-----\nQUJD\n-----BEGIN PRIVATE KEY-----\n"
        );
    }

    #[test]
    fn der_and_the_rest() {
        // 0x300 bytes behind the four of the outer header.
        let certificate =
            [&[0x30, 0x82, 3, 0, 0x30, 0x82, 2, 0, 0xa0][..], &[7; 0x300 - 5]].concat();
        assert_eq!(visible(&certificate), certificate);
        let with_key = [&certificate[..], b"\x30\x82secret"].concat();
        assert_eq!(visible(&with_key), certificate);
        let key = [&[0x30, 0x82, 3, 0, 2, 1, 0, 0x30][..], &[7; 700]].concat();
        assert_eq!(visible(&key).len(), DER_BYTES);
        assert_eq!(visible(&[0xfe; 500]).len(), OTHER_BYTES);
        assert_eq!(visible(b"\xfe\xed\xfe\xed\0\0\0\x02"), b"\xfe\xed\xfe\xed\0\0\0\x02");
        assert_eq!(visible(b""), b"");
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
        assert_eq!(visible(b"\xff\xfes\0e\0c\0r\0e\0t\0"), b"");
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
            prop_assert!(visible(&head).len() <= head.len().max(OTHER_BYTES) + 1);
        }
    }
}
