//! Verdicts of the default classifier about file contents, as the reader passes them to plugins.

use base64::{Engine, prelude::BASE64_STANDARD};
use classify_default::rules::{Kind, by_head, labels};
use proptest::prelude::*;
use serde::Deserialize;

use super::super::public_head;
use super::*;

const BODY: &str = "bm8ga2V5IGFuZCBubyBjZXJ0aWZpY2F0ZTogYSBib2R5IHRoYXQgb25seSBsb29r";

fn file_type(content: &[u8]) -> &'static str {
    match by_head(&public_head(content)) {
        Some(Kind::Certificate) => "certificate",
        Some(Kind::PrivateKey) => "private_key",
        Some(Kind::Keystore) => "keystore",
        None => "unknown",
    }
}

fn block(label: &str, lines: usize) -> String {
    let body = format!("{BODY}\n").repeat(lines);
    format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n")
}

fn key() -> String {
    block("PRIVATE KEY", 2)
}

fn certificate() -> String {
    block("CERTIFICATE", 2)
}

fn escaped(text: &str) -> String {
    text.replace('\n', "\\n")
}

/// A revocation list of at least this size.
fn list(bytes: usize) -> String {
    block("X509 CRL", bytes / (BODY.len() + 1) + 1)
}

fn assert_all(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter(|(text, expected)| file_type(text.as_bytes()) != *expected)
        .map(|(text, expected)| {
            let excerpt: String = text.chars().take(200).collect();
            format!("{excerpt:?}: expected {expected}, not {}", file_type(text.as_bytes()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[derive(Deserialize)]
struct PemCase {
    name: String,
    text: Option<String>,
    base64: Option<String>,
    file_type: String,
}

#[test]
fn fixture_cases_have_the_expected_types() {
    let cases = include_str!("../../../../tests/fixtures/cases/pems.json");
    let cases: Vec<PemCase> = serde_json::from_str(cases).unwrap();
    assert!(cases.len() >= 70, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let base64 = |text| BASE64_STANDARD.decode(text).unwrap();
        let content = case.text.map_or_else(|| base64(case.base64.unwrap()), String::into_bytes);
        let found = file_type(&content);
        if found != case.file_type {
            wrong.push((case.name, case.file_type, found));
        }
    }
    assert!(wrong.is_empty(), "name, expected, found: {wrong:?}");
}

#[test]
fn labels_determine_the_type() {
    for (label, expected) in [
        ("RSA PRIVATE KEY", "private_key"),
        ("EC PRIVATE KEY", "private_key"),
        ("ENCRYPTED COSIGN PRIVATE KEY", "private_key"),
        ("NEBULA ED25519 ENCRYPTED PRIVATE KEY", "private_key"),
        ("ML-DSA-44 PRIVATE KEY", "private_key"),
        ("PGP PRIVATE KEY BLOCK", "private_key"),
        ("X.509 CERTIFICATE", "certificate"),
        ("CERTIFICATE CHAIN", "certificate"),
        ("OpenVPN CERTIFICATE (v1)", "certificate"),
        ("PKCS #7 SIGNED DATA", "unknown"),
        ("CMS", "unknown"),
        ("SSH2 PUBLIC KEY", "unknown"),
        ("EC PUBLIC KEY", "unknown"),
        ("X9.42 DH PARAMETERS", "unknown"),
        ("certificate", "unknown"),
        ("private key", "unknown"),
        ("", "unknown"),
    ] {
        assert_eq!(file_type(block(label, 2).as_bytes()), expected, "{label}");
        // The block is found after another one, and on the same line.
        let both = format!("{}{}", block("aAé0 ~!".replace('é', "e").as_str(), 1), block(label, 2));
        assert_eq!(file_type(both.as_bytes()), expected, "{label}");
        assert_eq!(file_type(both.replace('\n', "").as_bytes()), expected, "{label}");
    }
    let long = format!("{} PRIVATE KEY", "X".repeat(MAX_LABEL - " PRIVATE KEY".len()));
    assert_eq!(file_type(block(&long, 1).as_bytes()), "private_key");
    assert_eq!(file_type(block(&format!("X{long}"), 1).as_bytes()), "unknown");
    assert_eq!(file_type("-----BEGIN \u{e9} PRIVATE KEY-----\n".as_bytes()), "unknown");
    assert_eq!(file_type(b"-----BEGIN \x07 PRIVATE KEY-----\n"), "unknown");
}

#[test]
fn a_block_in_a_comment_is_ignored() {
    let commented = |sign: &str, text: &str| -> String {
        text.lines().map(|line| format!("{sign}{line}\n")).collect()
    };
    let (key, certificate) = (key(), certificate());
    for sign in ["#", "# ", ";", "; ", "\t# ", "  ;", "##", "#;", "// ", "\u{feff}# "] {
        for (hidden, shown, expected) in
            [(&key, &certificate, "certificate"), (&certificate, &key, "private_key")]
        {
            let text = format!("{}{shown}", commented(sign, hidden));
            assert_all(&[
                (&text, expected),
                (&commented(sign, hidden), "unknown"),
                (&text.replace('\n', "\r\n"), expected),
                (&text.replace('\n', "\r"), expected),
                (&escaped(&text), expected),
                (&format!("{sign}OLD=\"{}\"\n{shown}", escaped(hidden)), expected),
                (&format!("{sign}{}\n{shown}", escaped(hidden)), expected),
                (&format!("{sign}{}\n{shown}", hidden.replace('\n', "")), expected),
            ]);
        }
    }
    assert_all(&[
        (&format!("# the -----BEGIN CERTIFICATE----- line\n{key}"), "private_key"),
        (&format!("# comment\\n{}", escaped(&key)), "private_key"),
        (&format!("{}# {key}", block("EC PARAMETERS", 1)), "unknown"),
        (&format!("-----BEGIN X509 CRL-----\n# {certificate}"), "unknown"),
        // Two blocks on a comment line.
        (
            &format!("#{}\n{certificate}", escaped(&(block("EC PARAMETERS", 1) + &key))),
            "certificate",
        ),
    ]);
}

#[test]
fn a_begin_line_in_prose_is_not_a_block() {
    for before in [
        "The file begins with -----BEGIN PRIVATE KEY-----",
        "See -----BEGIN PRIVATE KEY----- and what follows",
        "x-----BEGIN PRIVATE KEY-----",
        "Look for \"-----BEGIN PRIVATE KEY-----\" in it",
        "Look for '-----BEGIN PRIVATE KEY-----'.",
        "Look for `-----BEGIN PRIVATE KEY-----`",
        "\"-----BEGIN PRIVATE KEY-----\" begins a key",
        "'-----BEGIN PRIVATE KEY-----', it says",
        "(-----BEGIN PRIVATE KEY-----)",
        "The line (\"-----BEGIN PRIVATE KEY-----\") begins a key",
        "note: -----BEGIN PRIVATE KEY----- is the first line",
        "note: -----BEGIN PRIVATE KEY-----",
        "the first line: \"-----BEGIN PRIVATE KEY-----\"",
        "marker = \"-----BEGIN PRIVATE KEY-----\"",
        "grep -q -- -----BEGIN PRIVATE KEY-----",
        "> -----BEGIN PRIVATE KEY-----",
        "\u{e9} -----BEGIN PRIVATE KEY-----",
        "------BEGIN PRIVATE KEY------",
        "----BEGIN PRIVATE KEY----",
        "-----BEGIN PRIVATE KEY----",
        "-----BEGIN PRIVATE KEY",
        "-----begin PRIVATE KEY-----",
        "-----BEGINPRIVATE KEY-----",
        "---- BEGIN PRIVATE KEY ----",
        "-----END PRIVATE KEY-----",
        "* -----BEGIN PRIVATE KEY-----",
        "{\"note\": \"it says -----BEGIN PRIVATE KEY-----\"}",
    ] {
        let certificate = certificate();
        assert_all(&[
            (before, "unknown"),
            (&format!("{before}\n{certificate}"), "certificate"),
            (&format!("{before}\r{certificate}"), "certificate"),
            (&format!("{before}\r\n{certificate}"), "certificate"),
            (&format!("{before}\\n{}", escaped(&certificate)), "certificate"),
            (&format!("{}{before}\n", block("X509 CRL", 1)), "unknown"),
        ]);
    }
}

#[test]
fn values_in_configuration_files_are_blocks() {
    let key = key();
    let (line, indented) = (escaped(&key), key.replace('\n', "\n    "));
    let double = line.replace("\\n", "\\\\n");
    let windows = key.replace('\n', "\\r\\n");
    let list: String = key.lines().map(|line| format!("  \"{line}\",\n")).collect();
    for text in [
        format!("\"{key}\""),
        format!("'{key}'"),
        format!("\"{line}\""),
        format!("tls.key: |\n    {indented}"),
        format!("key: >-\n\n    {indented}"),
        format!("tls.key: \"{line}\""),
        format!("  - \"{line}\""),
        format!("- key: '{key}'"),
        format!("{{\"private_key\": \"{line}\"}}"),
        format!("{{\"type\":\"service_account\",\"private_key\":\"{windows}\"}}"),
        format!(
            "{{\"a\":\"-----BEGIN X509 CRL-----\\nQQ==\\n-----END X509 CRL-----\\n\",\"b\":\"{line}\"}}"
        ),
        format!("\"{{\\\"key\\\": \\\"{double}\\\"}}\""),
        format!("[\n{list}]\n"),
        format!("TLS_KEY=\"{line}\""),
        format!("export TLS_KEY='{key}'"),
        format!("const key = `{key}`;"),
        format!("KEY=\"\"\"{key}\"\"\""),
        format!("TLS_KEY={line}"),
        format!("TLS_KEY={key}"),
        format!("tls.key: {line}"),
        format!("<key>\n{key}</key>"),
        format!("  <key>{key}</key>"),
        format!("tls: {{ key: \"{line}\" }}"),
        format!("define('KEY', '{line}');"),
    ] {
        assert_all(&[(&text, "private_key")]);
    }
}

#[test]
fn all_line_breaks_and_separators_are_supported() {
    let list = block("X509 CRL", 3);
    for (first, second, expected) in [
        (&list, key(), "private_key"),
        (&list, certificate(), "certificate"),
        (&block("EC PARAMETERS", 1), key(), "private_key"),
        (&block("CERTIFICATE REQUEST", 2), certificate(), "certificate"),
        (&block("CERTIFICATE REQUEST", 2), block("PUBLIC KEY", 1), "unknown"),
    ] {
        let text = format!("{first}{second}");
        for end in
            ["\n", "\r", "\r\n", "\\n", "\\r\\n", "\\r", "", " ", "\\n\n", "\n\n", "\n\r", "\t\n"]
        {
            assert_all(&[(&text.replace('\n', end), expected)]);
        }
        for between in [" ", ",", ", ", "\", \"", ";", "|", "-", "\t", "\\t\\n"] {
            let one = |text: &str| text.replace('\n', "");
            assert_all(&[(&format!("{}{between}{}", one(first), one(&second)), expected)]);
        }
        // A different line break for each block.
        assert_all(&[
            (&format!("{}{}", escaped(first), second), expected),
            (&format!("{}{}", first.replace('\n', "\r"), escaped(&second)), expected),
            (text.trim_end(), expected),
        ]);
    }
}

#[test]
fn blanks_and_control_characters_may_precede_a_block() {
    let key = key();
    for before in [
        "\u{feff}",
        " ",
        "\t",
        "      ",
        "\0",
        "\0\0\0",
        "\u{b}\u{c}",
        "\u{1}\u{2}",
        "\u{a0}",
        "\u{feff} \t",
        "\n\n\n",
        "\u{200b}",
        "\r\r\n",
        "\0\n\0",
        "\u{7f}",
    ] {
        assert_all(&[
            (&format!("{before}{key}"), "private_key"),
            (
                &format!("{}{before}{key}", certificate().replace("CERTIFICATE", "CMS")),
                "private_key",
            ),
            (&format!("{before}{}", key.replace("-----\n", "-----  \t\n")), "private_key"),
        ]);
    }
    let mut binary = vec![0x30, 0x82, 0xff, 0xfe, b'\n'];
    binary.extend_from_slice(key.as_bytes());
    assert_eq!(file_type(&binary), "private_key");
    let wide: Vec<u8> = key.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(file_type(&wide), "unknown", "no program reads PEM in UTF-16");
}

#[test]
fn a_deciding_block_is_found_at_a_large_offset() {
    let text = |bytes: usize| format!("{}\n", "some text ".repeat(7)).repeat(bytes / 71 + 1);
    let (key, certificate) = (key(), certificate());
    let many =
        |label: &str, bytes: usize| block(label, 1).repeat(bytes / block(label, 1).len() + 1);
    for bytes in [7_000, 9_000, 60_000, 66_000, 130_000, 500_000, 1_000_000] {
        assert_all(&[
            (&format!("{}{certificate}", list(bytes)), "certificate"),
            (&format!("{}{key}", list(bytes)), "private_key"),
            (&format!("{}{key}", escaped(&list(bytes))), "private_key"),
            (&format!("{}{key}", list(bytes).replace('\n', "\r\n")), "private_key"),
            (&format!("{}{key}", many("X509 CRL", bytes)), "private_key"),
            (&format!("{}{certificate}", many("EC PARAMETERS", bytes)), "certificate"),
            (&format!("text first\n{}more\n{key}", list(bytes)), "private_key"),
            (&list(bytes), "unknown"),
            // Without a block before it, a block is found in the first 64 KiB only.
            (
                &format!("{}{key}", text(bytes)),
                if bytes < 65_000 { "private_key" } else { "unknown" },
            ),
        ]);
    }
    for bytes in [1_060_000, 2_000_000] {
        assert_all(&[(&format!("{}{key}", list(bytes)), "unknown")]);
    }
    let crowd = "-----BEGIN A-----\n".repeat(50_000);
    assert_all(&[(&format!("{crowd}{key}"), "private_key")]);
}

#[test]
fn a_begin_line_across_a_limit_is_read_completely() {
    for limit in [8 * 1024, HEAD_BYTES, MAX_BYTES] {
        for overlap in [1, 5, 11, 20, 26] {
            let prefix = if limit == MAX_BYTES { list(HEAD_BYTES) } else { String::new() };
            let text = "x".repeat(limit - prefix.len() - overlap - 1);
            assert_all(&[(&format!("{prefix}{text}\n{}", key()), "private_key")]);
        }
        let prefix = if limit == MAX_BYTES { list(HEAD_BYTES) } else { String::new() };
        let text = "x".repeat(limit - prefix.len() - 1);
        let expected = if limit < HEAD_BYTES { "private_key" } else { "unknown" };
        assert_all(&[(&format!("{prefix}{text}\n{}", key()), expected)]);
    }
}

#[test]
fn the_first_bodies_are_omitted_if_not_all_blocks_fit() {
    let first = block("X509 CRL", 300);
    let text = format!("{}{}", first.repeat(5), block("CERTIFICATE", 20));
    let head = String::from_utf8(public_head(text.as_bytes())).unwrap();
    assert!(head.len() <= HEAD_BYTES);
    assert!(head.ends_with(&block("CERTIFICATE", 20)), "the deciding block is complete");
    assert!(head.contains(&first), "a body that fits is kept");
    assert!(head.starts_with("-----BEGIN X509 CRL-----\n-----BEGIN X509 CRL-----\n"));
    assert_eq!(labels(head.as_bytes()).count(), 6);
    // Blocks after the deciding block are included as far as they fit.
    let text = format!("{}{}{}", list(40_000), certificate(), list(40_000));
    let head = public_head(text.as_bytes());
    assert!(head.len() > HEAD_BYTES - 100 && head.len() <= HEAD_BYTES);
}

/// Each file has 256 KiB. An algorithm of quadratic complexity would take minutes.
#[test]
fn hostile_files_take_linear_time() {
    for unit in [
        "-----BEGIN ",
        "-----BEGIN A-----",
        "\"-----BEGIN A-----\",",
        "-----END ",
        "-----END A-----",
        "-",
        " ",
        "\"",
        "\\n",
        "\\",
        "#-----BEGIN A-----\\n",
        "# \\n ",
        "x=\"-----BEGIN A-----\"",
        "\n",
        "\r",
        "{\"a\":\"",
        "-----BEGIN X509 CRL-----\nQQ==\n-----END X509 CRL-----\n",
        "-----BEGIN PUBLIC KEY-----\nQ\n",
        "Q\n",
        "-----BEGIN \u{e9}",
    ] {
        for first in
            ["", "-----BEGIN A-----\n", "-----BEGIN X509 CRL-----\n", "# -----BEGIN A-----\\n", "x"]
        {
            let text = format!("{first}{}", unit.repeat((1 << 18) / unit.len()));
            for text in [text.clone(), format!("{}{}", text, " ".repeat(1 << 16))] {
                assert!(public_head(text.as_bytes()).len() <= HEAD_BYTES);
            }
        }
    }
}

/// Parts of generated files, well-formed and malformed.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("-----BEGIN PRIVATE KEY-----".to_owned()),
        Just("-----BEGIN CERTIFICATE-----".to_owned()),
        Just("-----BEGIN X509 CRL-----".to_owned()),
        Just("-----END PRIVATE KEY-----".to_owned()),
        Just("-----END CERTIFICATE-----".to_owned()),
        Just("-----END X509 CRL-----".to_owned()),
        Just("-----".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\r".to_owned()),
        Just("\\n".to_owned()),
        Just("\"".to_owned()),
        Just("# ".to_owned()),
        Just("key: ".to_owned()),
        Just("S3CR3TS3CR3TS3CR3T".to_owned()),
        Just(BODY.to_owned()),
        "[ -~]{0,12}",
    ]
}

proptest! {
    /// The body of a private block is removed with any surroundings and any line breaks.
    #[test]
    fn private_bodies_are_removed_with_any_line_breaks(
        before in proptest::collection::vec(piece(), 0..6),
        end in "(\n|\r|\r\n|\\\\n|\\\\r\\\\n| |)",
        after in proptest::collection::vec(piece(), 0..6),
    ) {
        let (before, after) = (before.concat().replace("S3CR3T", "x"), after.concat().replace("S3CR3T", "x"));
        let file = format!("{before}{end}-----BEGIN PRIVATE KEY-----{end}S3CR3TS3CR3TS3CR3T{end}-----END PRIVATE KEY-----{end}{after}");
        let head = public_head(file.as_bytes());
        // If the BEGIN line does not count because of the text before it, it may be in the body of a public block. Such
        // a body is not base64 and is removed too.
        prop_assert!(!head.windows(6).any(|window| window == b"S3CR3T"), "{}", head.escape_ascii());
    }

    /// A plugin finds the blocks that the reader found, and the reader does not change its own output.
    #[test]
    fn the_public_head_has_the_same_blocks(pieces in proptest::collection::vec(piece(), 0..24)) {
        let file = pieces.concat();
        let found: Vec<&[u8]> = blocks(file.as_bytes()).iter().map(|block| block.label).collect();
        let head = public_head(file.as_bytes());
        if !found.is_empty() {
            prop_assert_eq!(labels(&head).collect::<Vec<_>>(), found);
            prop_assert_eq!(&public_head(&head), &head);
        }
    }

    #[test]
    fn blocks_of_arbitrary_bytes_are_in_order(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let found = blocks(&bytes);
        prop_assert!(found.is_sorted_by_key(|block| block.start));
    }
}
