//! `/proc/PID/stat` and `/proc/PID/status`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    crypto_tracer_reader::fuzzing::process_facts(bytes);
});
