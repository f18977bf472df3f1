//! Checks that the program's output matches docs/schema: exactly the described fields, in that order.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::event::Event;
use crate::program::workspace;

/// Maximum number of events of one run that are checked.
const MOST_CHECKED: usize = 4000;

/// The schema of one kind of event.
#[derive(Debug)]
struct SchemaKind {
    validator: Validator,
    /// Names of all fields, in the order in which they are printed.
    order: Vec<String>,
}

fn kinds() -> &'static BTreeMap<String, SchemaKind> {
    static KINDS: OnceLock<BTreeMap<String, SchemaKind>> = OnceLock::new();
    KINDS.get_or_init(|| {
        let schemas = read("event");
        let kinds =
            schemas.get("oneOf").and_then(Value::as_array).expect("a schema for each event type");
        kinds.iter().map(|schema| kind(schema, &schemas)).collect()
    })
}

fn kind(schema: &Value, all: &Value) -> (String, SchemaKind) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.expect("an event has fields");
    let name = properties.get("event_type").and_then(|field| field.get("const"));
    let name = name.and_then(Value::as_str).expect("an event has a type").to_owned();
    let order = properties.keys().cloned().collect();
    let mut whole = schema.clone();
    // The definitions that a schema refers to are at the top level of the file.
    if let (Some(whole), Some(definitions)) = (whole.as_object_mut(), all.get("$defs")) {
        whole.insert("$defs".to_owned(), definitions.clone());
    }
    (name, SchemaKind { validator: validator(&whole), order })
}

fn read(name: &str) -> Value {
    let path = workspace().join(format!("docs/schema/{name}.json"));
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn validator(schema: &Value) -> Validator {
    jsonschema::validator_for(schema).unwrap_or_else(|error| panic!("not a schema: {error}"))
}

fn complaints(validator: &Validator, value: &Value) -> Vec<String> {
    validator
        .iter_errors(value)
        .map(|error| format!("{} at {:?}", error, error.instance_path().to_string()))
        .collect()
}

/// Checks an event, including the order of its fields, against docs/schema/event.json.
///
/// # Panics
///
/// If the event does not match.
pub fn check_event(event: &Event) {
    let value = serde_json::from_str(event.line()).expect("an event is JSON");
    let kind = check_value(&value);
    let mut order = kind.order.iter();
    for key in event.keys() {
        assert!(order.any(|known| known == key), "{key} is out of order:\n{}", event.line());
    }
}

fn check_value(event: &Value) -> &'static SchemaKind {
    let name = event.get("event_type").and_then(Value::as_str).unwrap_or_default();
    let Some(kind) = kinds().get(name) else {
        panic!("event type not in docs/schema/event.json: {event}");
    };
    let wrong = complaints(&kind.validator, event);
    assert!(wrong.is_empty(), "does not match docs/schema/event.json: {wrong:?}\n{event}");
    kind
}

/// Checks all events and documents in the program's output, in any format. Ignores other text.
///
/// # Panics
///
/// If one does not match docs/schema.
pub fn check_printed(text: &str) {
    let is_event = |line: &&str| line.starts_with("{\"event_type\":");
    let count = text.lines().filter(is_event).count();
    // Of a very long stream only some thousand events are checked, to save time.
    let step = (count / MOST_CHECKED).max(1);
    if count > 0 {
        let events = text.lines().filter(is_event).step_by(step);
        events.for_each(|line| check_event(&Event::of(line.trim_end_matches(','))));
    } else if text.starts_with(['{', '['])
        && let Ok(whole) = serde_json::from_str::<Value>(text)
    {
        let one = std::slice::from_ref(&whole);
        for value in whole.as_array().map_or(one, Vec::as_slice) {
            if value.get("event_type").is_some() {
                check_value(value);
            }
            for name in ["doctor", "inventory", "profile", "snapshot"] {
                if value.get(format!("{name}_version")).is_some() {
                    check_document(name, value);
                }
            }
        }
    }
}

/// Checks a document of this name against docs/schema.
///
/// # Panics
///
/// If the document does not match.
pub fn check_document(name: &str, document: &Value) {
    let wrong = complaints(&validator(&read(name)), document);
    assert!(wrong.is_empty(), "does not match docs/schema/{name}.json: {wrong:?}\n{document:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT: &str = r#"{"event_type":"process_exit","timestamp":"2024-12-08T10:30:50.456789Z","pid":1,"process":"a","exit_code":0}"#;

    fn refused(line: &str) -> String {
        let line = line.to_owned();
        let result = std::panic::catch_unwind(|| check_event(&Event::of(&line)));
        *result.expect_err("the event is accepted").downcast::<String>().expect("a message")
    }

    #[test]
    fn event_that_does_not_match_the_schema_is_rejected() {
        check_printed(&format!("{EXIT}\nTIME  WHO"));
        check_printed(&format!("[\n{EXIT},\n{EXIT}\n]\n"));
        assert!(refused(&EXIT.replace("\"pid\":1", "\"pid\":1,\"new\":1")).contains("new"));
        assert!(refused(&EXIT.replace(",\"exit_code\":0", "")).contains("exit_code"));
        assert!(refused(&EXIT.replace("456789Z", "456Z")).contains("timestamp"));
        assert!(refused(&EXIT.replace("process_exit", "fork")).contains("event type not in"));
        let moved = EXIT.replace("\"pid\":1,", "").replace('}', ",\"pid\":1}");
        assert!(refused(&moved).contains("pid is out of order"));
    }
}
