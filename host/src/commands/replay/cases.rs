//! `replay --cases`: events of a recording as cases for `plugin test`.

use serde_json::{Map, Value, json};

use crypto_tracer_event::{OpenFlags, RedactedEvent, RedactedWhat};

/// One case for each event. The filter under test gets what the classifiers found, and is expected to keep the event.
pub(super) fn cases<'a>(events: impl Iterator<Item = &'a RedactedEvent>) -> Value {
    let cases: Vec<Value> = events.enumerate().map(|(at, event)| case(at + 1, event)).collect();
    json!({ "cases": cases })
}

fn case(number: usize, event: &RedactedEvent) -> Value {
    let facts = event.process();
    let mut fields = Map::new();
    let mut add = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    add("timestamp", event.timestamp().0.into());
    add("pid", facts.pid.into());
    add("ppid", facts.ppid.into());
    add("uid", facts.uid.into());
    add("process", facts.name.as_str().into());
    if let Some(exe) = &facts.exe {
        add("exe", exe.as_str().into());
    }
    if let Some(container) = &facts.container {
        add("container", (**container).into());
    }
    let labels = event.labels().iter();
    let labels: Map<String, Value> =
        labels.map(|(name, value)| (name.to_string(), value.as_str().into())).collect();
    if !labels.is_empty() {
        add("labels", labels.into());
    }
    let (kind, about) = match event.what() {
        RedactedWhat::FileOpen { file, flags } => {
            add("file", file.path.as_str().into());
            add("file_type", event.verdict().file_type.as_str().into());
            add("flags", OpenFlags(*flags).to_string().into());
            ("file_open", file.path.as_str())
        }
        RedactedWhat::LibLoad { file, library_name } => {
            add("library", file.path.as_str().into());
            add("library_name", library_name.as_str().into());
            ("lib_load", library_name.as_str())
        }
        RedactedWhat::Exec { arguments } => {
            add("cmdline", arguments.as_str().into());
            ("process_exec", arguments.as_str())
        }
        RedactedWhat::Exit { exit_code, .. } => {
            add("exit_code", json!(exit_code));
            ("process_exit", "")
        }
    };
    add("event_type", kind.into());
    let name = format!("{number}: {kind} {about} by {}", facts.name.as_str());
    json!({ "name": name, "event": fields, "expect": { "decision": "keep" } })
}
