//! The document of `inventory diff`.

use schemars::JsonSchema;
use serde::Serialize;

use crypto_tracer_output::document::inventory::{Time, Window};

/// Version of the format.
pub const DIFF_VERSION: &str = "1.0";
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

impl UsedAsset {
    pub(super) fn empty() -> UsedAsset {
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
