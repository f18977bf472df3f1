//! A command line or a path, as the bundled redactor sees it.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use redact_default::rules::{self, Homes};

static HOMES: OnceLock<Homes> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let arguments: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let homes = HOMES.get_or_init(|| rules::configure("{}").unwrap_or_else(|error| panic!("{error}")));
    for field in ["cmdline", "file", "process"] {
        let value = arguments.join(" ");
        let _ = rules::redact(homes, field, &value, &arguments);
    }
});
