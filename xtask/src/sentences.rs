//! `cargo xtask sentences`: which test holds which sentence of the specification.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use crypto_tracer_tests::sentences;

/// Options of `sentences`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What `cargo test` printed: each test that is listed has to be in it, passed
    #[arg(long, value_name = "FILE")]
    ran: Option<PathBuf>,
}

/// Carries out the command; says nothing where all is well.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let listed = sentences::sentences(root).map_err(Error::msg)?;
    let mut wrong = sentences::wrong(root, &listed);
    if let Some(path) = &options.ran {
        let printed = fs::read(path).with_context(|| path.display().to_string())?;
        let missing = sentences::not_passed(&listed, &String::from_utf8_lossy(&printed));
        wrong.extend(missing.into_iter().map(|name| format!("did not run and pass: {name}")));
    }
    if !wrong.is_empty() {
        bail!("tests/sentences.toml:\n{}", wrong.join("\n"));
    }
    Ok(())
}
