use super::*;
use proptest::prelude::*;

/// Keys that ssh-keygen wrote without and with a passphrase: their first lines.
const OPENSSH_NONE: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW";
const OPENSSH_AES: &str = "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDrH0nb6y";

fn block(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn listed(text: &str) -> Vec<(String, Option<bool>)> {
    list(text.as_bytes()).into_iter().map(|block| (block.label, block.encrypted)).collect()
}

fn encrypted(label: &str, body: &str) -> Option<bool> {
    let listed = listed(&block(label, body));
    let [(found, encrypted)] = &listed[..] else { panic!("{label}: {listed:?}") };
    assert_eq!(found, label);
    *encrypted
}

#[test]
fn labels_and_headers_tell_whether_a_key_is_encrypted() {
    let proc_type = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A1B\n\nMIIE";
    for (label, body, expected) in [
        ("PRIVATE KEY", "MIIE", Some(false)),
        ("PRIVATE KEY", "", Some(false)),
        ("ENCRYPTED PRIVATE KEY", "MIIE", Some(true)),
        ("ENCRYPTED SIGSTORE PRIVATE KEY", "MIIE", Some(true)),
        ("RSA PRIVATE KEY", "MIIE", Some(false)),
        ("RSA PRIVATE KEY", proc_type, Some(true)),
        ("EC PRIVATE KEY", proc_type, Some(true)),
        ("EC PRIVATE KEY", "MHcC", Some(false)),
        ("DSA PRIVATE KEY", "Proc-Type:4,ENCRYPTED\nMIIE", Some(true)),
        ("RSA PRIVATE KEY", "Proc-Type: 4,MIC-ONLY\nMIIE", None),
        ("RSA PRIVATE KEY", "X: y\nProc-Type: 4,ENCRYPTED\nMIIE", Some(true)),
        ("RSA PRIVATE KEY", "", None),
        ("ANY PRIVATE KEY", "MIIE", None),
        ("ANY PRIVATE KEY", proc_type, Some(true)),
        ("TSS2 PRIVATE KEY", "MIIE", None),
        ("OPENSSH PRIVATE KEY", OPENSSH_NONE, Some(false)),
        ("OPENSSH PRIVATE KEY", OPENSSH_AES, Some(true)),
        ("OPENSSH PRIVATE KEY", "b3Bl", None),
        ("OPENSSH PRIVATE KEY", "?", None),
        ("OPENSSH PRIVATE KEY", "", None),
        ("PGP PRIVATE KEY BLOCK", "lQVY", None),
        ("CERTIFICATE", "MIIB", None),
        ("CERTIFICATE", proc_type, None),
        ("ENCRYPTED MESSAGE", "MIIB", None),
    ] {
        assert_eq!(encrypted(label, body), expected, "{label}: {body}");
    }
}

#[test]
fn the_cipher_of_an_openssh_key_is_total() {
    let with_cipher = |len: u32, cipher: &[u8]| {
        let key = [OPENSSH, &len.to_be_bytes(), cipher, &[0; 40]].concat();
        encrypted("OPENSSH PRIVATE KEY", &BASE64_STANDARD.encode(key))
    };
    assert_eq!(with_cipher(4, b"none"), Some(false));
    assert_eq!(with_cipher(5, b"none2"), Some(true));
    assert_eq!(with_cipher(17, b"aes256-gcm@op.com"), Some(true));
    assert_eq!(with_cipher(0, b"none"), None);
    assert_eq!(with_cipher(u32::MAX, b"none"), None);
    assert_eq!(with_cipher(4, b"no\0e"), None);
}

#[test]
fn blocks_have_the_order_of_the_file_and_a_limit() {
    let text = [block("CERTIFICATE", "MIIB"), block("PRIVATE KEY", "MIIE")].concat();
    let expected = [("CERTIFICATE".to_owned(), None), ("PRIVATE KEY".to_owned(), Some(false))];
    assert_eq!(listed(&text), expected);
    assert_eq!(listed(&text.replace('\n', "\r\n")), expected);
    assert_eq!(listed(&format!("{{\"key\": \"{}\"}}", text.replace('\n', "\\n"))), expected);
    assert_eq!(listed(&block("X", "").repeat(1000)).len(), MAX_PEM_BLOCKS);
    assert_eq!(listed("# -----BEGIN PRIVATE KEY-----\n"), []);
    let late = [" \n".repeat(VISIBLE_BYTES / 2), block("PRIVATE KEY", "MIIE")].concat();
    assert_eq!(listed(&late), [], "a file without a block in its first 64 KiB");
    let first = [block("X", ""), " \n".repeat(VISIBLE_BYTES / 2), block("Y", "")].concat();
    assert_eq!(listed(&first), [("X".to_owned(), None)]);
}

/// The last line of a part of a file may be the beginning of a header.
#[test]
fn an_incomplete_header_tells_nothing() {
    let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Ty";
    assert_eq!(listed(text), [("RSA PRIVATE KEY".to_owned(), None)]);
    let text = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nMII";
    assert_eq!(listed(text), [("RSA PRIVATE KEY".to_owned(), Some(false))]);
}

proptest! {
    /// Bodies never become labels, whatever surrounds them.
    #[test]
    fn no_body_is_listed(
        label in prop_oneof!["[A-Z]{0,6} ?PRIVATE KEY", "OPENSSH PRIVATE KEY", "CERTIFICATE"],
        body in "(S3CR3T[A-Za-z0-9+/=: \n]{0,40}){1,4}",
    ) {
        for found in list(block(&label, &body).as_bytes()) {
            prop_assert!(!found.label.contains("S3CR3T"), "{}", found.label);
        }
    }

    #[test]
    fn any_bytes_are_listed(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = [b"-----BEGIN OPENSSH PRIVATE KEY-----\n", &bytes[..]].concat();
        prop_assert!(list(&text).len() <= MAX_PEM_BLOCKS);
    }
}
