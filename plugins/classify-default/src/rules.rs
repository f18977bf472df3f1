//! What the content of a `.pem` file tells: the first BEGIN line that says it. No bindings, so testable anywhere.

/// What a file is, where the rules know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// X.509 certificates.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A container of certificates and keys.
    Keystore,
}

/// What the name alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByName {
    /// All there is to know.
    Is(Kind),
    /// The content decides.
    LookInside,
    /// Worth reporting, but of no documented kind; or not asked for at all.
    NoOpinion,
}

/// How much of a file is asked for first, in bytes: room for the text that `openssl x509 -text` puts in front.
pub const HEAD_BYTES: u32 = 8 * 1024;
/// How much is asked for when that did not decide, in bytes: the most there is.
pub const MOST_HEAD_BYTES: u32 = 64 * 1024;

/// The first BEGIN line of a certificate or a private key decides; whatever else stands before it does not.
pub fn by_head(head: &[u8]) -> Option<Kind> {
    head.split(|&byte| byte == b'\n' || byte == b'\r').find_map(|line| kind_of(label(line)?))
}

/// The label of a line that begins a PEM block.
fn label(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii();
    line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")
}

fn kind_of(label: &[u8]) -> Option<Kind> {
    if label.windows(11).any(|words| words == b"PRIVATE KEY") {
        return Some(Kind::PrivateKey);
    }
    // TRUSTED and X509 stand before the word, REQUEST behind it.
    label.ends_with(b"CERTIFICATE").then_some(Kind::Certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_decide() {
        for (label, kind) in [
            ("CERTIFICATE", Some(Kind::Certificate)),
            ("TRUSTED CERTIFICATE", Some(Kind::Certificate)),
            ("X509 CERTIFICATE", Some(Kind::Certificate)),
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
    fn whatever_stands_before() {
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
    fn the_first_one_decides() {
        let key = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n";
        let certificate = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        assert_eq!(by_head(format!("{key}{certificate}").as_bytes()), Some(Kind::PrivateKey));
        assert_eq!(by_head(format!("{certificate}{key}").as_bytes()), Some(Kind::Certificate));
    }

    #[test]
    fn no_begin_line_no_kind() {
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
