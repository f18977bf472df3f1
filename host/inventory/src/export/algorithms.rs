//! Algorithms of certificates as assets of their own, which certificates refer to.

use std::collections::BTreeMap;

use crypto_tracer_output::document::inventory::Certificate;

use super::model::{AlgorithmProperties, Component, CryptoProperties};

/// Algorithms by their bom-ref.
#[derive(Debug, Default)]
pub(super) struct Algorithms(BTreeMap<String, Component>);

/// Public-key algorithms and what they do. The name decides by how it begins.
const PRIMITIVES: [(&str, &str); 8] = [
    ("rsa", "pke"),
    ("ec", "signature"),
    ("ed", "signature"),
    ("dsa", "signature"),
    ("ml-dsa", "signature"),
    ("slh-dsa", "signature"),
    ("ml-kem", "kem"),
    ("x25519", "key-agree"),
];

impl Algorithms {
    /// Adds the algorithm of the signature. Returns its bom-ref.
    pub(super) fn signature(&mut self, certificate: &Certificate) -> Option<String> {
        let name = certificate.signature.as_deref()?;
        Some(self.add("signature", name, "signature", None))
    }

    /// Adds the algorithm of the public key. Returns its bom-ref.
    pub(super) fn public_key(&mut self, certificate: &Certificate) -> Option<String> {
        let name = certificate.public_key.as_deref()?;
        let lower = name.to_ascii_lowercase();
        let known = PRIMITIVES.iter().find(|(begin, _)| lower.starts_with(begin));
        let primitive = known.map_or("unknown", |(_, primitive)| primitive);
        let bits = certificate.bits.map(|bits| bits.to_string());
        Some(self.add("public-key", name, primitive, bits))
    }

    fn add(
        &mut self,
        role: &str,
        name: &str,
        primitive: &'static str,
        parameters: Option<String>,
    ) -> String {
        let suffix = parameters.as_ref().map(|it| format!("-{it}")).unwrap_or_default();
        let bom_ref = format!("algorithm-{role}-{name}{suffix}");
        self.0.entry(bom_ref.clone()).or_insert_with(|| Component {
            r#type: "cryptographic-asset",
            bom_ref: bom_ref.clone(),
            name: format!("{name}{suffix}"),
            crypto_properties: Some(CryptoProperties {
                asset_type: "algorithm",
                algorithm_properties: Some(AlgorithmProperties {
                    primitive,
                    parameter_set_identifier: parameters,
                }),
                certificate_properties: None,
                related_crypto_material_properties: None,
            }),
            ..Component::default()
        });
        bom_ref
    }

    pub(super) fn into_components(self) -> impl Iterator<Item = Component> {
        self.0.into_values()
    }
}
