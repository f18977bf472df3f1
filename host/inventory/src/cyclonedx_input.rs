//! Reads CycloneDX documents of any producer, as far as they name certificates, keys, files and libraries.
//!
//! Producers write the same facts in different places. Where each puts a path and a hash is in [`BomComponent::paths`] and
//! [`BomComponent::hashes`]; tests/fixtures/cyclonedx has an example of each.

use std::collections::HashSet;

use chrono::DateTime;
use serde::Deserialize;

use crypto_tracer_event::printable::printable;

use crate::error::{InputError, Position};
use crate::known::{KnownAsset, KnownKind};

/// Versions whose fields this program knows.
const VERSIONS: [&str; 3] = ["1.5", "1.6", "1.7"];
/// Maximum nesting of components.
const MAX_NESTING: usize = 32;

#[derive(Deserialize)]
pub(crate) struct Bom {
    #[serde(rename = "bomFormat")]
    bom_format: String,
    #[serde(rename = "specVersion")]
    spec_version: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    components: Vec<BomComponent>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    tools: Option<Tools>,
}

/// Since version 1.5, an object; before, a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tools {
    Lists {
        #[serde(default)]
        components: Vec<Tool>,
        #[serde(default)]
        services: Vec<Tool>,
    },
    List(Vec<Tool>),
}

#[derive(Deserialize)]
struct Tool {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct BomComponent {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "bom-ref")]
    bom_ref: Option<String>,
    #[serde(default)]
    hashes: Vec<Hash>,
    #[serde(default)]
    evidence: Evidence,
    #[serde(default, rename = "cryptoProperties")]
    crypto: Option<Crypto>,
    #[serde(default)]
    properties: Vec<Property>,
    #[serde(default)]
    components: Vec<BomComponent>,
}

#[derive(Deserialize)]
struct Hash {
    alg: String,
    content: String,
}

#[derive(Default, Deserialize)]
struct Evidence {
    #[serde(default)]
    occurrences: Vec<Occurrence>,
}

#[derive(Deserialize)]
struct Occurrence {
    location: String,
}

#[derive(Deserialize)]
struct Crypto {
    #[serde(default, rename = "assetType")]
    asset_type: String,
    #[serde(default, rename = "certificateProperties")]
    certificate: Option<CertificateProperties>,
}

#[derive(Deserialize)]
struct CertificateProperties {
    #[serde(default, rename = "subjectName")]
    subject: Option<String>,
    #[serde(default, rename = "notValidBefore")]
    not_before: Option<String>,
    #[serde(default, rename = "notValidAfter")]
    not_after: Option<String>,
    #[serde(default)]
    fingerprint: Option<Hash>,
}

#[derive(Deserialize)]
struct Property {
    name: String,
    #[serde(default)]
    value: Option<String>,
}

/// A document's assets, and what it says of itself.
#[derive(Debug)]
pub(crate) struct Assets {
    /// `CycloneDX 1.6`
    pub(crate) format: String,
    /// Names of the tools that wrote it.
    pub(crate) tools: Vec<String>,
    pub(crate) assets: Vec<KnownAsset>,
    /// Components that name neither a certificate nor a path.
    pub(crate) other_components: u64,
}

/// Whether the text begins like a CycloneDX document in JSON: it names its format.
pub(crate) fn is_cyclonedx(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Format {
        #[serde(rename = "bomFormat")]
        format: Option<serde_json::Value>,
    }
    serde_json::from_slice::<Format>(text).is_ok_and(|it| it.format.is_some())
}

/// Reads a document.
pub(crate) fn read(file: &str, text: &[u8]) -> Result<Assets, InputError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let parsed: Result<Bom, _> = serde_path_to_error::deserialize(&mut json);
    let bom = parsed.map_err(|error| {
        let place = error.path().to_string();
        let inner = error.into_inner();
        let position = Position { line: inner.line() as u64, column: inner.column() as u64 };
        let text = inner.to_string();
        let cause = text.rsplit_once(" at line ").map_or(text.as_str(), |(cause, _)| cause);
        InputError::at(file, position, printable(&format!("{place}: {cause}")))
    })?;
    json.end().map_err(|error| {
        let position = Position { line: error.line() as u64, column: error.column() as u64 };
        InputError::at(file, position, "text after the end of the document")
    })?;
    if bom.bom_format != "CycloneDX" {
        return Err(InputError::whole(file, "bomFormat is not CycloneDX"));
    }
    if !VERSIONS.contains(&bom.spec_version.as_str()) {
        let version = printable(&bom.spec_version);
        let versions = VERSIONS.join(", ");
        return Err(InputError::whole(
            file,
            format!("CycloneDX {version} is not supported (supported: {versions})"),
        ));
    }
    let tools = match bom.metadata.tools {
        None => Vec::new(),
        Some(Tools::List(tools)) => tools,
        Some(Tools::Lists { components, services }) => {
            components.into_iter().chain(services).collect()
        }
    };
    let mut walk = Walk { file, refs: HashSet::new(), assets: Vec::new(), others: 0 };
    walk.components(&bom.components, "components", 0)?;
    Ok(Assets {
        format: format!("CycloneDX {}", bom.spec_version),
        tools: tools.into_iter().map(|tool| tool.name).filter(|name| !name.is_empty()).collect(),
        assets: walk.assets,
        other_components: walk.others,
    })
}

struct Walk<'a> {
    file: &'a str,
    refs: HashSet<String>,
    assets: Vec<KnownAsset>,
    others: u64,
}

impl Walk<'_> {
    fn components(
        &mut self,
        components: &[BomComponent],
        place: &str,
        depth: usize,
    ) -> Result<(), InputError> {
        if depth > MAX_NESTING {
            let problem = format!("components are nested deeper than {MAX_NESTING} levels");
            return Err(InputError::whole(self.file, problem));
        }
        for (number, component) in components.iter().enumerate() {
            let place = format!("{place}[{number}]");
            let error = |problem: String| {
                InputError::whole(self.file, printable(&format!("{place}: {problem}")))
            };
            if let Some(bom_ref) = &component.bom_ref
                && !self.refs.insert(bom_ref.clone())
            {
                return Err(error(format!("the bom-ref {bom_ref:?} occurs twice")));
            }
            let asset = component.asset().map_err(error)?;
            match asset {
                Some(asset) => self.assets.push(asset),
                None => self.others += 1,
            }
            self.components(&component.components, &format!("{place}.components"), depth + 1)?;
        }
        Ok(())
    }
}

impl BomComponent {
    fn asset(&self) -> Result<Option<KnownAsset>, String> {
        let kind = self.kind();
        let paths = self.paths();
        let certificate = self.crypto.as_ref().and_then(|crypto| crypto.certificate.as_ref());
        if let Some(certificate) = certificate {
            for (name, date) in [
                ("notValidBefore", &certificate.not_before),
                ("notValidAfter", &certificate.not_after),
            ] {
                if let Some(date) = date
                    && DateTime::parse_from_rfc3339(date).is_err()
                {
                    return Err(format!("{name} {date:?} is not a date"));
                }
            }
        }
        let hashes = self.hashes();
        // Of a certificate, the hash is that of its DER form only where the format says so.
        let fingerprint = certificate.and_then(|it| it.fingerprint.as_ref()).and_then(sha256);
        let is_useful = match kind {
            KnownKind::Certificate => {
                fingerprint.is_some() || !hashes.is_empty() || !paths.is_empty()
            }
            KnownKind::Key | KnownKind::File | KnownKind::Library => !paths.is_empty(),
            // Algorithms and protocols are no files.
            KnownKind::Other => false,
        };
        if !is_useful {
            return Ok(None);
        }
        let subject = certificate.and_then(|it| it.subject.clone());
        let name = match subject {
            Some(subject) if !subject.is_empty() => subject,
            _ => self.name.clone(),
        };
        let not_after = certificate.and_then(|it| it.not_after.clone());
        Ok(Some(KnownAsset { kind, name, fingerprint, hashes, paths, not_after }))
    }

    fn kind(&self) -> KnownKind {
        let asset_type = self.crypto.as_ref().map(|crypto| crypto.asset_type.as_str());
        match (self.r#type.as_str(), asset_type) {
            (_, Some("certificate")) => KnownKind::Certificate,
            (_, Some("related-crypto-material")) => KnownKind::Key,
            ("cryptographic-asset", _) | (_, Some(_)) => KnownKind::Other,
            ("library" | "framework" | "application", None) => KnownKind::Library,
            ("file" | "data", None) => KnownKind::File,
            _ => KnownKind::Other,
        }
    }

    /// Paths of the component: `evidence.occurrences` (cbomkit-theia, cdxgen, Trivy), the name of a file (Syft), or a
    /// property (`syft:location:0:path`, `aquasecurity:trivy:FilePath`, cdxgen's `SrcFile` and `path`).
    fn paths(&self) -> Vec<String> {
        let occurrences = self.evidence.occurrences.iter().map(|it| it.location.as_str());
        let properties = self.properties.iter().filter(|property| {
            let name = property.name.as_str();
            let syft = name.starts_with("syft:location:") && name.ends_with(":path");
            syft || matches!(name, "aquasecurity:trivy:FilePath" | "SrcFile" | "path")
        });
        let properties = properties.filter_map(|property| property.value.as_deref());
        let is_file = self.r#type == "file" || self.crypto.is_some();
        let name = Some(self.name.as_str()).filter(|name| is_file && name.contains('/'));
        let mut paths: Vec<String> =
            occurrences.chain(properties).chain(name).filter_map(absolute).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// SHA-256 of the component: `hashes`, or the end of a bom-ref `…@sha256:…` (cdxgen).
    fn hashes(&self) -> Vec<String> {
        let listed = self.hashes.iter().filter_map(sha256);
        let in_ref = self.bom_ref.as_ref().and_then(|it| it.rsplit_once("@sha256:"));
        let in_ref = in_ref.and_then(|(_, hash)| normal_sha256(hash));
        listed.chain(in_ref).collect()
    }
}

fn sha256(hash: &Hash) -> Option<String> {
    if hash.alg == "SHA-256" { normal_sha256(&hash.content) } else { None }
}

/// Lower-case hexadecimal digits without separators.
fn normal_sha256(text: &str) -> Option<String> {
    let digits: String =
        text.chars().filter(|&c| c != ':').map(|c| c.to_ascii_lowercase()).collect();
    (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

/// Scanners of images and folders write paths relative to the scanned root.
fn absolute(path: &str) -> Option<String> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    let path = path.trim_start_matches("./").trim_start_matches('/');
    if path.is_empty() || path.contains("://") { None } else { Some(format!("/{path}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute() {
        for (written, path) in [
            ("etc/ssl/a.pem", Some("/etc/ssl/a.pem")),
            ("./etc/ssl/a.pem", Some("/etc/ssl/a.pem")),
            ("/etc/ssl/a.pem", Some("/etc/ssl/a.pem")),
            ("file:///etc/a.pem", Some("/etc/a.pem")),
            ("https://example.org/a.pem", None),
            ("", None),
            ("/", None),
        ] {
            assert_eq!(absolute(written).as_deref(), path, "{written}");
        }
    }

    #[test]
    fn hashes_in_any_spelling() {
        let colons = ["AB"; 32].join(":");
        assert_eq!(normal_sha256(&colons), Some("ab".repeat(32)));
        assert_eq!(normal_sha256("abc"), None);
        assert_eq!(normal_sha256(&"g".repeat(64)), None);
    }

    fn refused(text: &str) -> String {
        read("cbom.json", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn errors_have_file_and_place() {
        let bom = |version: &str, components: &str| {
            format!(
                "{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"{version}\",\n\"components\":[{components}]}}"
            )
        };
        assert!(refused(&bom("1.4", "")).contains("cbom.json: CycloneDX 1.4 is not supported"));
        let twice = r#"{"type":"file","name":"/a","bom-ref":"x"}"#;
        let error = refused(&bom("1.6", &format!("{twice},{twice}")));
        assert_eq!(error, "cbom.json: components[1]: the bom-ref \"x\" occurs twice");
        let error = refused(&bom("1.6", r#"{"name":1}"#));
        assert!(error.starts_with("cbom.json, line 2, column "), "{error}");
        assert!(error.contains("components[0].name"), "{error}");
        let dated = r#"{"name":"a","cryptoProperties":{"assetType":"certificate","certificateProperties":{"notValidAfter":"soon"}}}"#;
        assert!(refused(&bom("1.7", dated)).contains("components[0]: notValidAfter \"soon\""));
        let whole = bom("1.6", twice);
        for cut in 0..whole.len() {
            assert!(read("x", &whole.as_bytes()[..cut]).is_err(), "{cut}");
        }
        assert!(refused(&format!("{whole} {{}}")).contains("text after the end"));
        let deep = format!("{}{}", r#"{"components":["#.repeat(40), "]}".repeat(40));
        assert!(refused(&bom("1.6", &deep)).contains("nested deeper"));
        assert!(read("x", bom("1.6", &r#"{"components":["#.repeat(4000)).as_bytes()).is_err());
    }
}
