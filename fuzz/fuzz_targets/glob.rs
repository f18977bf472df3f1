//! A glob of `--file`, and a path.
#![no_main]

use crypto_tracer_pipeline::glob::Glob;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (pattern, path) = bytes.split_at(at);
    if let Ok(glob) = std::str::from_utf8(pattern).map_err(drop).and_then(|it| Glob::new(it).map_err(drop)) {
        let _ = (glob.matches(path), glob.fixed_part());
    }
});
