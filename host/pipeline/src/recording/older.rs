//! Heads in recordings of older versions.

use serde::{Deserialize, Serialize};

use crypto_tracer_reader::{Found, HeadRefusal, HeadRequest, HeadResponse, pem_blocks};

/// Converts requests and their answers.
pub(super) fn convert<A: Into<HeadResponse>>(
    exchanges: Vec<(HeadRequest, Option<A>)>,
) -> Vec<(HeadRequest, Option<HeadResponse>)> {
    exchanges.into_iter().map(|(file, answer)| (file, answer.map(Into::into))).collect()
}

/// A head in versions 2 and 3: always of the file itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadResponseV3 {
    pub(super) head: Result<Vec<u8>, HeadRefusal>,
    pub(super) size: Option<u64>,
}

impl From<HeadResponseV3> for HeadResponse {
    fn from(HeadResponseV3 { head, size }: HeadResponseV3) -> HeadResponse {
        HeadResponseV4 { head, size, found: Found::Same }.into()
    }
}

/// A head in version 4: without metadata, and without the headers of private keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadResponseV4 {
    pub(super) head: Result<Vec<u8>, HeadRefusal>,
    pub(super) size: Option<u64>,
    pub(super) found: Found,
}

impl From<HeadResponseV4> for HeadResponse {
    fn from(HeadResponseV4 { head, size, found }: HeadResponseV4) -> HeadResponse {
        let blocks = head.as_ref().map_or(Vec::new(), |head| pem_blocks(head));
        HeadResponse { head, size, found, stat: None, blocks }
    }
}
