//! Writes an inventory in formats of others.

mod algorithms;
mod csv;
mod cyclonedx;
mod model;

pub use self::csv::csv;
pub use self::cyclonedx::{CycloneDxVersion, cyclonedx};

#[cfg(test)]
mod tests;
