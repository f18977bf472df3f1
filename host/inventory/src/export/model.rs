//! The part of CycloneDX 1.6 and 1.7 that this program writes.

use serde::Serialize;

fn is_empty<T>(list: &[T]) -> bool {
    list.is_empty()
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bom {
    #[serde(rename = "$schema")]
    pub(super) schema: String,
    pub(super) bom_format: &'static str,
    pub(super) spec_version: &'static str,
    pub(super) serial_number: String,
    pub(super) version: u32,
    pub(super) metadata: Metadata,
    pub(super) components: Vec<Component>,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) compositions: Vec<Composition>,
}

#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    pub(super) timestamp: String,
    pub(super) lifecycles: [Lifecycle; 1],
    pub(super) tools: Tools,
    pub(super) component: Component,
    pub(super) properties: Vec<Property>,
}

#[derive(Debug, Serialize)]
pub(super) struct Lifecycle {
    pub(super) phase: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Tools {
    pub(super) components: [Component; 1],
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    pub(super) r#type: &'static str,
    #[serde(rename = "bom-ref")]
    pub(super) bom_ref: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) components: Vec<Component>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<Evidence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) crypto_properties: Option<CryptoProperties>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) properties: Vec<Property>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Hash {
    pub(super) alg: &'static str,
    pub(super) content: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Evidence {
    pub(super) identity: [Identity; 1],
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) occurrences: Vec<Occurrence>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub(super) field: &'static str,
    pub(super) confidence: f32,
    pub(super) concluded_value: String,
    pub(super) methods: [Method; 1],
}

#[derive(Debug, Serialize)]
pub(super) struct Method {
    pub(super) technique: &'static str,
    pub(super) confidence: f32,
    pub(super) value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Occurrence {
    pub(super) location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) additional_context: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CryptoProperties {
    pub(super) asset_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) algorithm_properties: Option<AlgorithmProperties>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_properties: Option<CertificateProperties>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) related_crypto_material_properties: Option<MaterialProperties>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlgorithmProperties {
    pub(super) primitive: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameter_set_identifier: Option<String>,
}

/// Fields of both versions. Version 1.7 has a fingerprint and lists what belongs to the certificate.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CertificateProperties {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) serial_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_valid_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_valid_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signature_algorithm_ref: Option<String>,
    pub(super) certificate_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<Hash>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) related_cryptographic_assets: Vec<RelatedAsset>,
}

#[derive(Debug, Serialize)]
pub(super) struct RelatedAsset {
    pub(super) r#type: &'static str,
    pub(super) r#ref: String,
}

/// Neither the content nor the size of a key.
#[derive(Debug, Serialize)]
pub(super) struct MaterialProperties {
    pub(super) r#type: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    pub(super) r#ref: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) depends_on: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Composition {
    pub(super) aggregate: &'static str,
    pub(super) assemblies: Vec<String>,
    pub(super) dependencies: Vec<String>,
}
