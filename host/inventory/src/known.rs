//! What is known to exist: an inventory, or the CycloneDX document of a scanner.

use std::collections::HashMap;

use crypto_tracer_output::document::inventory::{Inventory, MAX_INVENTORY_BYTES};

use crate::cyclonedx_input;
use crate::error::{InputError, Position};
use crate::source::Source;
use crypto_tracer_output::document::inventory::ReadError;

/// What a known thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KnownKind {
    Certificate,
    Key,
    File,
    Library,
    Other,
}

/// A thing that is known to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownAsset {
    pub(crate) kind: KnownKind,
    /// Subject of a certificate, else a name.
    pub(crate) name: String,
    /// SHA-256 of a certificate's DER form.
    pub(crate) fingerprint: Option<String>,
    /// SHA-256 of the content. That of a certificate in DER form is its fingerprint.
    pub(crate) hashes: Vec<String>,
    /// Absolute paths.
    pub(crate) paths: Vec<String>,
    pub(crate) not_after: Option<String>,
}

/// Everything that is known.
#[derive(Debug)]
pub struct Known {
    pub(crate) file: String,
    pub(crate) format: String,
    pub(crate) tools: Vec<String>,
    pub(crate) assets: Vec<KnownAsset>,
    /// Components that name neither a certificate nor a path: nothing can be compared with them.
    pub(crate) other_components: u64,
    by_hash: HashMap<String, Vec<usize>>,
    by_path: HashMap<String, Vec<usize>>,
}

/// Reads an inventory.
///
/// # Errors
/// The document is not a valid inventory, or too large.
pub fn read_inventory(source: &Source) -> Result<Inventory, InputError> {
    let text = source.read_all(MAX_INVENTORY_BYTES)?;
    parse_inventory(source.name(), &text)
}

fn parse_inventory(file: &str, text: &[u8]) -> Result<Inventory, InputError> {
    Inventory::from_json(text).map_err(|error| match error {
        ReadError::Invalid { line, column, place, cause } => {
            let position = Position { line: line as u64, column: column as u64 };
            InputError::at(file, position, format!("{place}{cause}"))
        }
        error => InputError::whole(file, error.to_string()),
    })
}

impl Known {
    /// Reads an inventory or a CycloneDX document.
    ///
    /// # Errors
    /// The document is neither, of an unsupported version, or damaged.
    pub fn read(source: &Source) -> Result<Known, InputError> {
        let text = source.read_all(MAX_INVENTORY_BYTES)?;
        let file = source.name();
        let begin = text.iter().find(|byte| !byte.is_ascii_whitespace());
        if begin == Some(&b'<') {
            let problem = "XML; CycloneDX is read as JSON";
            return Err(InputError::whole(file, problem));
        }
        if cyclonedx_input::is_cyclonedx(&text) {
            let read = cyclonedx_input::read(file, &text)?;
            let cyclonedx_input::Assets { format, tools, assets, other_components } = read;
            return Ok(Known::new(file, format, tools, assets, other_components));
        }
        let inventory = parse_inventory(file, &text)?;
        Ok(Known::of_inventory(file, &inventory))
    }

    fn of_inventory(file: &str, inventory: &Inventory) -> Known {
        let mut assets = Vec::new();
        for it in &inventory.files {
            let kind = if it.r#type == "private_key" { KnownKind::Key } else { KnownKind::File };
            for certificate in &it.certificates {
                assets.push(KnownAsset {
                    kind: KnownKind::Certificate,
                    name: certificate.subject.clone().unwrap_or_else(|| it.path.clone()),
                    fingerprint: Some(certificate.sha256.clone()),
                    hashes: Vec::new(),
                    paths: vec![it.path.clone()],
                    not_after: certificate.not_after.clone(),
                });
            }
            assets.push(KnownAsset {
                kind,
                name: it.path.clone(),
                fingerprint: None,
                hashes: Vec::new(),
                paths: vec![it.path.clone()],
                not_after: None,
            });
        }
        assets.extend(inventory.libraries.iter().map(|it| KnownAsset {
            kind: KnownKind::Library,
            name: it.name.clone(),
            fingerprint: None,
            hashes: Vec::new(),
            paths: vec![it.path.clone()],
            not_after: None,
        }));
        let format = format!("inventory {}", inventory.inventory_version);
        Known::new(file, format, vec!["crypto-tracer".to_owned()], assets, 0)
    }

    fn new(
        file: &str,
        format: String,
        tools: Vec<String>,
        assets: Vec<KnownAsset>,
        other_components: u64,
    ) -> Known {
        let mut by_hash: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, asset) in assets.iter().enumerate() {
            for hash in asset.fingerprint.iter().chain(&asset.hashes) {
                by_hash.entry(hash.clone()).or_default().push(number);
            }
            for path in &asset.paths {
                by_path.entry(path.clone()).or_default().push(number);
                let redacted = redacted_home(path);
                if redacted != *path {
                    by_path.entry(redacted).or_default().push(number);
                }
            }
        }
        Known { file: file.to_owned(), format, tools, assets, other_components, by_hash, by_path }
    }

    /// Numbers of the assets with this SHA-256.
    pub(crate) fn with_hash(&self, sha256: &str) -> &[usize] {
        self.by_hash.get(sha256).map_or(&[], Vec::as_slice)
    }

    /// Numbers of the assets at this path.
    pub(crate) fn at_path(&self, path: &str) -> &[usize] {
        self.by_path.get(path).map_or(&[], Vec::as_slice)
    }

    /// Whether the document lists shared libraries by path. Most scanners list packages instead.
    pub(crate) fn lists_libraries(&self) -> bool {
        let is_shared = |path: &String| {
            let name = path.rsplit('/').next().unwrap_or_default();
            name.ends_with(".so") || name.contains(".so.")
        };
        self.assets.iter().any(|asset| asset.paths.iter().any(is_shared))
    }
}

/// The path as a redacted inventory shows it: `/home/alice/a.pem` is `/home/USER/a.pem`.
fn redacted_home(path: &str) -> String {
    let parts = path.strip_prefix("/home/").map(|rest| rest.split_once('/').unwrap_or((rest, "")));
    if let Some((_, rest)) = parts {
        let slash = if rest.is_empty() { "" } else { "/" };
        return format!("/home/USER{slash}{rest}");
    }
    match path.strip_prefix("/root") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("/home/ROOT{rest}"),
        _ => path.to_owned(),
    }
}
