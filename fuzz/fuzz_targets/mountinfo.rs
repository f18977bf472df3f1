//! `/proc/PID/mountinfo`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    crypto_tracer_system::fuzzing::mounts(bytes);
    crypto_tracer_reader::fuzzing::mountinfo(bytes);
});
