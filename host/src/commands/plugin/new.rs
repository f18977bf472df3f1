//! `plugin new`: creates a crate from a template.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::anyhow;

use super::super::help;
use super::new_c;
use super::report::Report;
use crate::cli::plugin::{Language, NewArgs, TemplateKind};
use crate::error::{ExitStatus, Failure};

/// The contract that the template is for.
const CONTRACT: &str = include_str!("../../../../wit/plugin.wit");

/// The SDK, which is copied into each new crate, so that it builds offline and fits this program.
const SDK: [(&str, &str); 20] = {
    macro_rules! sdk {
        ($($path:literal),*) => {
            [$(($path, include_str!(concat!("../../../../plugins/sdk/", $path)))),*]
        };
    }
    sdk![
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "src/bindings/classifier.rs",
        "src/bindings/filter.rs",
        "src/bindings/imports.rs",
        "src/bindings/inspector.rs",
        "src/bindings/mod.rs",
        "src/bindings/redactor.rs",
        "src/classifier.rs",
        "src/export.rs",
        "src/fake.rs",
        "src/fields.rs",
        "src/filter.rs",
        "src/labels.rs",
        "src/lib.rs",
        "src/log.rs",
        "src/redactor.rs",
        "src/testing.rs"
    ]
};

/// The parts of a template that depend on the kind.
struct Template {
    word: &'static str,
    library: &'static str,
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
    let NewArgs { name, kind, language } = arguments;
    let root = Path::new(name);
    fs::create_dir(root).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure {
            code: ExitStatus::Usage,
            error: anyhow!("{name} already exists and is not changed: choose another name"),
        },
        _ => failed(name)(error),
    })?;
    let (files, build, component) = match language {
        Language::Rust => {
            const BUILD: [&str; 2] = ["cargo test", "cargo build --release --target wasm32-wasip2"];
            (files(name, &kind.template()), &BUILD[..], component(name))
        }
        Language::C => (new_c::files(name, *kind), &["make"][..], new_c::component(name)),
    };
    for (path, bytes) in files {
        let path = root.join(path);
        write(&path, &bytes).map_err(failed(&path.display().to_string()))?;
    }
    let mut report = Report::default();
    report.line(format_args!("{name}: a {} to start from; next:", kind.template().word));
    let enter = format!("cd {name}");
    let test = format!("crypto-tracer plugin test {component} --cases cases.json");
    for command in [&*enter].iter().chain(build).chain([&*test].iter()) {
        report.line(format_args!("  {command}"));
    }
    report.print()
}

/// Prints the contract.
pub(super) fn contract() -> Result<(), Failure> {
    help::print(CONTRACT.as_bytes())
}

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> Failure {
    let what = format!("cannot write {what}");
    |error| Failure { code: ExitStatus::Failed, error: anyhow::Error::new(error).context(what) }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Never overwrites a file that another process has just created.
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)
}

/// Path of the built component.
fn component(name: &str) -> String {
    format!("target/wasm32-wasip2/release/{}.wasm", name.replace('-', "_"))
}

fn files(name: &str, template: &Template) -> Vec<(String, Vec<u8>)> {
    let Template { word, library, cases, option, next } = template;
    let fill = |text: &str| {
        text.replace("{NAME}", name)
            .replace("{KIND}", word)
            .replace("{FILE}", &component(name))
            .replace("{CONTRACT}", contract_version())
            .replace("{OPTIONS}", &format!("{option} {}{next}", component(name)))
    };
    let own = [
        ("Cargo.toml", fill(include_str!("template/Cargo.toml.in"))),
        (".gitignore", include_str!("template/gitignore").to_owned()),
        ("README.md", fill(include_str!("template/README.md.in"))),
        ("cases.json", (*cases).to_owned()),
        ("src/lib.rs", (*library).to_owned()),
    ];
    let own = own.into_iter().map(|(path, text)| (path.to_owned(), text));
    let sdk = SDK.iter().map(|(path, text)| (format!("sdk/{path}"), sdk_file(path, text)));
    own.chain(sdk).map(|(path, text)| (path, text.into_bytes())).collect()
}

/// A file of the SDK for another workspace, which has no lints for it.
fn sdk_file(path: &str, text: &str) -> String {
    if path == "Cargo.toml" {
        text.replace("\n[lints]\nworkspace = true\n", "")
    } else {
        text.to_owned()
    }
}

pub(super) fn contract_version() -> &'static str {
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
                if path.starts_with("sdk/src/") {
                    continue;
                }
                let text = String::from_utf8(text).unwrap();
                for word in
                    ["{NAME}", "{KIND}", "{FILE}", "{CONTRACT}", "{OPTIONS}", "workspace = true"]
                {
                    assert!(!text.contains(word), "{path}: {word}");
                }
            }
        }
        assert_eq!(contract_version().split('.').count(), 3);
    }

    #[test]
    fn the_copy_of_the_sdk_is_complete() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk");
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        let copied: Vec<&str> = SDK.iter().map(|(path, _)| *path).collect();
        assert_eq!(copied, found);
        // The version of the SDK is that of the contract.
        let (_, manifest) = SDK.iter().find(|(path, _)| *path == "Cargo.toml").unwrap();
        assert!(manifest.contains(&format!("version = \"{}\"", contract_version())));
    }
}
