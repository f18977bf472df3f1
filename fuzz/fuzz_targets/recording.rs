//! A recording. The checksums are correct, so that the fuzzer reaches what they protect.
#![no_main]

use crypto_tracer_pipeline::recording::{self, Frame, Frames};
use libfuzzer_sys::fuzz_target;

/// Reads all frames.
fn read(file: &[u8]) {
    let Ok(mut frames) = Frames::open(file) else { return };
    while let Ok(frame) = frames.next_frame() {
        if matches!(frame, Frame::End) {
            return;
        }
    }
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

fuzz_target!(|bytes: &[u8]| {
    let mut file = recording::header();
    // Two bytes of length, then the body of a frame.
    let mut rest = bytes;
    while let Some((length, tail)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
        let (body, tail) = tail.split_at(length);
        file.extend(u32::try_from(length).unwrap_or(0).to_le_bytes());
        file.extend(crc32(body).to_le_bytes());
        file.extend(body);
        rest = tail;
    }
    read(&file);
    read(bytes);
});
