//! Format of recordings: the records of the kernel and the answers of the reader process, for replay with other plugins.
//!
//! A file begins with [`MAGIC`] and the format version, four bytes, little endian. Frames follow: the length of the body
//! and its CRC-32, four bytes each, then the body, a [`Frame`] in postcard's encoding. A recording is not redacted. Heads
//! contain what plugins may see.

mod older;

use std::io::{self, Read};

use serde::{Deserialize, Deserializer, Serialize};

use crate::enrich::RunningProcess;
use crypto_tracer_event::bounded::{at_most, weighing};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_reader::{ExistingProcess, HeadRequest, HeadResponse};
use older::convert;
pub use older::{HeadResponseV3, HeadResponseV4};

/// First bytes of a recording. The line ends reveal a transfer in text mode.
pub const MAGIC: [u8; 8] = *b"CTREC\r\n\x1a";
/// Format version that this program writes.
pub const VERSION: u32 = 5;
/// Oldest format version that it reads. Later versions only add kinds of frames.
const OLDEST: u32 = 2;
/// Maximum length of a frame's body in bytes: the records of a drain fit.
const MAX_BODY: usize = 64 << 20;
/// Maximum number of records in a frame, or of answers: a run writes those of one batch, 4096, and of a few batches at
/// its end.
const MAX_RECORDS: usize = 1 << 16;
/// Maximum number of causes of losses in a frame: there are about twenty.
const MAX_LOSSES: usize = 256;
/// Maximum number of filter options.
const MAX_OPTIONS: usize = 1 << 16;
/// Maximum number of existing processes and of the files that they map, together.
const MAX_EXISTING: usize = 1 << 20;

/// Maximum number of running processes in a frame: more than the table of ancestors holds.
const MAX_RUNNING: usize = 1 << 16;

/// A part of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// First frame: setup of the run.
    Start(Box<Start>),
    /// The records of one drain, without padding.
    Records {
        /// Offset of the wall clock to the boot clock in nanoseconds.
        wall_offset_ns: i64,
        /// The records.
        #[serde(deserialize_with = "at_most::<_, _, MAX_RECORDS>")]
        records: Vec<Vec<u8>>,
    },
    /// Versions 2 and 3 of [`Frame::Heads`]. [`Frames`] converts it.
    HeadsV3(
        #[serde(deserialize_with = "at_most::<_, _, MAX_RECORDS>")]
        Vec<(HeadRequest, Option<HeadResponseV3>)>,
    ),
    /// Paths of the cgroups of the records that follow, by id.
    Cgroups(#[serde(deserialize_with = "at_most::<_, _, MAX_RECORDS>")] Vec<(u64, Option<String>)>),
    /// Losses that the run reported.
    Lost {
        /// Time of the report in microseconds since 1970.
        at_us: i64,
        /// Cause, count since the last report, and whether the count is exact.
        #[serde(deserialize_with = "at_most::<_, _, MAX_LOSSES>")]
        losses: Vec<(String, u64, bool)>,
    },
    /// Last frame: the run has ended.
    End,
    /// Version 3 of [`Frame::OtherHeads`].
    OtherHeadsV3(
        #[serde(deserialize_with = "at_most::<_, _, MAX_RECORDS>")]
        Vec<(HeadRequest, Option<HeadResponseV3>)>,
    ),
    /// Since version 3: the interest of plugins that a reload has loaded.
    Interest(Box<Interest>),
    /// Version 4 of [`Frame::Heads`].
    HeadsV4(
        #[serde(deserialize_with = "at_most::<_, _, MAX_RECORDS>")]
        Vec<(HeadRequest, Option<HeadResponseV4>)>,
    ),
    /// Version 4 of [`Frame::OtherHeads`].
    OtherHeadsV4(
        #[serde(deserialize_with = "at_most::<_, _, MAX_RECORDS>")]
        Vec<(HeadRequest, Option<HeadResponseV4>)>,
    ),
    /// Since version 5: heads that classifiers requested for the records that follow.
    Heads(
        #[serde(deserialize_with = "at_most::<_, _, MAX_RECORDS>")]
        Vec<(HeadRequest, Option<HeadResponse>)>,
    ),
    /// Since version 5: heads of files that the records that follow open, and that no classifier requested. The head of an
    /// unchanged file is recorded once.
    OtherHeads(
        #[serde(deserialize_with = "at_most::<_, _, MAX_RECORDS>")]
        Vec<(HeadRequest, Option<HeadResponse>)>,
    ),
    /// Since version 5: the processes that ran at the start, for the ancestors of later ones.
    Running(#[serde(deserialize_with = "at_most::<_, _, MAX_RUNNING>")] Vec<RunningProcess>),
}

impl Frame {
    /// Converts frames of older versions.
    fn into_current(self) -> Frame {
        match self {
            Frame::HeadsV3(exchanges) => Frame::Heads(convert(exchanges)),
            Frame::OtherHeadsV3(exchanges) => Frame::OtherHeads(convert(exchanges)),
            Frame::HeadsV4(exchanges) => Frame::Heads(convert(exchanges)),
            Frame::OtherHeadsV4(exchanges) => Frame::OtherHeads(convert(exchanges)),
            frame => frame,
        }
    }
}

/// Setup of a recorded run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Version of the recording program.
    pub program: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Interest of the plugins at the start.
    pub interest: Interest,
    /// Options of the run that filter events before they are recorded.
    #[serde(deserialize_with = "at_most::<_, _, MAX_OPTIONS>")]
    pub filter_options: Vec<String>,
    /// Processes that started before the run.
    #[serde(deserialize_with = "processes")]
    pub processes: Vec<ExistingProcess>,
}

fn processes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ExistingProcess>, D::Error> {
    weighing(from, MAX_EXISTING, |process: &ExistingProcess| 1 + process.mapped.len())
}

/// A recording cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The file is not a recording.
    #[error("not a crypto-tracer recording")]
    Foreign,
    /// The format version is not supported.
    #[error(
        "the recording has format version {0}, but this program reads versions {OLDEST} to {VERSION}: replay it with the \
         crypto-tracer that wrote it"
    )]
    Version(u32),
    /// The file ends before its last frame.
    #[error("the recording is truncated at byte {at}: everything before it was replayed")]
    Truncated {
        /// Offset of the incomplete frame.
        at: u64,
    },
    /// A frame has a wrong checksum or cannot be decoded.
    #[error("the recording is damaged at byte {at}: everything before it was replayed")]
    Damaged {
        /// Offset of the frame.
        at: u64,
    },
    /// The file cannot be read.
    #[error("cannot read the recording")]
    Io(#[from] io::Error),
}

/// Returns the magic bytes and the format version.
pub fn header() -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes()].concat()
}

/// Appends a frame.
///
/// # Errors
/// The frame is too long.
pub fn write(frame: &Frame, out: &mut Vec<u8>) -> io::Result<()> {
    let body = postcard::to_stdvec(frame).map_err(io::Error::other)?;
    let len = u32::try_from(body.len()).map_err(io::Error::other)?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Reads the frames of a recording.
#[derive(Debug)]
pub struct Frames<R> {
    from: R,
    at: u64,
}

impl<R: Read> Frames<R> {
    /// Reads the magic bytes and the format version.
    ///
    /// # Errors
    /// The file is not a recording, or its version is not supported.
    pub fn open(mut from: R) -> Result<Frames<R>, Damage> {
        let mut magic = [0; MAGIC.len()];
        if fill(&mut from, &mut magic)? < magic.len() || magic != MAGIC {
            return Err(Damage::Foreign);
        }
        let mut version = [0; 4];
        if fill(&mut from, &mut version)? < version.len() {
            return Err(Damage::Truncated { at: magic.len() as u64 });
        }
        match u32::from_le_bytes(version) {
            OLDEST..=VERSION => Ok(Frames { from, at: (magic.len() + version.len()) as u64 }),
            other => Err(Damage::Version(other)),
        }
    }

    /// Reads the next frame. The last one is [`Frame::End`].
    ///
    /// # Errors
    /// The file is truncated or damaged, or cannot be read.
    pub fn next_frame(&mut self) -> Result<Frame, Damage> {
        let at = self.at;
        let mut prefix = [0; 8];
        if fill(&mut self.from, &mut prefix)? < prefix.len() {
            return Err(Damage::Truncated { at });
        }
        let [a, b, c, d, rest @ ..] = prefix;
        let (len, checksum) = (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes(rest));
        if len > MAX_BODY {
            return Err(Damage::Damaged { at });
        }
        // The length is untrusted, so the buffer grows with the bytes that are read.
        let mut body = Vec::new();
        self.from.by_ref().take(len as u64).read_to_end(&mut body)?;
        if body.len() < len {
            return Err(Damage::Truncated { at });
        }
        if crc32fast::hash(&body) != checksum {
            return Err(Damage::Damaged { at });
        }
        self.at += (prefix.len() + len) as u64;
        match postcard::take_from_bytes::<Frame>(&body) {
            Ok((frame, [])) => Ok(frame.into_current()),
            Ok(_) | Err(_) => Err(Damage::Damaged { at }),
        }
    }
}

/// Fills `buffer`, or as much of it as the file has. Returns the number of bytes.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
