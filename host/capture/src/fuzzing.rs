//! Parsers of the kernel side, for the fuzz targets in `fuzz`. Their property tests are next to them.

use super::btf::Btf;
use super::decode::{decode, meaningful_len};
use crypto_tracer_event::RawRecord;

/// A record of the ring, or of a recording.
pub fn record(bytes: &[u8]) {
    let record = RawRecord(bytes);
    let _ = (decode(record), meaningful_len(record));
}

/// Type information of the kernel, or of a file that replaces it.
pub fn btf(bytes: &[u8]) {
    const NAMES: &[&str] = &["task_struct", "outer", "do_it", "hook_t", "int"];
    let Ok(btf) = Btf::parse(bytes.to_vec(), NAMES) else { return };
    for name in NAMES {
        let _ = btf.attach_type(name).map(|found| found.minimal_btf());
        for member in ["first", "in_union", "list", "pid", ""] {
            let _ = btf.member(name, member);
            let _ = btf.enum_value(name, member);
        }
        let _ = (btf.struct_size(name), btf.parameter_count(name));
        let _ = btf.is_pointer_parameter(name, 1);
    }
}
