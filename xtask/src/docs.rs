//! `cargo xtask docs`: generates the JSON Schemas of all output, and the man pages, from the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Command, CommandFactory};
use clap_mangen::Man;

/// Options of `docs`.
#[derive(Debug, clap::Args)]
pub(crate) struct DocsOptions {
    /// Change nothing: fail if a file does not match the program
    #[arg(long)]
    check: bool,
}

const SCHEMA: &str = "docs/schema";
const MAN: &str = "docs/man";

/// Runs the command.
pub(crate) fn run(root: &Path, options: &DocsOptions) -> Result<()> {
    let mut expected = schemas()?;
    expected.extend(pages()?);
    expected.extend(crate::bench::pages(root)?);
    let mut wrong = Vec::new();
    for (path, text) in &expected {
        if fs::read_to_string(root.join(path)).ok().as_ref() != Some(text) {
            wrong.push(path.clone());
        }
    }
    for folder in [SCHEMA, MAN, crate::bench::PLOTS] {
        let existing =
            names(&root.join(folder)).into_iter().map(|name| Path::new(folder).join(name));
        wrong.extend(existing.filter(|path| !expected.contains_key(path)));
    }
    if options.check {
        if wrong.is_empty() {
            return Ok(());
        }
        let wrong: Vec<_> = wrong.iter().map(|path| path.display().to_string()).collect();
        bail!("out of date; run `cargo xtask docs`: {}", wrong.join(", "));
    }
    for path in &wrong {
        let to = root.join(path);
        println!("{}", path.display());
        match expected.get(path) {
            Some(text) => {
                let folder = to.parent().unwrap_or(root);
                fs::create_dir_all(folder).and_then(|()| fs::write(&to, text))
            }
            None => fs::remove_file(&to),
        }
        .with_context(|| to.display().to_string())?;
    }
    Ok(())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn schemas() -> Result<BTreeMap<PathBuf, String>> {
    let file = |(name, schema): (&str, _)| {
        let text = serde_json::to_string_pretty(&schema)?;
        Ok((Path::new(SCHEMA).join(format!("{name}.json")), text + "\n"))
    };
    let all = crypto_tracer_output::schema::all().into_iter();
    all.chain(crypto_tracer_inventory::schema()).map(file).collect()
}

/// A page for the program and one for each command.
fn pages() -> Result<BTreeMap<PathBuf, String>> {
    let mut program = crypto_tracer::cli::Cli::command();
    program.build();
    let mut pages = BTreeMap::new();
    page(&program, &mut pages)?;
    Ok(pages)
}

fn page(command: &Command, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone())
        .title(name)
        .source(concat!("crypto-tracer ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render(&mut text)?;
    let text = String::from_utf8(text).context("a page is text")?;
    // clap_mangen puts the examples, one per line, into a section EXTRA.
    let (before, after) = text
        .split_once(".SH EXTRA\nExamples:\n")
        .with_context(|| format!("{name} has no examples"))?;
    let end = after.find("\n.SH ").map_or(after.len(), |at| at + 1);
    let (examples, rest) = after.split_at(end);
    let text = format!("{before}.SH EXAMPLES\n.nf\n{examples}.fi\n{rest}");
    pages.insert(Path::new(MAN).join(man.get_filename()), text);
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| page(command, pages))
}
