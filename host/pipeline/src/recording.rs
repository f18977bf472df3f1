//! Recordings: what the kernel and the reader said in a run, so that it can be sent through other plugins later.
//!
//! A file begins with [`MAGIC`] and the version of the format, four bytes, little endian. Frames follow: the length of
//! the body and its CRC-32, four bytes each, then the body, a [`Frame`] in postcard's encoding. A recording is raw, it
//! holds what redaction would hide; heads are in it as plugins may see them.

use std::io::{self, Read};

use serde::{Deserialize, Deserializer, Serialize};

use crypto_tracer_event::bounded::{at_most, weighing};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_reader::{ExistingProcess, Found, HeadRefusal, HeadRequest, HeadResponse};

/// What a recording begins with. The line ends show a transfer that changed them.
pub const MAGIC: [u8; 8] = *b"CTREC\r\n\x1a";
/// The version of the format that this program writes.
pub const VERSION: u32 = 4;
/// The oldest version that it reads: what came since then is only more kinds of frames.
const OLDEST: u32 = 2;
/// Longest body of a frame in bytes: a drain's records fit.
const MOST_BODY: usize = 64 << 20;
/// Records of one frame, or answers about them: a run writes those of a batch, 4 096, and at its end of a few.
const MOST_RECORDS: usize = 1 << 16;
/// Causes of losses in one frame: there are about twenty.
const MOST_LOSSES: usize = 256;
/// Options that are named.
const MOST_OPTIONS: usize = 1 << 16;
/// Processes that were there before, and the files that they map, together.
const MOST_BEFORE: usize = 1 << 20;

/// A part of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// First: how the run was set up.
    Start(Box<Start>),
    /// The records of one drain, as they are meaningful.
    Records {
        /// What turns their boot clock into wall clock, in nanoseconds.
        wall_offset_ns: i64,
        /// The records.
        #[serde(deserialize_with = "at_most::<_, _, MOST_RECORDS>")]
        records: Vec<Vec<u8>>,
    },
    /// Up to version 3: as [`Frame::Heads`], which is what a reader of recordings gets.
    HeadsUntil3(
        #[serde(deserialize_with = "at_most::<_, _, MOST_RECORDS>")]
        Vec<(HeadRequest, Option<AnswerUntil3>)>,
    ),
    /// Paths of cgroups, by id, that were asked for with the records that follow.
    Cgroups(
        #[serde(deserialize_with = "at_most::<_, _, MOST_RECORDS>")] Vec<(u64, Option<String>)>,
    ),
    /// What the run said of losses at this point.
    Lost {
        /// When, in microseconds since 1970.
        at_us: i64,
        /// Cause, count since the last word, and whether that is exact.
        #[serde(deserialize_with = "at_most::<_, _, MOST_LOSSES>")]
        losses: Vec<(String, u64, bool)>,
    },
    /// Last: the run came to its end.
    End,
    /// In version 3: as [`Frame::OtherHeads`], likewise.
    OtherHeadsIn3(
        #[serde(deserialize_with = "at_most::<_, _, MOST_RECORDS>")]
        Vec<(HeadRequest, Option<AnswerUntil3>)>,
    ),
    /// Since version 3: other plugins run from here on, and this is captured.
    Interest(Box<Interest>),
    /// Since version 4: heads that were asked for with the records that follow.
    Heads(
        #[serde(deserialize_with = "at_most::<_, _, MOST_RECORDS>")]
        Vec<(HeadRequest, Option<HeadResponse>)>,
    ),
    /// Since version 4: heads of files that were opened with the records that follow, that no classifier of the run
    /// asked for. Each file's once, for as long as it is unchanged.
    OtherHeads(
        #[serde(deserialize_with = "at_most::<_, _, MOST_RECORDS>")]
        Vec<(HeadRequest, Option<HeadResponse>)>,
    ),
}

impl Frame {
    /// In today's form.
    fn today(self) -> Frame {
        let answers = |asked: Vec<(HeadRequest, Option<AnswerUntil3>)>| {
            asked.into_iter().map(|(file, answer)| (file, answer.map(HeadResponse::from))).collect()
        };
        match self {
            Frame::HeadsUntil3(asked) => Frame::Heads(answers(asked)),
            Frame::OtherHeadsIn3(asked) => Frame::OtherHeads(answers(asked)),
            frame => frame,
        }
    }
}

/// An answer as recordings up to version 3 have it: of the file itself, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerUntil3 {
    head: Result<Vec<u8>, HeadRefusal>,
    size: Option<u64>,
}

impl From<AnswerUntil3> for HeadResponse {
    fn from(AnswerUntil3 { head, size }: AnswerUntil3) -> HeadResponse {
        HeadResponse { head, size, found: Found::Same }
    }
}

/// How a recorded run was set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Version of the program that recorded.
    pub program: String,
    /// The kernel's release.
    pub kernel: String,
    /// What was captured.
    pub interest: Interest,
    /// Options that left out events before they were recorded, as they were given.
    #[serde(deserialize_with = "at_most::<_, _, MOST_OPTIONS>")]
    pub only: Vec<String>,
    /// Processes that were there before.
    #[serde(deserialize_with = "processes")]
    pub processes: Vec<ExistingProcess>,
}

fn processes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ExistingProcess>, D::Error> {
    weighing(from, MOST_BEFORE, |process: &ExistingProcess| 1 + process.mapped.len())
}

/// Why a recording cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Something else than a recording.
    #[error("this is no recording of crypto-tracer")]
    Foreign,
    /// Of a version that this program does not know.
    #[error(
        "this recording has version {0} of the format, this program reads versions {OLDEST} to {VERSION}: replay it with the \
         crypto-tracer that made it"
    )]
    Version(u32),
    /// It ends in the middle.
    #[error("the recording is cut short at byte {at}: what was before it has been replayed")]
    Short {
        /// Where the frame begins that is not whole.
        at: u64,
    },
    /// A frame is not what was written.
    #[error("the recording is damaged at byte {at}: what was before it has been replayed")]
    Damaged {
        /// Where the frame begins.
        at: u64,
    },
    /// The file cannot be read.
    #[error("cannot read the recording")]
    Io(#[from] io::Error),
}

/// The first bytes of a recording.
pub fn header() -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes()].concat()
}

/// Appends a frame.
pub fn write(frame: &Frame, out: &mut Vec<u8>) -> io::Result<()> {
    let body = postcard::to_stdvec(frame).map_err(io::Error::other)?;
    let len = u32::try_from(body.len()).map_err(io::Error::other)?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Reads frames one after the other.
#[derive(Debug)]
pub struct Frames<R> {
    from: R,
    at: u64,
}

impl<R: Read> Frames<R> {
    /// Reads the beginning.
    pub fn open(mut from: R) -> Result<Frames<R>, Damage> {
        let mut magic = [0; MAGIC.len()];
        if fill(&mut from, &mut magic)? < magic.len() || magic != MAGIC {
            return Err(Damage::Foreign);
        }
        let mut version = [0; 4];
        if fill(&mut from, &mut version)? < version.len() {
            return Err(Damage::Short { at: magic.len() as u64 });
        }
        match u32::from_le_bytes(version) {
            OLDEST..=VERSION => Ok(Frames { from, at: (magic.len() + version.len()) as u64 }),
            other => Err(Damage::Version(other)),
        }
    }

    /// The next frame; None behind [`Frame::End`], which stands last.
    pub fn next_frame(&mut self) -> Result<Frame, Damage> {
        let at = self.at;
        let mut prefix = [0; 8];
        if fill(&mut self.from, &mut prefix)? < prefix.len() {
            return Err(Damage::Short { at });
        }
        let [a, b, c, d, rest @ ..] = prefix;
        let (len, checksum) = (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes(rest));
        if len > MOST_BODY {
            return Err(Damage::Damaged { at });
        }
        // The length is not to be trusted: memory is taken as bytes come.
        let mut body = Vec::new();
        self.from.by_ref().take(len as u64).read_to_end(&mut body)?;
        if body.len() < len {
            return Err(Damage::Short { at });
        }
        if crc32fast::hash(&body) != checksum {
            return Err(Damage::Damaged { at });
        }
        self.at += (prefix.len() + len) as u64;
        match postcard::take_from_bytes::<Frame>(&body) {
            Ok((frame, [])) => Ok(frame.today()),
            Ok(_) | Err(_) => Err(Damage::Damaged { at }),
        }
    }
}

/// Fills `buffer` as far as the file goes.
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
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        let mut start = Start { kernel: "6.18".into(), ..Start::default() };
        start.interest.add_suffix(".pem").unwrap();
        vec![
            Frame::Start(Box::new(start)),
            Frame::Records { wall_offset_ns: -7, records: vec![vec![1, 2, 3], vec![]] },
            Frame::Interest(Box::default()),
            Frame::Heads(vec![(question(), Some(replaced()))]),
            Frame::OtherHeads(Vec::new()),
            Frame::Lost { at_us: 5, losses: vec![("ring_full".into(), 3, true)] },
            Frame::End,
        ]
    }

    fn question() -> HeadRequest {
        HeadRequest {
            pid: 7,
            nameless: false,
            mount_ns: 1,
            root: (2, 3),
            path: b"/a.pem".to_vec(),
            dev: 4,
            inode: 5,
            ctime_ns: 6,
            sb_magic: 7,
        }
    }

    fn replaced() -> HeadResponse {
        HeadResponse { head: Ok(b"x".to_vec()), size: None, found: Found::Replaced }
    }

    /// The numbers of the kinds of frames are part of the format.
    #[test]
    fn answers_of_older_recordings_are_about_the_file_itself() {
        let answer = || AnswerUntil3 { head: Ok(b"x".to_vec()), size: Some(1) };
        let (first, second) = (vec![(question(), Some(answer()))], vec![(question(), None)]);
        let mut bytes = header();
        write(&Frame::HeadsUntil3(first), &mut bytes).unwrap();
        write(&Frame::OtherHeadsIn3(second), &mut bytes).unwrap();
        bytes[MAGIC.len()] = 3;
        assert_eq!(bytes[MAGIC.len() + 4 + 8], 2);
        let answer = HeadResponse { head: Ok(b"x".to_vec()), size: Some(1), found: Found::Same };
        let (found, _) = read(&bytes);
        let right = [
            Frame::Heads(vec![(question(), Some(answer))]),
            Frame::OtherHeads(vec![(question(), None)]),
        ];
        assert_eq!(found, right);
    }

    fn recording() -> Vec<u8> {
        let mut bytes = header();
        frames().iter().for_each(|frame| write(frame, &mut bytes).unwrap());
        bytes
    }

    /// All frames up to the end or the damage.
    fn read(bytes: &[u8]) -> (Vec<Frame>, Option<Damage>) {
        let mut found = Vec::new();
        let mut frames = match Frames::open(bytes) {
            Ok(frames) => frames,
            Err(damage) => return (found, Some(damage)),
        };
        loop {
            match frames.next_frame() {
                Ok(Frame::End) => {
                    found.push(Frame::End);
                    return (found, None);
                }
                Ok(frame) => found.push(frame),
                Err(damage) => return (found, Some(damage)),
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let (found, damage) = read(&recording());
        assert_eq!(found, frames());
        assert!(damage.is_none());
    }

    #[test]
    fn cut_anywhere_it_gives_what_was_before_and_says_so() {
        let whole = recording();
        for len in 0..whole.len() {
            let (found, damage) = read(&whole[..len]);
            assert!(frames().starts_with(&found), "{len}");
            assert!(damage.is_some(), "{len}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let whole = recording();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let (found, damage) = read(&bytes);
            assert!(damage.is_some(), "byte {at}");
            assert!(frames().starts_with(&found), "byte {at}");
        }
    }

    #[test]
    fn foreign_files_and_other_versions_are_named() {
        assert!(matches!(read(b"{}").1, Some(Damage::Foreign)));
        let mut newer = recording();
        newer[MAGIC.len()] = 99;
        assert!(matches!(read(&newer).1, Some(Damage::Version(99))));
        let mut older = recording();
        older[MAGIC.len()] = OLDEST as u8;
        assert!(read(&older).1.is_none());
        older[MAGIC.len()] = OLDEST as u8 - 1;
        assert!(matches!(read(&older).1, Some(Damage::Version(1))));
    }
}
