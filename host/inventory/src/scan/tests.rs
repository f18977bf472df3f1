use std::io::Cursor;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Returns at most `step` bytes at once.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.0.len().min(self.1).min(buffer.len());
        let (now, later) = self.0.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.0 = later;
        Ok(length)
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        r#"[\\"{}\[\],: ]{0,6}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Reads an array of values.
fn items<R: Read>(scanner: &mut Scanner<R>) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    scanner.open(b'[')?;
    while scanner.next_item(found.is_empty(), b']')? {
        found.push(scanner.value("item")?);
    }
    scanner.end()?;
    Ok(found)
}

proptest! {
    /// The values of an array are those that serde_json finds, for any size of the parts that are read at once.
    #[test]
    fn values_are_found_in_text_of_any_layout(values in prop::collection::vec(json(), 0..6), pretty: bool, step in 1_usize..40) {
        let value = Value::from(values.clone());
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let found = items(&mut Scanner::new("x", Slow(text.as_bytes(), step))).unwrap();
        prop_assert_eq!(&found, &values);
        let mut skipped = Scanner::new("x", Slow(text.as_bytes(), step));
        skipped.skip_value().unwrap();
        skipped.end().unwrap();
        prop_assert_eq!(skipped.mark().offset, text.len() as u64);
    }

    /// A text that is cut off anywhere is an error in its last line, never a shorter document.
    #[test]
    fn a_cut_text_is_an_error(values in prop::collection::vec(json(), 1..4), at: prop::sample::Index) {
        let text = serde_json::to_string_pretty(&Value::from(values)).unwrap();
        let cut = &text.as_bytes()[..at.index(text.len())];
        let error = items(&mut Scanner::new("x", Cursor::new(cut))).unwrap_err();
        let lines = cut.split(|&byte| byte == b'\n').count() as u64;
        prop_assert!(error.position.unwrap().line <= lines, "{error}");
    }

    #[test]
    fn any_bytes_end_in_a_value_or_an_error(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[],:\"\\ 1".to_vec())], 0..80)) {
        let found = items(&mut Scanner::new("x", Slow(&bytes, 3)));
        if found.is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
        }
        let _ = Scanner::new("x", Slow(&bytes, 3)).skip_value();
    }

    /// Reading from a mark in the middle reports the same places as reading from the start.
    #[test]
    fn a_resumed_scan_has_the_same_positions(values in prop::collection::vec(json(), 1..4)) {
        let text = serde_json::to_string_pretty(&Value::from(values)).unwrap() + "\n  x";
        let mut whole = Scanner::new("x", text.as_bytes());
        whole.open(b'[').unwrap();
        let mark = whole.mark();
        let mut rest = Scanner::resume("x", &text.as_bytes()[mark.offset as usize..], mark);
        rest.skip_value().unwrap();
        whole.skip_value().unwrap();
        prop_assert_eq!(whole.mark(), rest.mark());
        prop_assert_eq!(whole.position(), rest.position());
    }
}

fn error(text: &str) -> String {
    items(&mut Scanner::new("a.json", text.as_bytes())).unwrap_err().to_string()
}

#[test]
fn errors_have_line_and_column() {
    assert_eq!(
        error("[1,\n 2"),
        "a.json, line 2, column 3: the file is cut off here: expected `,` or `]`"
    );
    assert_eq!(error("[1\n;"), "a.json, line 2, column 1: expected `,` or `]`, found `;`");
    assert_eq!(error("[1,]"), "a.json, line 1, column 4: expected a value, found `]`");
    assert_eq!(error("[\n\n nux]"), "a.json, line 3, column 4: item: expected ident");
    assert_eq!(error("[] []"), "a.json, line 1, column 4: text after the end of the document");
    assert_eq!(error(""), "a.json, line 1, column 1: the file is cut off here: expected `[`");
    assert_eq!(error("\u{7f}ELF"), "a.json, line 1, column 1: expected `[`, found byte 0x7f");
}

#[test]
fn depth_and_size_are_bounded() {
    assert!(error(&"[".repeat(100_000)).contains("nested deeper than 64"));
    let long = format!("[\"{}\"]", "x".repeat(MAX_VALUE + CHUNK));
    assert!(error(&long).contains("a value of over"));
    let mut skipped = Scanner::new("x", long.as_bytes());
    skipped.skip_value().unwrap();
    assert!(skipped.buffer.capacity() <= 4 * CHUNK, "skipped bytes are not kept");
}
