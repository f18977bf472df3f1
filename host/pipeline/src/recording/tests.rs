use super::*;
use crypto_tracer_event::{FileStat, PemBlock};
use crypto_tracer_reader::Found;

fn frames() -> Vec<Frame> {
    let mut start = Start { kernel: "6.18".into(), ..Start::default() };
    start.interest.add_suffix(".pem").unwrap();
    vec![
        Frame::Start(Box::new(start)),
        Frame::Records { wall_offset_ns: -7, records: vec![vec![1, 2, 3], vec![]] },
        Frame::Interest(Box::default()),
        Frame::Heads(vec![(request(), Some(replaced()))]),
        Frame::OtherHeads(vec![(request(), Some(read_answer(Found::Same)))]),
        Frame::Running(vec![RunningProcess { pid: 7, ppid: 1, ..RunningProcess::default() }]),
        Frame::Lost { at_us: 5, losses: vec![("ring_full".into(), 3, true)] },
        Frame::End,
    ]
}

fn request() -> HeadRequest {
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
    HeadResponse { stat: None, blocks: Vec::new(), ..read_answer(Found::Replaced) }
}

fn read_answer(found: Found) -> HeadResponse {
    let block = PemBlock { label: "RSA PRIVATE KEY".into(), encrypted: Some(true) };
    let stat = FileStat { uid: 33, mode: 0o100_640, modified_ns: -1, ..FileStat::default() };
    HeadResponse {
        head: Ok(b"x".to_vec()),
        size: Some(1),
        found,
        stat: Some(stat),
        blocks: vec![block],
    }
}

#[test]
fn heads_of_version_4_have_no_metadata() {
    let answer = HeadResponseV4 { head: Ok(b"x".to_vec()), size: Some(1), found: Found::Changed };
    let mut bytes = header();
    write(&Frame::HeadsV4(vec![(request(), Some(answer))]), &mut bytes).unwrap();
    write(&Frame::OtherHeadsV4(vec![(request(), None)]), &mut bytes).unwrap();
    bytes[MAGIC.len()] = 4;
    assert_eq!(bytes[MAGIC.len() + 4 + 8], 8);
    let answer = HeadResponse { stat: None, blocks: Vec::new(), ..read_answer(Found::Changed) };
    let expected =
        [Frame::Heads(vec![(request(), Some(answer))]), Frame::OtherHeads(vec![(request(), None)])];
    assert_eq!(read(&bytes).0, expected);
}

/// The index of each variant of [`Frame`] is part of the format.
#[test]
fn heads_of_older_versions_are_of_the_file_itself() {
    let answer = || HeadResponseV3 { head: Ok(b"x".to_vec()), size: Some(1) };
    let (first, second) = (vec![(request(), Some(answer()))], vec![(request(), None)]);
    let mut bytes = header();
    write(&Frame::HeadsV3(first), &mut bytes).unwrap();
    write(&Frame::OtherHeadsV3(second), &mut bytes).unwrap();
    bytes[MAGIC.len()] = 3;
    assert_eq!(bytes[MAGIC.len() + 4 + 8], 2);
    let answer = HeadResponse { stat: None, blocks: Vec::new(), ..read_answer(Found::Same) };
    let (frames, _) = read(&bytes);
    let expected =
        [Frame::Heads(vec![(request(), Some(answer))]), Frame::OtherHeads(vec![(request(), None)])];
    assert_eq!(frames, expected);
}

fn recording() -> Vec<u8> {
    let mut bytes = header();
    frames().iter().for_each(|frame| write(frame, &mut bytes).unwrap());
    bytes
}

/// Returns all frames up to the end or the damage.
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
fn written_frames_are_read_back() {
    let (found, damage) = read(&recording());
    assert_eq!(found, frames());
    assert!(damage.is_none());
}

#[test]
fn a_truncated_recording_has_the_frames_before_the_truncation() {
    let complete = recording();
    for len in 0..complete.len() {
        let (found, damage) = read(&complete[..len]);
        assert!(frames().starts_with(&found), "{len}");
        assert!(damage.is_some(), "{len}");
    }
}

#[test]
fn a_flipped_bit_is_detected() {
    let complete = recording();
    for at in 0..complete.len() {
        let mut bytes = complete.clone();
        bytes[at] ^= 0x10;
        let (found, damage) = read(&bytes);
        assert!(damage.is_some(), "byte {at}");
        assert!(frames().starts_with(&found), "byte {at}");
    }
}

proptest::proptest! {
    /// With a valid checksum, as in a forged recording.
    #[test]
    fn any_frame_is_read(
        bodies in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80), 0..4),
        kind in 0_u8..14,
    ) {
        let mut bytes = header();
        for mut body in bodies {
            if let Some(first) = body.first_mut() {
                *first = kind;
            }
            bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
            bytes.extend(crc32fast::hash(&body).to_le_bytes());
            bytes.extend(body);
        }
        let (_, damage) = read(&bytes);
        proptest::prop_assert!(damage.is_some() || kind == 5);
    }
}

#[test]
fn other_files_and_unsupported_versions_are_errors() {
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
