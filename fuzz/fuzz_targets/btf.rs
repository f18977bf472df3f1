//! The kernel's type information.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    crypto_tracer_capture::fuzzing::btf(bytes);
});
