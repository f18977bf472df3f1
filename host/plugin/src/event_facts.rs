//! What a filter can ask about an event beyond its documented fields as text.

use crypto_tracer_event::{ClassifiedEvent, EnrichedWhat, MAX_ANCESTORS};
use crypto_tracer_system::boot;

/// A fact of an ancestor. `level`: 1 is the parent. `None`: the name or the fact is unknown, or there is no such ancestor.
pub(super) fn ancestor(event: &ClassifiedEvent, level: u32, name: &str) -> Option<String> {
    let ancestors = event.event.process.ancestors.as_deref()?;
    let at = usize::try_from(level).ok()?.checked_sub(1).filter(|&at| at < MAX_ANCESTORS)?;
    let ancestor = ancestors.get(at)?;
    Some(match name {
        "pid" => ancestor.pid.to_string(),
        "process" => String::from_utf8_lossy(ancestor.comm.as_bytes()).into_owned(),
        "exe" => String::from_utf8_lossy(ancestor.exe.as_deref()?).into_owned(),
        "uid" => ancestor.uid.to_string(),
        "start" => ancestor.start_ticks.to_string(),
        "key" => key_text(ancestor.pid, ancestor.start_ticks),
        _ => return None,
    })
}

/// Identifies the process of an event, also from others that have had its pid.
pub(super) fn process_key(event: &ClassifiedEvent) -> String {
    let key = event.event.process.key;
    key_text(key.tgid, boot::start_ticks(key.start_ns))
}

/// An ancestor and the process of an event have equal keys, because both have the precision of `/proc`.
fn key_text(pid: u32, start_ticks: u64) -> String {
    format!("{pid}:{start_ticks}")
}

/// A numeric field by its documented name. `None`: this event has no such field.
pub(super) fn number(event: &ClassifiedEvent, name: &str) -> Option<i64> {
    let process = &event.event.process;
    let file = match &event.event.what {
        EnrichedWhat::FileOpen { file, .. } | EnrichedWhat::LibLoad { file, .. } => Some(file),
        EnrichedWhat::Exec { .. } | EnrichedWhat::Exit { .. } => None,
    };
    match (name, &event.event.what) {
        ("timestamp", _) => Some(event.event.timestamp.0),
        ("pid", _) => Some(process.key.tgid.into()),
        ("tid", _) => Some(process.tid.into()),
        ("ppid", _) => Some(process.ppid.into()),
        ("uid", _) => Some(process.uid.into()),
        ("start", _) => boot::start_ticks(process.key.start_ns).try_into().ok(),
        ("mount_ns", _) => Some(process.mount_ns.into()),
        ("inode", _) => file?.inode.try_into().ok(),
        ("exit_code", EnrichedWhat::Exit { exit_code, .. }) => Some((*exit_code).into()),
        ("signal", EnrichedWhat::Exit { signal, .. }) => signal.map(Into::into),
        _ => None,
    }
}
