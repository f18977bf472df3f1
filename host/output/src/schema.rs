//! JSON Schema of what is printed, derived from the types that are serialised.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};

use crate::document;

/// The schemas with their names: `event` is a line of a stream, the others are documents.
pub fn all() -> Vec<(&'static str, Schema)> {
    let generator =
        || -> SchemaGenerator { SchemaSettings::draft2020_12().for_serialize().into_generator() };
    vec![
        ("event", crate::schema(generator())),
        ("doctor", generator().into_root_schema_for::<document::DoctorReport>()),
        ("profile", generator().into_root_schema_for::<document::Profile>()),
        ("snapshot", generator().into_root_schema_for::<document::Snapshot>()),
    ]
}
