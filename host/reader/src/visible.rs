//! Selects all of a file that plugins may see. The rules are those of [`public_prefix`](super::public_prefix), without
//! its limit, and with containers of certificates.
//!
//! - PEM: all BEGIN lines and public blocks, and PKCS#7 that only holds certificates.
//! - DER: certificates that follow one another, and PKCS#7 that only holds certificates.
//! - Java keystores: their certificates, as DER that follow one another.
//! - Other files: as in the head.

mod jks;
mod pkcs7;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::cost;
use super::head::{self, HeadContext, Part, read_up_to};
use super::pem::{self, BEGIN, Block, DASHES, END, End};
use super::protocol::{TimedHead, Wanted};
use super::public_prefix::{base64_lines, der_certificate, public_lines, public_prefix};

/// Maximum size of the visible part in bytes, part of the plugin contract.
pub(super) const VISIBLE_BYTES: usize = 1 << 20;
/// Bytes read of a file, so that a BEGIN line that starts within the visible part is complete.
pub(super) const READ_BYTES: usize = VISIBLE_BYTES + pem::MAX_LINE;

/// Labels of PKCS#7 blocks.
const PKCS7_LABELS: [&[u8]; 3] = [b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS"];

/// Reads the visible part of one file, and returns what that cost.
pub(super) fn read_timed(wanted: &Wanted, context: &HeadContext) -> TimedHead {
    let (response, took) = cost::of(|| {
        head::read_part(wanted, context, |file| {
            let mut content = Vec::new();
            let is_truncated = read_up_to(file, READ_BYTES, &mut content)?;
            Ok(Part { bytes: visible(&content, is_truncated), ..Part::default() })
        })
    });
    TimedHead { response: Some(response), took }
}

/// Returns the visible part of `content`, the first bytes of a file: at most [`VISIBLE_BYTES`]. `is_truncated`: the file
/// has more bytes.
pub(super) fn visible(content: &[u8], is_truncated: bool) -> Vec<u8> {
    let blocks = pem::blocks(content);
    if pem::begins_early(&blocks) {
        return visible_blocks(&blocks, is_truncated);
    }
    let content_visible = content.get(..VISIBLE_BYTES).unwrap_or(content);
    if let Some(certificates) = jks::certificates(content_visible) {
        return certificates;
    }
    let len = pkcs7::certificates_only(content_visible)
        .unwrap_or_else(|| der_certificates(content_visible));
    match content_visible.get(..len) {
        Some(found) if len > 0 => found.to_vec(),
        _ => public_prefix(content, is_truncated),
    }
}

/// Length of the complete certificates at the start of `content`, which follow one another.
fn der_certificates(content: &[u8]) -> usize {
    let mut len = 0;
    while let Some(rest) = content.get(len..)
        && let Some(next) = der_certificate(rest).filter(|next| *next <= rest.len())
    {
        len += next;
    }
    len
}

fn visible_blocks(blocks: &[Block<'_>], is_truncated: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for block in blocks {
        let is_whole = add_line(&mut out, &[BEGIN, block.label, DASHES]);
        if !is_whole || !add_body(&mut out, block, is_truncated) {
            break;
        }
    }
    out
}

/// Appends the body of a block, if it is public. Returns false if it does not fit.
fn add_body(out: &mut Vec<u8>, block: &Block<'_>, is_truncated: bool) -> bool {
    if let Some(mut lines) = public_lines(block, is_truncated) {
        // The last line of a truncated file is incomplete.
        return lines.all(|(line, has_break)| {
            if has_break || block.end != End::Open {
                add_line(out, &[line])
            } else {
                add(out, &[line])
            }
        }) && (block.end == End::Open || add_line(out, &[END, block.label, DASHES]));
    }
    match base64_lines(block) {
        Some(mut lines) if is_pkcs7_of_certificates(block) => {
            lines.all(|(line, _)| add_line(out, &[line]))
                && add_line(out, &[END, block.label, DASHES])
        }
        _ => true,
    }
}

fn is_pkcs7_of_certificates(block: &Block<'_>) -> bool {
    let is_pkcs7 = block.end == End::Whole && PKCS7_LABELS.contains(&block.label);
    let decoded = is_pkcs7.then(|| {
        let lines: Vec<&[u8]> = pem::body_lines(block.body).map(|(line, _)| line).collect();
        BASE64_STANDARD.decode(lines.concat()).ok()
    });
    decoded.flatten().is_some_and(|der| pkcs7::certificates_only(&der) == Some(der.len()))
}

fn add_line(out: &mut Vec<u8>, parts: &[&[u8]]) -> bool {
    add(out, &[parts, &[b"\n"]].concat())
}

/// Appends `parts` if all of them fit. Returns whether they did.
fn add(out: &mut Vec<u8>, parts: &[&[u8]]) -> bool {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let fits = out.len() + len <= VISIBLE_BYTES;
    if fits {
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }
    fits
}

#[cfg(test)]
mod tests;
