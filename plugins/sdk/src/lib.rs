//! Write plugins for [crypto-tracer] in Rust. A plugin is a WebAssembly component that determines the type of a file
//! ([`Classifier`]), replaces texts ([`Redactor`]), or keeps, drops and labels events ([`Filter`]).
//!
//! A whole classifier, which gives an HSM's slots a type of their own:
//!
//! ```
//! use crypto_tracer_plugin::{Classifier, File, Interest, Verdict, serde_json::Value};
//! struct Hsm;
//! impl Classifier for Hsm {
//!     fn new(_: Value, interest: &Interest) -> Result<Hsm, String> { interest.file_suffix(".hsmslot"); Ok(Hsm) }
//!     fn classify(&self, file: &File) -> Option<Verdict> {
//!         file.path().ends_with(".hsmslot").then(|| Verdict::other("hsm_slot").label("partition", "blue"))
//!     }
//! }
//! crypto_tracer_plugin::classifier!(Hsm);
//! ```
//!
//! The crate is a `cdylib`; `cargo build --release --target wasm32-wasip2` builds the component, and `cargo component
//! build --release` does too. A component of several kinds has one macro line for each.
//!
//! # Configuration
//!
//! The table `config` of the plugin arrives in `new`, as a [`serde_json::Value`] or as any type of your own that serde can
//! read. The type is a parameter of the trait:
//!
//! ```
//! use crypto_tracer_plugin::{Decision, Event, Filter, serde::Deserialize};
//!
//! #[derive(Deserialize)]
//! #[serde(crate = "crypto_tracer_plugin::serde", deny_unknown_fields)]
//! struct Config {
//!     quiet: Vec<String>,
//! }
//!
//! struct Quiet(Config);
//!
//! impl Filter<Config> for Quiet {
//!     fn new(config: Config) -> Result<Quiet, String> {
//!         Ok(Quiet(config))
//!     }
//!
//!     fn decide(&mut self, event: &Event) -> Decision {
//!         if self.0.quiet.contains(&event.process()) { Decision::Drop } else { Decision::Keep }
//!     }
//! }
//! crypto_tracer_plugin::filter!(Quiet);
//! ```
//!
//! An error from `new`, or a configuration that does not fit the type, is printed to the operator, and the tracer does not
//! start.
//!
//! # Tests
//!
//! Natively, [`File`], [`Event`], [`Text`] and [`Interest`] are values that [`testing`] makes, so `cargo test` runs the rules
//! without WebAssembly.
//!
//! # Limits
//!
//! A plugin cannot access files, the network, a clock or the environment. A call has a deadline and a memory limit, and one
//! that fails is discarded with its instance. Labels of this crate always keep to the bounds of the contract: see
//! [`Verdict::label`]. A [`Redactor`] that has no configuration hides everything.
//!
//! [crypto-tracer]: https://docs.rs/crypto-tracer-plugin

// The generated code and the macros name this crate.
extern crate self as crypto_tracer_plugin;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[allow(warnings, clippy::all, reason = "generated")]
#[rustfmt::skip]
pub mod bindings;
mod classifier;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod export;
#[cfg(not(target_family = "wasm"))]
mod fake;
mod fields;
mod filter;
mod labels;
mod log;
mod redactor;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use classifier::{Classifier, FileType, Verdict};
pub use fields::Ancestor;
pub use filter::{Decision, Filter};
pub use labels::{Labels, MAX_LABELS};
pub use log::Level;
pub use redactor::{REDACTED, Redactor};
pub use serde;
pub use serde_json;

#[cfg(not(target_family = "wasm"))]
pub use fake::{Event, File, Interest, PemBlock, Text};

#[cfg(target_family = "wasm")]
pub use bindings::imports::crypto_tracer::plugin::events::{Event, File, Interest, PemBlock, Text};

#[doc(hidden)]
pub use log::write as __log;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use wit_bindgen::rt;

/// The configuration of a plugin from its JSON.
///
/// # Errors
/// The problem, without a position: no person sees this text.
fn read_config<C: serde::de::DeserializeOwned>(json: &str) -> Result<C, String> {
    serde_json::from_str(json).map_err(|error| {
        let text = error.to_string();
        match text.rsplit_once(" at line ") {
            Some((problem, _)) => problem.to_owned(),
            None => text,
        }
    })
}
