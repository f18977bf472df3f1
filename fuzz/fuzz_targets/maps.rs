//! `/proc/PID/maps`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    crypto_tracer_reader::fuzzing::maps(bytes);
});
