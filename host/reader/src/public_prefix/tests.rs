use super::*;
use proptest::prelude::*;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
const CERT: &str = "-----BEGIN CERTIFICATE-----\ncHVibGlj\n-----END CERTIFICATE-----\n";

fn public_text(head: &str) -> String {
    String::from_utf8(public_prefix(head.as_bytes(), false)).unwrap()
}

#[test]
fn private_bodies_and_text_around_blocks_are_removed() {
    assert_eq!(public_text(KEY), "-----BEGIN PRIVATE KEY-----\n");
    assert_eq!(public_text(CERT), CERT);
    assert_eq!(
        public_text(&format!("secret\n{CERT}secret\n{KEY}{CERT}secret")),
        format!("{CERT}-----BEGIN PRIVATE KEY-----\n{CERT}")
    );
    assert_eq!(
        public_text("\u{feff}-----BEGIN EC PRIVATE KEY-----\r\nx\r\n"),
        "-----BEGIN EC PRIVATE KEY-----\n"
    );
    assert_eq!(
        public_text("a: s3cret -----BEGIN CERTIFICATE----- s3cret\n"),
        "",
        "a BEGIN line in prose"
    );
}

#[test]
fn a_malformed_public_block_is_removed() {
    let begin = "-----BEGIN CERTIFICATE-----\n";
    let long = "A".repeat(MAX_LINE + 1);
    for rest in [
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
        assert_eq!(public_text(&format!("{begin}{rest}")), begin, "{rest}");
    }
    assert_eq!(
        public_text(&format!("{begin}QUJD\n{KEY}")),
        format!("{begin}-----BEGIN PRIVATE KEY-----\n")
    );
    // The END line is generated, not copied.
    let secret = CERT.replace("-----\n", "----- s3cret\n");
    assert_eq!(public_text(&secret), CERT);
    let windows = CERT.replace('\n', "\r\n");
    assert_eq!(public_text(&windows).replace('\r', ""), CERT);
}

#[test]
fn der_certificates_pass_and_other_binary_files_are_shortened() {
    // 0x300 bytes after the outer header of four bytes.
    let certificate = [&[0x30, 0x82, 3, 0, 0x30, 0x82, 2, 0, 0xa0][..], &[7; 0x300 - 5]].concat();
    assert_eq!(public_prefix(&certificate, false), certificate);
    let with_key = [&certificate[..], b"\x30\x82secret"].concat();
    assert_eq!(public_prefix(&with_key, false), certificate);
    let key = [&[0x30, 0x82, 3, 0, 2, 1, 0, 0x30][..], &[7; 700]].concat();
    assert_eq!(public_prefix(&key, false).len(), DER_BYTES);
    assert_eq!(public_prefix(&[1; 500], false).len(), OTHER_BYTES);
    assert_eq!(public_prefix(b"\xfe\xed\xfe\xed\0\0\0\x02", false), b"\xfe\xed\xfe\xed\0\0\0\x02");
    assert_eq!(public_prefix(b"", false), b"");
}

#[test]
fn a_public_block_without_an_end_passes_only_if_the_file_is_truncated() {
    let line = "QUJD".repeat(16) + "\n";
    let mut head = b"-----BEGIN CERTIFICATE-----\n".to_vec();
    while head.len() < HEAD_BYTES {
        head.extend_from_slice(line.as_bytes());
    }
    head.truncate(HEAD_BYTES);
    assert_eq!(public_prefix(&head, true), head);
    head.pop();
    assert_eq!(public_prefix(&head, false), b"-----BEGIN CERTIFICATE-----\n", "not truncated");
}

#[test]
fn a_file_that_may_be_a_raw_key_is_shortened() {
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
    assert_eq!(public_prefix(&like_der, false).len(), DER_BYTES, "a short SEQUENCE");
    let store = [&b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5"[..], &[1; 24]].concat();
    assert_eq!(public_prefix(&store, false), store[..OTHER_BYTES]);
}

#[test]
fn text_is_recognised_in_every_encoding() {
    let utf16_le =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let utf16_be =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    let utf32_le =
        |text: &str| -> Vec<u8> { text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect() };
    for text in [
        &b"p\xe4ssw\xf6rt-und-mehr"[..],
        b"\x80 100 f\xfcr alle",
        b"\xf0\xe1\xf2\xef\xec\xf8 \xed\xe0\xf8",
        &utf16_le("hunter2 and more"),
        &utf16_be("hunter2 and more"),
        &utf16_le("\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}"),
        &utf32_le("hunter2 and more"),
    ] {
        assert_eq!(public_prefix(text, false), b"", "{}", text.escape_ascii());
    }
}

#[test]
fn only_the_format_marker_of_a_text_passes() {
    for (text, format) in [
        ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none", "PuTTY-User-Key-F"),
        ("AGE-SECRET-KEY-1QQPQYS", "AGE-SECRET-KEY-1"),
        ("# created: 2024-01-01T00:00:00Z\n# public key: age1x\nAGE-SECRET-KEY-1X", "# created: "),
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
        assert_eq!(public_text(text), format, "{text}");
    }
    assert_eq!(public_prefix(b"\xff\xfes\0e\0c\0r\0e\0t\0", false), b"");
}

proptest! {
    /// The body of a private block is removed with any surroundings.
    #[test]
    fn private_bodies_are_removed(before in "[a-z \n-]{0,40}", label in "(RSA |EC |OPENSSH |ENCRYPTED |)PRIVATE KEY", after in "[a-zA-Z \n-]{0,40}") {
        let file = format!("{before}\n-----BEGIN {label}-----\nS3CR3T/S3CR3T\n-----END {label}-----\n{after}");
        prop_assert!(!public_text(&file).contains("S3CR3T"));
    }

    /// Of a text without a block, at most a format marker passes.
    #[test]
    fn at_most_a_format_marker_passes(text in "[ -~\n]{0,80}") {
        prop_assume!(!text.contains("-----BEGIN "));
        let prefix = public_text(&text);
        let is_known = FORMATS.iter().any(|format| format.starts_with(prefix.as_bytes()));
        prop_assert!(is_known, "{prefix:?}");
    }

    #[test]
    fn the_public_prefix_is_not_longer(head in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(public_prefix(&head, false).len() <= head.len().max(OTHER_BYTES) + 1);
    }
}
