//! The head of a file: PEM, DER and other contents.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    crypto_tracer_reader::fuzzing::head(bytes);
});
