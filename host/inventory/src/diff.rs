//! Compares what was used with what is known.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::document::Document;
use crypto_tracer_output::document::inventory::{Id, Inventory, Time, Window};

use crate::known::{Known, KnownAsset, KnownKind};

/// Version of the format.
pub const DIFF_VERSION: &str = "1.0";
/// Maximum number of programs and hosts that are listed for an asset.
const MAX_LISTED: usize = 100;

/// What was used and is known, what was used and is not known, and what is known and was not used.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "crypto-tracer: inventory diff", deny_unknown_fields)]
pub struct Diff {
    /// Version of this format.
    #[schemars(extend("const" = DIFF_VERSION))]
    pub diff_version: &'static str,
    /// The document that lists what is known.
    pub known: KnownDocument,
    /// The inventory that lists what was used.
    pub used: UsedDocument,
    /// Used and known.
    pub used_and_known: Vec<UsedAsset>,
    /// Used but not known.
    pub used_but_not_known: Vec<UsedAsset>,
    /// Known but not used.
    pub known_but_not_used: Vec<UnusedAsset>,
    /// What cannot be compared, and why.
    pub not_compared: Vec<NotCompared>,
}

/// The document that lists what is known.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct KnownDocument {
    /// Name of the file.
    pub file: String,
    /// Format and version.
    pub format: String,
    /// Tools that wrote it.
    pub tools: Vec<String>,
}

/// The inventory that lists what was used.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct UsedDocument {
    /// Name of the file.
    pub file: String,
    /// The observed time.
    pub window: Window,
    /// Number of hosts.
    pub hosts: usize,
    /// Whether everything was observed. If not, what is not in the inventory may have been used.
    pub complete: bool,
    /// Why not everything was observed.
    pub incomplete_because: Vec<String>,
}

/// What an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AssetKind {
    /// A certificate in a file.
    Certificate,
    /// A file: a key, a keystore, or one whose certificates are not known.
    File,
    /// A shared library.
    Library,
}

/// How an asset was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum JoinedBy {
    /// The SHA-256 of the certificate.
    Sha256,
    /// The path.
    Path,
}

/// Something that was used.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct UsedAsset {
    /// What it is.
    pub kind: AssetKind,
    /// SHA-256 of a certificate in DER form, else null.
    pub sha256: Option<String>,
    /// Subject of a certificate, type of a file, name and version of a library.
    pub name: String,
    /// End of a certificate's validity.
    pub not_after: Option<String>,
    /// Paths at which it was used.
    pub paths: Vec<String>,
    /// How it was recognised; null if it is not known.
    pub joined_by: Option<JoinedBy>,
    /// Executables, or names, of the programs that used it: at most 100.
    pub programs: Vec<String>,
    /// Hosts on which it was used, of a merged inventory: at most 100.
    pub hosts: Vec<String>,
    /// Number of programs and hosts beyond these lists.
    pub more: u64,
    /// Number of loads or opens.
    pub count: u64,
    /// Time of the last one; null if all were before the window.
    pub last: Option<Time>,
}

/// Whether something was not used, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Verdict {
    /// Everything was observed, and it was not used.
    NotUsed,
    /// Not everything was observed, and it was not seen.
    NotSeen,
}

/// Something that is known and was not used.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct UnusedAsset {
    /// What it is.
    pub kind: AssetKind,
    /// SHA-256 of a certificate in DER form, else null.
    pub sha256: Option<String>,
    /// Subject of a certificate, else the name.
    pub name: String,
    /// End of a certificate's validity.
    pub not_after: Option<String>,
    /// Paths.
    pub paths: Vec<String>,
    /// Whether it was not used, or only not seen.
    pub verdict: Verdict,
}

/// What cannot be compared.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct NotCompared {
    /// How many.
    pub count: u64,
    /// What, and why.
    pub reason: String,
}

/// Users of an asset, while they are collected.
#[derive(Clone, Debug, Default)]
struct Users {
    programs: BTreeSet<Id>,
    hosts: BTreeSet<Id>,
    count: u64,
    last: Option<Time>,
}

impl Users {
    fn add(&mut self, other: &Users) {
        self.programs.extend(&other.programs);
        self.hosts.extend(&other.hosts);
        self.count = self.count.saturating_add(other.count);
        self.last = self.last.max(other.last);
    }
}

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

impl UsedAsset {
    fn empty() -> UsedAsset {
        UsedAsset {
            kind: AssetKind::File,
            sha256: None,
            name: String::new(),
            not_after: None,
            paths: Vec::new(),
            joined_by: None,
            programs: Vec::new(),
            hosts: Vec::new(),
            more: 0,
            count: 0,
            last: None,
        }
    }
}

/// Who used a target: of each run of a merged inventory, or of the only one.
#[derive(Debug, Default)]
struct TargetUsers(BTreeMap<Option<Id>, Users>);

impl TargetUsers {
    fn of_hosts(&self, is_meant: impl Fn(&Id) -> bool) -> Users {
        let mut all = Users::default();
        let meant = self.0.iter().filter(|(host, _)| host.as_ref().is_none_or(&is_meant));
        meant.for_each(|(_, users)| all.add(users));
        all
    }
}

fn users_by_target(inventory: &Inventory) -> HashMap<Id, TargetUsers> {
    let mut found: HashMap<Id, TargetUsers> = HashMap::new();
    for it in &inventory.uses {
        let users = found.entry(it.target).or_default();
        let mut add = |host: Option<Id>, count: u64, last: Option<Time>| {
            let programs = BTreeSet::from([it.program]);
            let hosts = host.into_iter().collect();
            users.0.entry(host).or_default().add(&Users { programs, hosts, count, last });
        };
        if it.hosts.is_empty() {
            add(None, it.count, it.last);
        }
        for host in &it.hosts {
            add(Some(host.host), host.count, host.last);
        }
    }
    found
}

/// Names of programs and hosts.
struct Names<'a> {
    programs: HashMap<Id, &'a str>,
    hosts: HashMap<Id, &'a str>,
}

impl<'a> Names<'a> {
    fn new(inventory: &'a Inventory) -> Names<'a> {
        let programs = inventory.programs.iter();
        let hosts = inventory.hosts.iter();
        Names {
            programs: programs.map(|it| (it.id, it.exe.as_deref().unwrap_or(&it.name))).collect(),
            hosts: hosts.map(|it| (it.id, it.host.hostname.as_deref().unwrap_or("?"))).collect(),
        }
    }

    fn fill(&self, asset: &mut UsedAsset, users: &Users) {
        let listed = |ids: &BTreeSet<Id>, names: &HashMap<Id, &str>| -> (Vec<String>, u64) {
            let names: BTreeSet<&str> =
                ids.iter().filter_map(|id| names.get(id).copied()).collect();
            let more = names.len().saturating_sub(MAX_LISTED) as u64;
            (names.into_iter().take(MAX_LISTED).map(str::to_owned).collect(), more)
        };
        let (programs, more_programs) = listed(&users.programs, &self.programs);
        let (hosts, more_hosts) = listed(&users.hosts, &self.hosts);
        asset.programs = programs;
        asset.hosts = hosts;
        asset.more = more_programs + more_hosts;
        asset.count = users.count;
        asset.last = users.last;
        asset.paths.sort_unstable();
        asset.paths.dedup();
    }
}

impl Diff {
    /// Whether everything that was used is known.
    pub fn all_known(&self) -> bool {
        self.used_but_not_known.is_empty()
    }
}

impl AssetKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            AssetKind::Certificate => "certificate",
            AssetKind::File => "file",
            AssetKind::Library => "library",
        }
    }
}

impl Document for Diff {
    fn summary(&self) -> String {
        let mut text = format!(
            "{}: {} known, {} not known; {} {}\n",
            printable(&self.used.file),
            counted(self.used_and_known.len(), "used asset"),
            self.used_but_not_known.len(),
            counted(self.known_but_not_used.len(), "known asset"),
            if self.used.complete { "not used" } else { "not seen" },
        );
        let _ = writeln!(text, "known: {} ({})", printable(&self.known.file), self.known.format);
        for reason in &self.used.incomplete_because {
            let _ = writeln!(text, "not seen does not mean not used: {}", printable(reason));
        }
        for it in &self.not_compared {
            let _ = writeln!(text, "not compared ({}): {}", it.count, printable(&it.reason));
        }
        for (title, list) in [
            ("Used but not known", &self.used_but_not_known),
            ("Used and known", &self.used_and_known),
        ] {
            if !list.is_empty() {
                let _ = writeln!(text, "\n{title}");
            }
            for asset in list {
                let paths = asset.paths.iter().map(|path| printable(path)).collect::<Vec<_>>();
                let _ = writeln!(
                    text,
                    "  {:<12} {}  {}",
                    asset.kind.name(),
                    printable(&asset.name),
                    paths.join(", ")
                );
                let programs: Vec<_> = asset.programs.iter().map(|it| printable(it)).collect();
                let hosts: Vec<_> = asset.hosts.iter().map(|it| printable(it)).collect();
                let on = if hosts.is_empty() { "" } else { " on " };
                let more = match asset.more {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let count = counted(asset.count, "time");
                let by = programs.join(", ");
                let _ =
                    writeln!(text, "               {count} by {by}{on}{}{more}", hosts.join(", "));
            }
        }
        if let Some(first) = self.known_but_not_used.first() {
            let title = match first.verdict {
                Verdict::NotUsed => "Known but not used",
                Verdict::NotSeen => "Known but not seen",
            };
            let _ = writeln!(text, "\n{title}");
        }
        for asset in &self.known_but_not_used {
            let paths = asset.paths.iter().map(|path| printable(path)).collect::<Vec<_>>();
            let (kind, name) = (asset.kind.name(), printable(&asset.name));
            let _ = writeln!(text, "  {kind:<12} {name}  {}", paths.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests;
