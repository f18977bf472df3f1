//! JSON Schema of formatted texts.

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

/// Timestamp or null.
pub fn timestamp_or_null(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = timestamp(generator);
    schema.insert("type".to_owned(), serde_json::json!(["string", "null"]));
    schema
}

/// A documented file type, or one of a site classifier.
pub fn file_type(_: &mut SchemaGenerator) -> Schema {
    let documented =
        [FileType::Certificate, FileType::PrivateKey, FileType::Keystore, FileType::Unknown];
    let documented: Vec<&str> = documented.iter().map(FileType::as_str).collect();
    json_schema!({
        "type": "string",
        "examples": documented,
        "pattern": "^[a-z0-9_-]{1,64}$",
    })
}

/// Device, `major:minor`.
pub fn device(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]+:[0-9]+$" })
}

/// Bytes in base64.
pub fn base64(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "contentEncoding": "base64" })
}

/// Labels: an object of names and values.
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
        let [access, others] = [&Self::ACCESS[..], &Self::OTHERS[..]]
            .map(|table| table.iter().map(|&(_, name)| name).collect::<Vec<_>>());
        let others: String = others.iter().map(|name| format!(r"(\|{name})?")).collect();
        json_schema!({ "type": "string", "pattern": format!("^({}){others}$", access.join("|")) })
    }
}

impl JsonSchema for RedactedText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RedactedText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
