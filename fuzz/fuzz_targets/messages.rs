//! Messages between the tracer and its reader.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    crypto_tracer_reader::fuzzing::messages(bytes);
});
