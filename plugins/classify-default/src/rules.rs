//! Classifies a `.pem` file by its first decisive BEGIN line. Uses no bindings, so native tests can run it.

/// Type of a file that the rules recognise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// X.509 certificates.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A container of certificates and keys.
    Keystore,
}

/// Result of the rules for names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByName {
    /// The name decides.
    Is(Kind),
    /// The content decides.
    LookInside,
    /// The name has no documented type, or is not in the interest.
    NoOpinion,
}

/// Bytes of the first read: enough for the text that `openssl x509 -text` writes before the certificate.
pub const HEAD_BYTES: u32 = 8 * 1024;
/// Bytes of the second read, when the first one did not decide: the maximum of the contract.
pub const MOST_HEAD_BYTES: u32 = 64 * 1024;

/// The first block that is a certificate or a private key decides; blocks of other types before it do not.
pub fn by_head(head: &[u8]) -> Option<Kind> {
    labels(head).find_map(kind_of)
}

/// Labels of the blocks that begin in a head, in order. The host has removed lines that only look like a block: comments,
/// and sentences that quote one.
pub fn labels(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|&byte| byte == b'\n' || byte == b'\r').filter_map(label)
}

/// Label of a certificate's file that also contains a private key, as HAProxy requires it.
pub const HOLDS_KEY: &str = "contains_private_key";

/// Whether any BEGIN line is that of a private key. Considers the same lines as [`by_head`].
pub fn holds_private_key(head: &[u8]) -> bool {
    labels(head).any(|label| kind_of(label) == Some(Kind::PrivateKey))
}

/// The label of a line that begins a PEM block.
fn label(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii();
    line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")
}

/// Type of a block with this label.
pub fn kind_of(label: &[u8]) -> Option<Kind> {
    let has = |words: &[u8]| label.windows(words.len()).any(|window| window == words);
    if has(b"PRIVATE KEY") {
        return Some(Kind::PrivateKey);
    }
    (has(b"CERTIFICATE") && !has(b"REQUEST")).then_some(Kind::Certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_determine_the_type() {
        for (label, kind) in [
            ("CERTIFICATE", Some(Kind::Certificate)),
            ("TRUSTED CERTIFICATE", Some(Kind::Certificate)),
            ("X509 CERTIFICATE", Some(Kind::Certificate)),
            ("ATTRIBUTE CERTIFICATE", Some(Kind::Certificate)),
            ("CERTIFICATE CHAIN", Some(Kind::Certificate)),
            ("X9.42 DH PARAMETERS", None),
            ("OpenVPN Static key V1", None),
            ("certificate", None),
            ("ENCRYPTED SIGSTORE PRIVATE KEY", Some(Kind::PrivateKey)),
            ("CERTIFICATE REQUEST", None),
            ("NEW CERTIFICATE REQUEST", None),
            ("PRIVATE KEY", Some(Kind::PrivateKey)),
            ("RSA PRIVATE KEY", Some(Kind::PrivateKey)),
            ("EC PRIVATE KEY", Some(Kind::PrivateKey)),
            ("DSA PRIVATE KEY", Some(Kind::PrivateKey)),
            ("ENCRYPTED PRIVATE KEY", Some(Kind::PrivateKey)),
            ("OPENSSH PRIVATE KEY", Some(Kind::PrivateKey)),
            ("PGP PRIVATE KEY BLOCK", Some(Kind::PrivateKey)),
            ("PUBLIC KEY", None),
            ("X509 CRL", None),
            ("EC PARAMETERS", None),
            ("PKCS7", None),
        ] {
            let head = format!("-----BEGIN {label}-----\nMIIB\n-----END {label}-----\n");
            assert_eq!(by_head(head.as_bytes()), kind, "{label}");
        }
    }

    #[test]
    fn text_before_the_block_is_ignored() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMII";
        for before in [
            "",
            "\u{feff}",
            "Certificate:\n    Data:\n        Version: 3 (0x2)\n",
            "# -----BEGIN PRIVATE KEY----- in a comment\n",
            "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n",
            "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\r\n",
            "-----BEGIN CERTIFICATE REQUEST-----\nMII\n-----END CERTIFICATE REQUEST-----\n",
            "\0\u{1}binary\n",
            "  ",
        ] {
            let head = format!("{before}{certificate}");
            assert_eq!(by_head(head.as_bytes()), Some(Kind::Certificate), "{before:?}");
        }
    }

    #[test]
    fn the_first_decisive_block_wins() {
        let key = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n";
        let certificate = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        assert_eq!(by_head(format!("{key}{certificate}").as_bytes()), Some(Kind::PrivateKey));
        assert_eq!(by_head(format!("{certificate}{key}").as_bytes()), Some(Kind::Certificate));
    }

    #[test]
    fn a_key_after_a_certificate_is_found() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        for (rest, found) in [
            ("-----BEGIN PRIVATE KEY-----\n", true),
            ("-----BEGIN RSA PRIVATE KEY-----\r\nMII", true),
            ("-----BEGIN EC PRIVATE KEY-----", true),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", true),
            (
                "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n",
                true,
            ),
            ("-----BEGIN DH PARAMETERS-----\nMII\n-----END DH PARAMETERS-----\n", false),
            ("-----BEGIN PUBLIC KEY-----\n", false),
            ("# -----BEGIN PRIVATE KEY-----\n", false),
            ("; -----BEGIN PRIVATE KEY-----\n", false),
            ("as in -----BEGIN PRIVATE KEY-----\n", false),
            ("-----END PRIVATE KEY-----\n", false),
            ("-----BEGIN PRIVATE KEY", false),
            ("", false),
        ] {
            let head = format!("{certificate}{rest}");
            assert_eq!(by_head(head.as_bytes()), Some(Kind::Certificate), "{rest}");
            assert_eq!(holds_private_key(head.as_bytes()), found, "{rest}");
        }
    }

    #[test]
    fn without_a_begin_line_there_is_no_type() {
        for head in [
            &b""[..],
            b"\n\n",
            b"MIIB",
            b"-----BEGIN CERTIFICATE",
            b"-----END CERTIFICATE-----",
            b"-----BEGIN -----",
            b"BEGIN CERTIFICATE",
            b"\xff\xfe\x00-----BEGIN",
        ] {
            assert_eq!(by_head(head), None, "{head:?}");
        }
    }
}
