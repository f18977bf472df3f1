//! CycloneDX: what was used, as a cryptography bill of materials of a running system.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::DateTime;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crypto_tracer_event::counted::counted;
use crypto_tracer_output::document::inventory::{
    Certificate, Host, Id, Inventory, InventoryFile, Time, Use,
};

use super::algorithms::Algorithms;
use super::model::{
    Bom, CertificateProperties, Component, Composition, CryptoProperties, Dependency, Evidence,
    Hash, Identity, Lifecycle, MaterialProperties, Metadata, Method, Occurrence, Property,
    RelatedAsset, Tools,
};

/// A version of CycloneDX that this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CycloneDxVersion {
    /// 1.6
    V1_6,
    /// 1.7
    V1_7,
}

impl CycloneDxVersion {
    fn number(self) -> &'static str {
        match self {
            CycloneDxVersion::V1_6 => "1.6",
            CycloneDxVersion::V1_7 => "1.7",
        }
    }
}

/// Returns the inventory as a CycloneDX document. The same inventory always gives the same document.
pub fn cyclonedx(inventory: &Inventory, version: CycloneDxVersion) -> impl Serialize + use<> {
    let uses = Uses::new(inventory);
    let mut export = Export { version, uses, algorithms: Algorithms::default() };
    let mut components = Vec::new();
    let mut dependencies: Vec<Dependency> = Vec::new();
    for it in &inventory.programs {
        let targets = export.uses.of_program.get(&it.id);
        let targets = targets.into_iter().flatten().map(|it| it.target.to_string()).collect();
        dependencies.push(Dependency { r#ref: it.id.to_string(), depends_on: targets });
        let path = it.exe.clone().unwrap_or_else(|| it.name.clone());
        let mut properties = Vec::new();
        properties.extend(it.users.iter().map(|it| property("crypto-tracer:user", it)));
        properties.extend(it.containers.iter().map(|it| property("crypto-tracer:container", it)));
        properties.push(property("crypto-tracer:processes", &it.processes.to_string()));
        components.push(Component {
            r#type: "application",
            bom_ref: it.id.to_string(),
            name: it.name.clone(),
            evidence: Some(evidence("name", &path, "executed", vec![occurrence(&path, None)])),
            properties,
            ..Component::default()
        });
    }
    for it in &inventory.libraries {
        let context = export.uses.context(it.id);
        let found = vec![occurrence(&it.path, context)];
        components.push(Component {
            r#type: "library",
            bom_ref: it.id.to_string(),
            name: it.name.clone(),
            version: it.version.clone(),
            evidence: Some(evidence("name", &it.path, "mapped as code", found)),
            properties: export.uses.stale(it.id),
            ..Component::default()
        });
    }
    for it in &inventory.files {
        let certificates = it.certificates.iter().map(|it| certificate_ref(it)).collect();
        dependencies.push(Dependency { r#ref: it.id.to_string(), depends_on: certificates });
        components.push(export.file(it));
    }
    for (certificate, paths) in certificates(inventory).into_values() {
        let (component, dependency) = export.certificate(certificate, &paths);
        components.push(component);
        dependencies.push(dependency);
    }
    components.extend(export.algorithms.into_components());
    let programs = inventory.programs.iter().map(|it| it.id.to_string()).collect();
    let root = root(inventory);
    let composition = Composition {
        aggregate: if inventory.coverage.complete { "complete" } else { "incomplete" },
        assemblies: vec![root.bom_ref.clone()],
        dependencies: programs,
    };
    Bom {
        schema: format!("http://cyclonedx.org/schema/bom-{}.schema.json", version.number()),
        bom_format: "CycloneDX",
        spec_version: version.number(),
        serial_number: serial_number(inventory),
        version: 1,
        metadata: metadata(inventory, root),
        components,
        dependencies,
        compositions: vec![composition],
    }
}

fn property(name: &'static str, value: &str) -> Property {
    Property { name, value: value.to_owned() }
}

fn occurrence(location: &str, additional_context: Option<String>) -> Occurrence {
    Occurrence { location: location.to_owned(), additional_context }
}

fn evidence(
    field: &'static str,
    concluded: &str,
    how: &str,
    occurrences: Vec<Occurrence>,
) -> Evidence {
    let methods = [Method {
        technique: "instrumentation",
        confidence: 1.0,
        value: format!("{how} while the kernel was traced"),
    }];
    let concluded_value = concluded.to_owned();
    Evidence {
        identity: [Identity { field, confidence: 1.0, concluded_value, methods }],
        occurrences,
    }
}

fn certificate_ref(certificate: &Certificate) -> String {
    format!("certificate-{}", certificate.sha256)
}

/// Distinct certificates, and the files that have each.
fn certificates(inventory: &Inventory) -> BTreeMap<&str, (&Certificate, Vec<&InventoryFile>)> {
    let mut found: BTreeMap<&str, (&Certificate, Vec<&InventoryFile>)> = BTreeMap::new();
    for file in &inventory.files {
        for certificate in &file.certificates {
            let entry = found.entry(&certificate.sha256);
            entry.or_insert((certificate, Vec::new())).1.push(file);
        }
    }
    found
}

/// The uses, by program and by target.
struct Uses<'a> {
    of_program: HashMap<Id, Vec<&'a Use>>,
    of_target: HashMap<Id, Vec<&'a Use>>,
}

impl<'a> Uses<'a> {
    fn new(inventory: &'a Inventory) -> Uses<'a> {
        let (mut of_program, mut of_target) = (HashMap::new(), HashMap::new());
        for it in &inventory.uses {
            of_program.entry(it.program).or_insert_with(Vec::new).push(it);
            of_target.entry(it.target).or_insert_with(Vec::new).push(it);
        }
        Uses { of_program, of_target }
    }

    fn of(&self, target: Id) -> &[&'a Use] {
        self.of_target.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Describes the uses of a target in a sentence.
    fn context(&self, target: Id) -> Option<String> {
        let uses = self.of(target);
        let last = uses.iter().map(|it| it.last).max()?;
        let count = uses.iter().fold(0_u64, |sum, it| sum.saturating_add(it.count));
        let hosts: BTreeSet<Id> =
            uses.iter().flat_map(|it| it.hosts.iter().map(|host| host.host)).collect();
        let on = match hosts.len() {
            0 => String::new(),
            hosts => format!(" on {}", counted(hosts, "host")),
        };
        let last = last.map(|last| format!(", last at {last}")).unwrap_or_default();
        let (times, programs) = (counted(count, "time"), counted(uses.len(), "program"));
        Some(format!("used {times} by {programs}{on}{last}"))
    }

    fn stale(&self, target: Id) -> Vec<Property> {
        let stale: BTreeSet<&str> =
            self.of(target).iter().filter_map(|it| it.stale).map(|it| it.reason.name()).collect();
        stale.into_iter().map(|reason| property("crypto-tracer:stale", reason)).collect()
    }
}

struct Export<'a> {
    version: CycloneDxVersion,
    uses: Uses<'a>,
    algorithms: Algorithms,
}

impl Export<'_> {
    fn file(&self, it: &InventoryFile) -> Component {
        let is_key = it.r#type == "private_key";
        let crypto_properties = is_key.then_some(CryptoProperties {
            asset_type: "related-crypto-material",
            algorithm_properties: None,
            certificate_properties: None,
            related_crypto_material_properties: Some(MaterialProperties { r#type: "private-key" }),
        });
        let mut properties = vec![property("crypto-tracer:file_type", &it.r#type)];
        properties.extend(self.uses.stale(it.id));
        let found = vec![occurrence(&it.path, self.uses.context(it.id))];
        Component {
            r#type: if is_key { "cryptographic-asset" } else { "file" },
            bom_ref: it.id.to_string(),
            name: it.path.clone(),
            evidence: Some(evidence("name", &it.path, "opened", found)),
            crypto_properties,
            properties,
            ..Component::default()
        }
    }

    fn certificate(
        &mut self,
        it: &Certificate,
        files: &[&InventoryFile],
    ) -> (Component, Dependency) {
        let bom_ref = certificate_ref(it);
        let signature = self.algorithms.signature(it);
        let public_key = self.algorithms.public_key(it);
        let refs: Vec<String> = signature.iter().chain(&public_key).cloned().collect();
        let hash = Hash { alg: "SHA-256", content: it.sha256.clone() };
        let mut details = CertificateProperties {
            subject_name: it.subject.clone(),
            issuer_name: it.issuer.clone(),
            not_valid_before: it.not_before.clone().filter(|it| is_date(it)),
            not_valid_after: it.not_after.clone().filter(|it| is_date(it)),
            certificate_format: "X.509",
            ..CertificateProperties::default()
        };
        match self.version {
            CycloneDxVersion::V1_6 => details.signature_algorithm_ref = signature,
            CycloneDxVersion::V1_7 => {
                details.serial_number = it.serial.clone();
                details.fingerprint = Some(hash.clone());
                let related =
                    refs.iter().map(|it| RelatedAsset { r#type: "algorithm", r#ref: it.clone() });
                details.related_cryptographic_assets = related.collect();
            }
        }
        let mut properties = Vec::new();
        let mut add = |name, value: Option<String>| {
            properties.extend(value.map(|value| property(name, &value)));
        };
        add("crypto-tracer:certificate:serial", it.serial.clone());
        add("crypto-tracer:certificate:ca", it.ca.map(|it| it.to_string()));
        add("crypto-tracer:certificate:self_signed", it.self_signed.map(|it| it.to_string()));
        let occurrences =
            files.iter().map(|file| occurrence(&file.path, self.uses.context(file.id)));
        let component = Component {
            r#type: "cryptographic-asset",
            bom_ref: bom_ref.clone(),
            name: it.subject.clone().unwrap_or_else(|| it.sha256.clone()),
            hashes: vec![hash],
            evidence: Some(evidence("hash", &it.sha256, "read", occurrences.collect())),
            crypto_properties: Some(CryptoProperties {
                asset_type: "certificate",
                algorithm_properties: None,
                certificate_properties: Some(details),
                related_crypto_material_properties: None,
            }),
            properties,
            ..Component::default()
        };
        (component, Dependency { r#ref: bom_ref, depends_on: refs })
    }
}

/// An inspector may write anything.
fn is_date(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
}

fn device(bom_ref: String, host: &Host) -> Component {
    let mut properties = Vec::new();
    let kernel = host.kernel.as_ref().map(|it| property("crypto-tracer:kernel", it));
    let os = host.os.as_ref().map(|it| property("crypto-tracer:os", it));
    properties.extend(kernel.into_iter().chain(os));
    Component {
        r#type: "device",
        bom_ref,
        name: host.hostname.clone().unwrap_or_else(|| "unknown".to_owned()),
        properties,
        ..Component::default()
    }
}

/// What the document describes: a machine, or several.
fn root(inventory: &Inventory) -> Component {
    match &inventory.host {
        Some(host) => {
            let id = Id::host(host.hostname.as_deref(), inventory.window.from);
            device(id.to_string(), host)
        }
        None => Component {
            r#type: "platform",
            bom_ref: "hosts".to_owned(),
            name: counted(inventory.hosts.len(), "host").to_string(),
            components: inventory
                .hosts
                .iter()
                .map(|it| device(it.id.to_string(), &it.host))
                .collect(),
            ..Component::default()
        },
    }
}

fn metadata(inventory: &Inventory, component: Component) -> Metadata {
    let time = |time: Time| time.to_string();
    let mut properties = vec![
        property("crypto-tracer:window:from", &time(inventory.window.from)),
        property("crypto-tracer:window:to", &time(inventory.window.to)),
        property("crypto-tracer:events_lost", &inventory.coverage.events_lost.to_string()),
    ];
    let missing = inventory.coverage.missing();
    properties.extend(missing.iter().map(|it| property("crypto-tracer:not_complete", it)));
    Metadata {
        timestamp: time(inventory.generated_at),
        lifecycles: [Lifecycle { phase: "operations" }],
        tools: Tools {
            components: [Component {
                r#type: "application",
                bom_ref: "crypto-tracer".to_owned(),
                name: "crypto-tracer".to_owned(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                ..Component::default()
            }],
        },
        component,
        properties,
    }
}

/// A UUID that depends on the hosts and the time only.
fn serial_number(inventory: &Inventory) -> String {
    let mut hasher = Sha256::new();
    hasher.update(inventory.generated_at.to_string());
    let alone = inventory.host.iter().filter_map(|host| host.hostname.as_deref());
    alone.for_each(|name| hasher.update(name));
    inventory.hosts.iter().for_each(|host| hasher.update(host.id.to_string()));
    hasher.update(inventory.window.from.to_string());
    let digest = hasher.finalize();
    let mut number = digest.iter().take(16).fold(0_u128, |all, &byte| all << 8 | u128::from(byte));
    // Version 8 (own scheme), variant 1.
    number = number & !(0xf << 76) | 8 << 76;
    number = number & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}
