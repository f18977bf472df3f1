//! The template in C. `cargo xtask reference` generates its bindings, so that authors need no generator.

use super::new::contract_version;
use crate::cli::plugin::TemplateKind;

/// The parts that depend on the kind.
struct Template {
    word: &'static str,
    plugin: &'static str,
    cases: &'static str,
    header: &'static str,
    bindings: &'static str,
    /// Object with the description of the world, which becomes a section of the module.
    component_type: &'static [u8],
}

macro_rules! template {
    ($word:literal) => {
        Template {
            word: $word,
            plugin: include_str!(concat!("template/c/", $word, "/plugin.c")),
            cases: include_str!(concat!("template/c/", $word, "/cases.json")),
            header: include_str!(concat!("template/c/", $word, "/", $word, "_plugin.h")),
            bindings: include_str!(concat!("template/c/", $word, "/", $word, "_plugin.c")),
            component_type: include_bytes!(concat!(
                "template/c/",
                $word,
                "/",
                $word,
                "_plugin_component_type.o"
            )),
        }
    };
}

fn template(kind: TemplateKind) -> Template {
    match kind {
        TemplateKind::Classifier => template!("classifier"),
        TemplateKind::Redactor => template!("redactor"),
        TemplateKind::Filter => template!("filter"),
    }
}

/// Path of the built component.
pub(super) fn component(name: &str) -> String {
    format!("{name}.wasm")
}

/// Paths and contents of the files.
pub(super) fn files(name: &str, kind: TemplateKind) -> Vec<(String, Vec<u8>)> {
    let Template { word, plugin, cases, header, bindings, component_type } = template(kind);
    let fill = |text: &str| {
        text.replace("{NAME}", name)
            .replace("{KIND}", word)
            .replace("{FILE}", &component(name))
            .replace("{CONTRACT}", contract_version())
    };
    let own = [
        ("Makefile".to_owned(), fill(include_str!("template/c/Makefile.in"))),
        ("README.md".to_owned(), fill(include_str!("template/c/README.md.in"))),
        ("cases.json".to_owned(), cases.to_owned()),
        ("plugin.c".to_owned(), plugin.to_owned()),
        (format!("{word}_plugin.c"), bindings.to_owned()),
        (format!("{word}_plugin.h"), header.to_owned()),
    ];
    let object = (format!("{word}_plugin_component_type.o"), component_type.to_vec());
    own.into_iter().map(|(path, text)| (path, text.into_bytes())).chain([object]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_placeholders_are_replaced() {
        for kind in [TemplateKind::Classifier, TemplateKind::Redactor, TemplateKind::Filter] {
            let files = files("acme-plugin", kind);
            assert!(files.iter().any(|(path, _)| path.ends_with("_plugin_component_type.o")));
            for (path, bytes) in files {
                let text = String::from_utf8_lossy(&bytes);
                for word in ["{NAME}", "{KIND}", "{FILE}", "{CONTRACT}"] {
                    assert!(!text.contains(word), "{path}: {word}");
                }
            }
        }
    }
}
