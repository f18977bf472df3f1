//! JSON Schema of the output, derived from the serialised types.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};

use crate::document;

/// Returns the schemas with their names: `event` is an object of a stream, the others are documents.
pub fn all() -> Vec<(&'static str, Schema)> {
    let generator =
        || -> SchemaGenerator { SchemaSettings::draft2020_12().for_serialize().into_generator() };
    vec![
        ("event", crate::stream_schema(generator())),
        ("doctor", generator().into_root_schema_for::<document::DoctorReport>()),
        ("inventory", generator().into_root_schema_for::<document::Inventory>()),
        ("profile", generator().into_root_schema_for::<document::Profile>()),
        ("snapshot", generator().into_root_schema_for::<document::Snapshot>()),
    ]
}
