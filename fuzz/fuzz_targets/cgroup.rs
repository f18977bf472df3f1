//! `/proc/PID/cgroup`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    crypto_tracer_system::fuzzing::cgroup(&String::from_utf8_lossy(bytes));
});
