//! `plugin new`: creates a crate from a template.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::anyhow;

use super::report::Report;
use crate::cli::plugin::{NewArgs, TemplateKind};
use crate::error::{ExitStatus, Failure};

/// The contract, which is copied into each new crate.
const CONTRACT: &str = include_str!("../../../../wit/plugin.wit");

/// The parts of a template that depend on the kind.
struct Template {
    word: &'static str,
    library: &'static str,
    rules: &'static str,
    cases: &'static str,
    /// Option of a run, before the file.
    option: &'static str,
    /// Options after the file: the rest of the chain.
    next: &'static str,
}

macro_rules! template {
    ($word:literal, $next:literal) => {
        Template {
            word: $word,
            library: include_str!(concat!("template/", $word, "/lib.rs")),
            rules: include_str!(concat!("template/", $word, "/rules.rs")),
            cases: include_str!(concat!("template/", $word, "/cases.json")),
            option: concat!("--", $word),
            next: $next,
        }
    };
}

impl TemplateKind {
    fn template(self) -> Template {
        match self {
            TemplateKind::Classifier => template!("classifier", " --classifier default"),
            TemplateKind::Redactor => template!("redactor", " --redactor default"),
            TemplateKind::Filter => template!("filter", ""),
        }
    }
}

/// Creates a crate. Existing files are never overwritten.
pub(super) fn new(arguments: &NewArgs) -> Result<(), Failure> {
    let NewArgs { name, kind } = arguments;
    let root = Path::new(name);
    fs::create_dir(root).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure {
            code: ExitStatus::Usage,
            error: anyhow!("{name} already exists and is not changed: choose another name"),
        },
        _ => failed(name)(error),
    })?;
    for (path, text) in files(name, &kind.template()) {
        let path = root.join(path);
        write(&path, &text).map_err(failed(&path.display().to_string()))?;
    }
    let mut report = Report::default();
    report.line(format_args!("{name}: a {} to start from; next:", kind.template().word));
    for command in [
        format!("cd {name}"),
        "cargo test".to_owned(),
        "cargo build --release --target wasm32-wasip2".to_owned(),
        format!("crypto-tracer plugin test {} --cases cases.json", component(name)),
    ] {
        report.line(format_args!("  {command}"));
    }
    report.print()
}

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> Failure {
    let what = format!("cannot write {what}");
    |error| Failure { code: ExitStatus::Failed, error: anyhow::Error::new(error).context(what) }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Never overwrites a file that another process has just created.
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Path of the built component.
fn component(name: &str) -> String {
    format!("target/wasm32-wasip2/release/{}.wasm", name.replace('-', "_"))
}

fn files(name: &str, template: &Template) -> [(&'static str, String); 7] {
    let Template { word, library, rules, cases, option, next } = template;
    let fill = |text: &str| {
        text.replace("{NAME}", name)
            .replace("{KIND}", word)
            .replace("{FILE}", &component(name))
            .replace("{CONTRACT}", contract_version())
            .replace("{OPTIONS}", &format!("{option} {}{next}", component(name)))
    };
    [
        ("Cargo.toml", fill(include_str!("template/Cargo.toml.in"))),
        (".gitignore", include_str!("template/gitignore").to_owned()),
        ("README.md", fill(include_str!("template/README.md.in"))),
        ("cases.json", (*cases).to_owned()),
        ("src/lib.rs", (*library).to_owned()),
        ("src/rules.rs", (*rules).to_owned()),
        ("wit/plugin.wit", CONTRACT.to_owned()),
    ]
}

fn contract_version() -> &'static str {
    let line = CONTRACT.lines().find_map(|line| line.strip_prefix("package crypto-tracer:plugin@"));
    line.unwrap_or_default().trim_end_matches(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_placeholders_are_replaced() {
        for kind in [TemplateKind::Classifier, TemplateKind::Redactor, TemplateKind::Filter] {
            for (path, text) in files("acme-plugin", &kind.template()) {
                for word in ["{NAME}", "{KIND}", "{FILE}", "{CONTRACT}", "{OPTIONS}", "{BESIDE}"] {
                    assert!(!text.contains(word), "{path}: {word}");
                }
            }
        }
        assert_eq!(contract_version().split('.').count(), 3);
    }
}
