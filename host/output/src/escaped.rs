//! JSON with all characters escaped that change how a terminal shows the text around them. serde_json escapes control
//! characters below 0x20, but terminals also interpret those from 0x7f to 0x9f, and characters that reorder text.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// First bytes in UTF-8 of U+0080 to U+00BF, of U+0600 to U+063F, and of U+2000 to U+2FFF.
const LEADS: [u8; 3] = [0xc2, 0xd8, 0xe2];

/// Whether serde_json does not escape the character, although it changes the text around it.
fn needs_escape(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Appends a value on one line.
///
/// # Errors
/// The value cannot be serialised.
pub fn compact(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Escaped(CompactFormatter)))
}

/// Appends a value, indented.
///
/// # Errors
/// The value cannot be serialised.
pub fn pretty(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Escaped(PrettyFormatter::new())))
}

/// Formats like the inner formatter, with control characters escaped.
struct Escaped<F>(F);

impl<F: Formatter> Formatter for Escaped<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        // Fast path: hardly any text has such a byte.
        if rest.bytes().any(|byte| byte == 0x7f || LEADS.contains(&byte)) {
            while let Some((before, found)) =
                rest.find(needs_escape).and_then(|at| rest.split_at_checked(at))
            {
                let mut chars = found.chars();
                writer.write_all(before.as_bytes())?;
                if let Some(c) = chars.next() {
                    write!(writer, "\\u{:04x}", u32::from(c))?;
                }
                rest = chars.as_str();
            }
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_key(writer)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_control_character_is_escaped() {
        let text: String = (0..=0x2ff).filter_map(char::from_u32).collect();
        let value =
            serde_json::json!({ "a": [text.as_str(), "x\u{9b}2J"], text.as_str(): {}, "b": [] });
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        compact(&mut line, &value).unwrap();
        pretty(&mut lines, &value).unwrap();
        let (line, lines) = (String::from_utf8(line).unwrap(), String::from_utf8(lines).unwrap());
        assert!(!line.contains(char::is_control), "{line}");
        assert!(!lines.contains(|c: char| c.is_control() && c != '\n'), "{lines}");
        assert!(line.contains("\"x\\u009b2J\"") && line.contains("~\\u007f\\u0080"));
        assert!(line.contains('\u{a0}'), "other characters are unchanged");
        for text in [&line, &lines] {
            assert_eq!(serde_json::from_str::<serde_json::Value>(text).unwrap(), value);
        }
    }

    proptest! {
        /// Names, paths and command lines have any bytes; a text in an output is what `from_utf8_lossy` makes of them.
        #[test]
        fn any_bytes_in_any_field_are_valid_json(
            fields in proptest::collection::vec((any::<Vec<u8>>(), "[\u{80}-\u{a0}\u{600}-\u{61f}\u{2000}-\u{206f}\"\\\\]{0,6}"), 0..6),
        ) {
            let text = |(bytes, text): &(Vec<u8>, String)| format!("{}{text}", String::from_utf8_lossy(bytes));
            let value: serde_json::Value = serde_json::json!({
                "list": fields.iter().map(text).collect::<Vec<_>>(),
                "map": fields.iter().map(|field| (text(field), 1)).collect::<std::collections::BTreeMap<_, _>>(),
            });
            let (mut line, mut lines) = (Vec::new(), Vec::new());
            compact(&mut line, &value).unwrap();
            pretty(&mut lines, &value).unwrap();
            for printed in [line, lines] {
                let printed = String::from_utf8(printed).unwrap();
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&printed).unwrap(), &value);
                prop_assert!(!printed.contains(|c: char| needs_escape(c) || c.is_control() && c != '\n'));
            }
        }
    }

    #[test]
    fn other_text_is_formatted_as_by_serde_json() {
        let value = serde_json::json!({"a": [1, -2.5, null, true, {}], "b": {"é\n\"": []}});
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        compact(&mut line, &value).unwrap();
        pretty(&mut lines, &value).unwrap();
        assert_eq!(line, serde_json::to_vec(&value).unwrap());
        assert_eq!(lines, serde_json::to_vec_pretty(&value).unwrap());
    }
}
