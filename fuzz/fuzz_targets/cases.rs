//! cases.json of `plugin test`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    crypto_tracer::fuzzing::cases(bytes);
});
