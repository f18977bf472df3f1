//! Lists the blocks of a PEM file: their labels, and whether private keys are encrypted. No byte of a body is part of it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::pem::{self, Block, End};
use super::visible::VISIBLE_BYTES;
use crypto_tracer_event::{MAX_PEM_BLOCKS, PemBlock};

/// Maximum number of header lines before a body. OpenSSL writes two.
const MAX_HEADERS: usize = 8;
/// Characters of an OpenSSH key that are decoded: enough for the name of the cipher.
const OPENSSH_CHARS: usize = 64;
/// Start of an OpenSSH key. The length and the name of the cipher follow.
const OPENSSH: &[u8] = b"openssh-key-v1\0";

/// Returns the blocks that begin in the visible part of a file whose first bytes are `content`, up to
/// [`MAX_PEM_BLOCKS`].
pub(super) fn list(content: &[u8]) -> Vec<PemBlock> {
    let blocks = pem::blocks(content);
    if !pem::begins_early(&blocks) {
        return Vec::new();
    }
    let visible = blocks.iter().take_while(|block| block.start < VISIBLE_BYTES);
    visible.take(MAX_PEM_BLOCKS).map(listed).collect()
}

fn listed(block: &Block<'_>) -> PemBlock {
    // Labels are printable ASCII.
    let label = String::from_utf8_lossy(block.label).into_owned();
    PemBlock { encrypted: is_encrypted(block), label }
}

/// Whether a private key is encrypted. `None`: this is not a private key, or neither its label nor its header shows that.
fn is_encrypted(block: &Block<'_>) -> Option<bool> {
    let label = block.label.strip_suffix(b"PRIVATE KEY")?;
    match label {
        // PKCS#8.
        b"" => Some(false),
        b"OPENSSH " => is_openssh_encrypted(block.body),
        _ if label.starts_with(b"ENCRYPTED ") => Some(true),
        _ => match header(block) {
            Header::Encrypted => Some(true),
            // In these forms, only the header says so.
            Header::None if [&b"RSA "[..], b"EC ", b"DSA "].contains(&label) => Some(false),
            Header::None | Header::Unknown => None,
        },
    }
}

enum Header {
    /// `Proc-Type: 4,ENCRYPTED`, as in RFC 1421.
    Encrypted,
    /// The body begins without such a line.
    None,
    /// There is no body.
    Unknown,
}

fn header(block: &Block<'_>) -> Header {
    // A last line without its line break may be the beginning of a header.
    let is_complete = |has_break: bool| has_break || block.end != End::Open;
    for (line, has_break) in pem::body_lines(block.body).take(MAX_HEADERS) {
        if let Some(value) = line.strip_prefix(b"Proc-Type:") {
            let value = value.trim_ascii();
            return if value == b"4,ENCRYPTED" { Header::Encrypted } else { Header::Unknown };
        }
        if !line.is_empty() && !line.contains(&b':') {
            return if is_complete(has_break) { Header::None } else { Header::Unknown };
        }
    }
    Header::Unknown
}

/// The cipher of an OpenSSH key is the first thing in its body, before the keys.
fn is_openssh_encrypted(body: &[u8]) -> Option<bool> {
    let characters = pem::body_lines(body).flat_map(|(line, _)| line).take(OPENSSH_CHARS);
    let mut characters: Vec<u8> = characters.copied().collect();
    characters.truncate(characters.len() / 4 * 4);
    let decoded = BASE64_STANDARD.decode(characters).ok()?;
    let (len, rest) = decoded.strip_prefix(OPENSSH)?.split_first_chunk::<4>()?;
    let cipher = rest.get(..usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    let is_name = !cipher.is_empty() && cipher.iter().all(u8::is_ascii_graphic);
    is_name.then_some(cipher != b"none")
}

#[cfg(test)]
mod tests;
