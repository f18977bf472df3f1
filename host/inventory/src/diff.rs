//! Compares what was used with what is known.

mod document;
mod summary;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crypto_tracer_output::document::inventory::{Id, Inventory};

pub use self::document::{
    AssetKind, DIFF_VERSION, Diff, JoinedBy, KnownDocument, NotCompared, UnusedAsset, UsedAsset,
    UsedDocument, Verdict,
};
use self::users::{Names, TargetUsers, Users, users_by_target};
use crate::known::{Known, KnownAsset, KnownKind};

/// Compares an inventory with what is known. `file` is the inventory's name.
pub fn diff(known: &Known, file: &str, inventory: &Inventory) -> Diff {
    let names = Names::new(inventory);
    let mut compared = Compared { known, names, seen: BTreeSet::new(), found: Vec::new() };
    let users = users_by_target(inventory);
    compared.certificates(inventory, &users);
    let mut not_compared = Vec::new();
    for it in &inventory.files {
        // A file with certificates is compared by them.
        if it.certificates.is_empty()
            && let Some(users) = users.get(&it.id)
        {
            compared.path(AssetKind::File, &it.r#type, &it.path, users);
        }
    }
    if known.lists_libraries() {
        for it in &inventory.libraries {
            if let Some(users) = users.get(&it.id) {
                let version = it.version.as_ref().map(|version| format!(" {version}"));
                let name = format!("{}{}", it.name, version.unwrap_or_default());
                compared.path(AssetKind::Library, &name, &it.path, users);
            }
        }
    } else if !inventory.libraries.is_empty() {
        let reason = "used libraries, because the known document lists no shared library by path";
        let count = inventory.libraries.len() as u64;
        not_compared.push(NotCompared { count, reason: reason.to_owned() });
    }
    if known.other_components > 0 {
        let reason = "known components that name no certificate and no path";
        let count = known.other_components;
        not_compared.push(NotCompared { count, reason: reason.to_owned() });
    }
    let Compared { seen, found, .. } = compared;
    let (used_and_known, used_but_not_known) =
        found.into_iter().partition(|asset| asset.joined_by.is_some());
    let incomplete_because = reasons(inventory);
    let complete = inventory.coverage.complete && incomplete_because.is_empty();
    let verdict = if complete { Verdict::NotUsed } else { Verdict::NotSeen };
    Diff {
        diff_version: DIFF_VERSION,
        known: KnownDocument {
            file: known.file.clone(),
            format: known.format.clone(),
            tools: known.tools.clone(),
        },
        used: UsedDocument {
            file: file.to_owned(),
            window: inventory.window,
            hosts: inventory.hosts.len().max(1),
            complete,
            incomplete_because,
        },
        used_and_known,
        used_but_not_known,
        known_but_not_used: unused(known, &seen, verdict),
        not_compared,
    }
}

fn reasons(inventory: &Inventory) -> Vec<String> {
    let mut reasons = inventory.coverage.missing();
    if !inventory.coverage.complete && reasons.is_empty() {
        reasons.push("the run was not complete".to_owned());
    }
    reasons
}

fn unused(known: &Known, seen: &BTreeSet<usize>, verdict: Verdict) -> Vec<UnusedAsset> {
    let all = known.assets.iter().enumerate();
    let unused = all.filter(|(number, asset)| !seen.contains(number) && is_expected(asset));
    let mut unused: Vec<UnusedAsset> = unused
        .map(|(_, asset)| UnusedAsset {
            kind: match asset.kind {
                KnownKind::Certificate => AssetKind::Certificate,
                KnownKind::Library => AssetKind::Library,
                KnownKind::Key | KnownKind::File | KnownKind::Other => AssetKind::File,
            },
            sha256: asset.fingerprint.clone(),
            name: asset.name.clone(),
            not_after: asset.not_after.clone(),
            paths: asset.paths.clone(),
            verdict,
        })
        .collect();
    unused.sort_by(|one, other| {
        (one.kind, &one.name, &one.paths).cmp(&(other.kind, &other.name, &other.paths))
    });
    unused
}

/// Whether the use of a known thing would have been observed: an SBOM also lists files without any crypto.
fn is_expected(asset: &KnownAsset) -> bool {
    const EXTENSIONS: [&str; 21] = [
        "pem",
        "crt",
        "cer",
        "cert",
        "der",
        "key",
        "p12",
        "pfx",
        "pkcs12",
        "jks",
        "jceks",
        "bks",
        "bcfks",
        "keystore",
        "truststore",
        "p7b",
        "p7c",
        "p8",
        "gpg",
        "keytab",
        "kdbx",
    ];
    let has_extension = |path: &String| {
        path.rsplit_once('.').is_some_and(|(_, extension)| {
            EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
        })
    };
    match asset.kind {
        KnownKind::Certificate | KnownKind::Key => true,
        // An inventory lists only crypto; of an SBOM, a library with a path may be any.
        KnownKind::Library => asset.paths.iter().any(|path| is_crypto_library(path)),
        KnownKind::File => asset.paths.iter().any(has_extension),
        KnownKind::Other => false,
    }
}

fn is_crypto_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let crypto = [
        "libssl",
        "libcrypto",
        "libgnutls",
        "libnss3",
        "libgcrypt",
        "libsodium",
        "libmbed",
        "libwolfssl",
        "libnettle",
        "libhogweed",
        "libfreebl",
        "libsoftokn",
        "libbotan",
    ];
    crypto.iter().any(|known| name.starts_with(known))
}

struct Compared<'a> {
    known: &'a Known,
    names: Names<'a>,
    /// Numbers of the known assets that were used.
    seen: BTreeSet<usize>,
    found: Vec<UsedAsset>,
}

impl Compared<'_> {
    /// Joins certificates by their hash, whatever files have them.
    fn certificates(&mut self, inventory: &Inventory, users: &HashMap<Id, TargetUsers>) {
        let mut found: BTreeMap<&str, (UsedAsset, Users)> = BTreeMap::new();
        for it in &inventory.files {
            let Some(users) = users.get(&it.id) else { continue };
            for certificate in &it.certificates {
                // Of a merged inventory: the hosts on which the path has this certificate.
                let has = |host: &Id| {
                    let own = it.hosts.iter().find(|own| own.host == *host);
                    own.and_then(|own| own.certificates.as_ref())
                        .is_none_or(|own| own.contains(&certificate.sha256))
                };
                let users = users.of_hosts(has);
                if users.programs.is_empty() {
                    continue;
                }
                let new = || {
                    let asset = UsedAsset {
                        kind: AssetKind::Certificate,
                        sha256: Some(certificate.sha256.clone()),
                        name: certificate.subject.clone().unwrap_or_default(),
                        not_after: certificate.not_after.clone(),
                        ..UsedAsset::empty()
                    };
                    (asset, Users::default())
                };
                let (asset, all) = found.entry(&certificate.sha256).or_insert_with(new);
                asset.paths.push(it.path.clone());
                all.add(&users);
            }
        }
        for (sha256, (mut asset, users)) in found {
            asset.joined_by = self.join_certificate(sha256, &asset.paths);
            self.names.fill(&mut asset, &users);
            self.found.push(asset);
        }
    }

    fn join_certificate(&mut self, sha256: &str, paths: &[String]) -> Option<JoinedBy> {
        let same = self.known.with_hash(sha256);
        self.seen.extend(same);
        // The files that have it are known too.
        let at_paths = paths.iter().flat_map(|path| self.known.at_path(path));
        let mut joined = (!same.is_empty()).then_some(JoinedBy::Sha256);
        for &number in at_paths {
            let Some(asset) = self.known.assets.get(number) else { continue };
            // A known certificate with another hash at the path is another certificate.
            let is_other = asset.fingerprint.as_ref().is_some_and(|known| known != sha256);
            if is_other {
                continue;
            }
            let is_file_of_inventory =
                asset.kind != KnownKind::Certificate && self.path_has_fingerprints(asset);
            if joined.is_none() && is_file_of_inventory {
                continue;
            }
            self.seen.insert(number);
            joined.get_or_insert(JoinedBy::Path);
        }
        joined
    }

    /// Whether the known document has the hashes of the certificates at the path of `asset`.
    fn path_has_fingerprints(&self, asset: &KnownAsset) -> bool {
        let at_paths = asset.paths.iter().flat_map(|path| self.known.at_path(path));
        let mut at_paths = at_paths.filter_map(|&number| self.known.assets.get(number));
        at_paths.any(|known| known.fingerprint.is_some())
    }

    /// Joins a file or a library by its path.
    fn path(&mut self, kind: AssetKind, name: &str, path: &str, users: &TargetUsers) {
        let at_path = self.known.at_path(path);
        self.seen.extend(at_path);
        let mut asset = UsedAsset {
            kind,
            name: name.to_owned(),
            paths: vec![path.to_owned()],
            joined_by: (!at_path.is_empty()).then_some(JoinedBy::Path),
            ..UsedAsset::empty()
        };
        self.names.fill(&mut asset, &users.of_hosts(|_| true));
        self.found.push(asset);
    }
}

#[cfg(test)]
mod tests;
