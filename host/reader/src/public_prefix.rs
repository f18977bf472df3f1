//! Selects the part of a file's head that plugins may see. This is an allow list: only content that is known to be
//! public passes.
//!
//! - PEM: BEGIN lines, and the complete public blocks (certificates, requests, revocation lists, public keys). Text
//!   around blocks and incomplete blocks are removed. Each line is written with a normalized line break, so that a
//!   plugin finds the same blocks as [`pem`].
//! - DER: a certificate (SEQUENCE, SEQUENCE, `[0]`) without the bytes that follow it, otherwise [`DER_BYTES`].
//! - Other text: the format marker, if it is one of [`FORMATS`]. The whole file may be a password.
//! - Other files: [`OTHER_BYTES`]; for an unknown file that is not longer than a key, [`SHORT_BYTES`].

use super::pem::{self, BEGIN, Block, DASHES, END, End};
use super::protocol::HEAD_BYTES;

/// Bytes of a DER structure, enough to identify its type. The numbers of a key come later.
const DER_BYTES: usize = 7;
/// Bytes of other files, enough for magic numbers.
const OTHER_BYTES: usize = 16;
/// Maximum length of a file that may be a raw key: 512 bits.
const KEY_BYTES: usize = 64;
/// Bytes of a file that may be a raw key.
const SHORT_BYTES: usize = 4;
/// Maximum line length of a PEM body. RFC 7468 specifies 64 and allows parsers to accept others.
const MAX_LINE: usize = 76;

/// Magic numbers of binary files that are not raw keys: keystores of Java, Bouncy Castle and KeePass, and LUKS volumes.
const BINARIES: [&[u8]; 7] = [
    b"\xfe\xed\xfe\xed",
    b"\xce\xce\xce\xce",
    b"\0\0\0\x01\0\0\0\x14",
    b"\0\0\0\x02\0\0\0\x14",
    b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5",
    b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5",
    b"LUKS\xba\xbe",
];

/// Format markers at the start of a text. They reveal nothing else.
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

/// Labels of blocks with a public body.
const PUBLIC_LABELS: [&[u8]; 7] = [
    b"CERTIFICATE",
    b"X509 CERTIFICATE",
    b"TRUSTED CERTIFICATE",
    b"X509 CRL",
    b"CERTIFICATE REQUEST",
    b"NEW CERTIFICATE REQUEST",
    b"PUBLIC KEY",
];

/// Returns the public part of `text`, the first bytes of a file: at most [`HEAD_BYTES`]. `is_truncated`: the file has
/// more bytes.
pub(super) fn public_prefix(text: &[u8], is_truncated: bool) -> Vec<u8> {
    let blocks = pem::blocks(text);
    if pem::begins_early(&blocks) {
        return public_blocks(&blocks, is_truncated);
    }
    let head = text.get(..HEAD_BYTES).unwrap_or(text);
    if let Some(length) = der_certificate(head) {
        return head.split_at(length.min(head.len())).0.to_vec();
    }
    let is_known_binary = BINARIES.iter().any(|magic| head.starts_with(magic));
    let len = match head {
        _ if is_known_binary => OTHER_BYTES,
        _ if is_text(head) => format_len(head),
        [0x30, ..] if head.len() > KEY_BYTES || is_der(head) => DER_BYTES,
        _ if head.len() <= KEY_BYTES => SHORT_BYTES,
        _ => OTHER_BYTES,
    };
    head.split_at(len.min(head.len())).0.to_vec()
}

/// Whether the bytes that would be visible may be text in any common encoding.
fn is_text(head: &[u8]) -> bool {
    let (begin, _) = head.split_at(head.len().min(OTHER_BYTES));
    let has_utf16_mark = begin.starts_with(b"\xff\xfe") || begin.starts_with(b"\xfe\xff");
    // Bytes that are not UTF-8 may be Latin-1 or another 8-bit encoding, so only control characters rule text out.
    has_utf16_mark || !begin.iter().any(is_control) || is_wide(begin)
}

fn is_control(&byte: &u8) -> bool {
    byte < b' ' && !byte.is_ascii_whitespace() || byte == 0x7f
}

/// Whether this may be UTF-16 or UTF-32 without a byte order mark: in each character, all bytes but the low one are
/// zero or the same small value.
fn is_wide(begin: &[u8]) -> bool {
    let has_width = |width: usize, low: usize| {
        let mut high_bytes = begin.chunks_exact(width).map(|bytes| {
            let (before, rest) = bytes.split_at(low);
            let (&low_byte, after) = rest.split_first()?;
            let mut high = before.iter().chain(after);
            let first = *high.next()?;
            let is_same = high.all(|&byte| byte == 0 || byte == first);
            (is_same && first < b' ' && !is_control(&low_byte)).then_some(first)
        });
        let Some(Some(first)) = high_bytes.next() else { return false };
        high_bytes.len() > 0 && high_bytes.all(|high| high == Some(first))
    };
    [(2, 0), (2, 1), (4, 0), (4, 3)].into_iter().any(|(width, low)| has_width(width, low))
}

/// Returns the length of the format marker; 0 for an unknown format.
fn format_len(head: &[u8]) -> usize {
    let known = FORMATS.iter().filter(|format| head.starts_with(format));
    known.map(|format| format.len().min(OTHER_BYTES)).max().unwrap_or(0)
}

/// Returns the public part of a file with blocks. If that is longer than [`HEAD_BYTES`], the bodies before the deciding
/// block are omitted from the first one on, and if necessary also the BEGIN lines.
fn public_blocks(blocks: &[Block<'_>], is_truncated: bool) -> Vec<u8> {
    let (before, rest) = blocks.split_at(pem::deciding(blocks).unwrap_or(0));
    let deciding_len =
        rest.first().map_or(0, |block| begin_len(block) + body_len(block, is_truncated));
    let room = HEAD_BYTES.saturating_sub(deciding_len);
    let begins: usize = before.iter().map(begin_len).sum();
    let bodies: usize = before.iter().map(|block| body_len(block, is_truncated)).sum();
    // Bytes that remain to be omitted.
    let (mut excess, mut excess_begins) =
        ((begins + bodies).saturating_sub(room), begins.saturating_sub(room));
    let mut out = Vec::new();
    for block in before {
        let omits_body = excess > 0;
        excess = excess.saturating_sub(body_len(block, is_truncated));
        if excess_begins > 0 {
            excess_begins = excess_begins.saturating_sub(begin_len(block));
        } else if !(add_begin(&mut out, block)
            && (omits_body || add_body(&mut out, block, is_truncated)))
        {
            return out;
        }
    }
    for block in rest {
        if !(add_begin(&mut out, block) && add_body(&mut out, block, is_truncated)) {
            break;
        }
    }
    out
}

fn begin_len(block: &Block<'_>) -> usize {
    BEGIN.len() + block.label.len() + DASHES.len() + 1
}

/// Length of the public body with its END line; 0 without a public body.
fn body_len(block: &Block<'_>, is_cut: bool) -> usize {
    let lines = public_lines(block, is_cut);
    let len: usize = lines.into_iter().flatten().map(|(line, _)| line.len() + 1).sum();
    len + if len > 0 { END.len() + block.label.len() + DASHES.len() + 1 } else { 0 }
}

/// Appends `parts` if all of them fit. Returns whether they did.
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

/// Appends the public body, if the block has one. Returns false if it does not fit; then the lines that fit are
/// appended.
fn add_body(out: &mut Vec<u8>, block: &Block<'_>, is_truncated: bool) -> bool {
    let Some(mut lines) = public_lines(block, is_truncated) else { return true };
    let is_open = block.end == End::Open;
    let fits = lines.all(|(line, has_break)| {
        // The last line of a truncated file is incomplete, so it gets no line break.
        add(out, &[line, if has_break || !is_open { b"\n" } else { b"" }])
    });
    // The END line is generated, not copied, because text may follow it in the file.
    fits && (is_open || add(out, &[END, block.label, DASHES, b"\n"]))
}

/// Returns the lines of a public body. A block without an END line may continue with anything, so it is public only if
/// the END line may follow after the truncation.
pub(super) fn public_lines<'a>(
    block: &Block<'a>,
    is_truncated: bool,
) -> Option<impl Iterator<Item = (&'a [u8], bool)> + use<'a>> {
    let is_complete = block.end == End::Whole || block.end == End::Open && is_truncated;
    if !is_complete || !PUBLIC_LABELS.contains(&block.label) {
        return None;
    }
    base64_lines(block)
}

/// Returns the lines of a body that is base64 as in PEM.
pub(super) fn base64_lines<'a>(
    block: &Block<'a>,
) -> Option<impl Iterator<Item = (&'a [u8], bool)> + use<'a>> {
    let lines = pem::body_lines(block.body);
    let (mut width, mut is_last) = (None, false);
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    // All lines have the same length, except that the last one may be shorter.
    let is_body = lines.clone().all(|(line, _)| {
        let width = *width.get_or_insert(line.len());
        let is_valid = !is_last && (1..=MAX_LINE.min(width)).contains(&line.len());
        is_last = line.len() < width || line.contains(&b'=');
        is_valid && line.iter().all(is_base64)
    });
    (is_body && width.is_some()).then_some(lines)
}

/// Returns the length of the certificate at the start of `head`. Bytes after it may be its private key.
pub(super) fn der_certificate(head: &[u8]) -> Option<usize> {
    let (outer, length) = sequence(head)?;
    let (inner, _) = sequence(outer)?;
    (inner.first() == Some(&0xa0)).then_some(head.len() - outer.len() + length)
}

/// Whether this is exactly one SEQUENCE, by its length.
fn is_der(head: &[u8]) -> bool {
    match head {
        [0x30, length @ ..=0x7f, rest @ ..] => rest.len() == usize::from(*length),
        _ => sequence(head).is_some_and(|(rest, length)| rest.len() == length),
    }
}

/// Returns the bytes after the header of a SEQUENCE with a length in one or two bytes, and that length.
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
mod tests;
