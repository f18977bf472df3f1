//! The shapes of texts, for the schema of what is printed: where a value's text has a form, the form is next to the
//! type that makes it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{FileType, OpenFlags, RedactedText};

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`
pub fn timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "format": "date-time",
        "pattern": r"^[0-9]{4,}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$",
    })
}

/// The same, or null.
pub fn timestamp_or_null(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = timestamp(generator);
    schema.insert("type".to_owned(), serde_json::json!(["string", "null"]));
    schema
}

/// The documented words, or a site classifier's own.
pub fn file_type(_: &mut SchemaGenerator) -> Schema {
    let known =
        [FileType::Certificate, FileType::PrivateKey, FileType::Keystore, FileType::Unknown];
    let known: Vec<&str> = known.iter().map(FileType::as_str).collect();
    json_schema!({
        "type": "string",
        "examples": known,
        "pattern": "^[a-z0-9_-]{1,64}$",
    })
}

/// `8:1`
pub fn device(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]+:[0-9]+$" })
}

/// Bytes.
pub fn base64(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "contentEncoding": "base64" })
}

/// Names and values.
pub fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "pattern": "^[a-z0-9_]{1,64}$" },
        "additionalProperties": { "type": "string" },
    })
}

impl JsonSchema for OpenFlags {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OpenFlags".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let [access, besides] = [&Self::ACCESS[..], &Self::BESIDES[..]]
            .map(|table| table.iter().map(|&(_, name)| name).collect::<Vec<_>>());
        let besides: String = besides.iter().map(|name| format!(r"(\|{name})?")).collect();
        json_schema!({ "type": "string", "pattern": format!("^({}){besides}$", access.join("|")) })
    }
}

impl JsonSchema for RedactedText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Shown".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
