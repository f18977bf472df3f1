//! A PEM block of a file.

use serde::{Deserialize, Serialize};

/// Maximum number of blocks that are listed for a file, part of the plugin contract.
pub const MAX_PEM_BLOCKS: usize = 256;

/// A PEM block, without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PemBlock {
    /// Label of its BEGIN line: printable ASCII, at most 128 bytes.
    pub label: String,
    /// Whether it is an encrypted private key. `None`: it is not a private key, or its form does not show that.
    pub encrypted: Option<bool>,
}
