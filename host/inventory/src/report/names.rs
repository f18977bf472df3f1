//! Who used what, and how texts and times are shown.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::DateTime;

use crypto_tracer_event::printable::printable;
use crypto_tracer_output::document::inventory::{
    Certificate, HostUse, Id, Inventory, Program, Stale, StaleReason, Time, Use,
};

/// Maximum length of a text in characters. Of a longer one, the end is shown.
const MAX_TEXT: usize = 200;
/// Maximum number of names in a cell.
const MAX_NAMES: usize = 12;

/// The text without anything that could hide or reorder what stands around it.
pub(super) fn shown(text: &str) -> String {
    let text = printable(text);
    let count = text.chars().count();
    if count <= MAX_TEXT {
        return text;
    }
    let kept = text.chars().skip(count - MAX_TEXT + 1);
    std::iter::once('…').chain(kept).collect()
}

/// Date and time without fractions.
pub(super) fn when(time: Option<Time>) -> String {
    let text = time.map(|it| it.to_string()).unwrap_or_default();
    let text = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    text.replace('T', " ")
}

/// Certainly stale: not only perhaps.
pub(super) fn is_stale(stale: Stale) -> bool {
    stale.reason != StaleReason::Unknown
}

/// The uses by target, and the names of programs.
pub(super) struct Usage<'a> {
    pub(super) programs: HashMap<Id, &'a Program>,
    by_target: HashMap<Id, Vec<&'a Use>>,
    hosts: HashMap<Id, &'a str>,
}

/// A certificate in use.
pub(super) struct UsedCertificate<'a> {
    pub(super) certificate: &'a Certificate,
    pub(super) paths: Vec<&'a str>,
    pub(super) uses: Vec<&'a Use>,
    /// Hosts that have it, of a merged inventory.
    pub(super) hosts: BTreeSet<Id>,
}

/// Hosts of a merged inventory whose part of a use is meant; `None`: all.
pub(super) type On<'a> = Option<&'a BTreeSet<Id>>;

impl UsedCertificate<'_> {
    /// Days from the end of the window to the end of the validity.
    pub(super) fn days_left(&self, inventory: &Inventory) -> Option<i64> {
        let end = DateTime::parse_from_rfc3339(self.certificate.not_after.as_deref()?).ok()?;
        let now = inventory.window.to.0.0;
        Some((end.timestamp_micros() - now).div_euclid(86_400_000_000))
    }
}

impl<'a> Usage<'a> {
    pub(super) fn new(inventory: &'a Inventory) -> Usage<'a> {
        let mut by_target: HashMap<Id, Vec<&Use>> = HashMap::new();
        for it in &inventory.uses {
            by_target.entry(it.target).or_default().push(it);
        }
        let hosts = inventory.hosts.iter();
        let hosts = hosts.map(|it| (it.id, it.host.hostname.as_deref().unwrap_or("?")));
        Usage {
            programs: inventory.programs.iter().map(|it| (it.id, it)).collect(),
            by_target,
            hosts: hosts.collect(),
        }
    }

    pub(super) fn of(&self, target: Id) -> &[&'a Use] {
        self.by_target.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Distinct certificates of used files.
    pub(super) fn certificates(&self, inventory: &'a Inventory) -> Vec<UsedCertificate<'a>> {
        let mut found: BTreeMap<&str, UsedCertificate<'a>> = BTreeMap::new();
        for file in &inventory.files {
            let uses = self.of(file.id);
            for certificate in &file.certificates {
                let new = || UsedCertificate {
                    certificate,
                    paths: Vec::new(),
                    uses: Vec::new(),
                    hosts: BTreeSet::new(),
                };
                let entry = found.entry(&certificate.sha256).or_insert_with(new);
                entry.paths.push(&file.path);
                // Of a merged inventory, the path may have another certificate on some hosts.
                let has = |host: Id| {
                    let own = file.hosts.iter().find(|own| own.host == host);
                    let own = own.and_then(|own| own.certificates.as_ref());
                    own.is_none_or(|own| own.contains(&certificate.sha256))
                };
                let owners = file.hosts.iter().map(|own| own.host).filter(|host| has(*host));
                entry.hosts.extend(owners);
                let is_user =
                    |it: &&&Use| it.hosts.is_empty() || it.hosts.iter().any(|on| has(on.host));
                entry.uses.extend(uses.iter().filter(is_user));
            }
        }
        found.into_values().collect()
    }

    /// Names of the programs of these uses, the ones with most uses first.
    pub(super) fn programs_of(&self, uses: &[&Use]) -> String {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for it in uses {
            let name = self.programs.get(&it.program).map_or("?", |it| it.name.as_str());
            let slot = counts.entry(shown(name)).or_default();
            *slot = slot.saturating_add(it.count);
        }
        let mut names: Vec<(String, u64)> = counts.into_iter().collect();
        names.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        listed(names.into_iter().map(|(name, _)| name))
    }

    /// Names of the hosts of these uses, of a merged inventory.
    pub(super) fn hosts_of(&self, uses: &[&Use], on: On<'_>) -> String {
        let ids: BTreeSet<Id> = of_hosts(uses, on).map(|it| it.host).collect();
        let names: BTreeSet<String> =
            ids.iter().filter_map(|id| self.hosts.get(id)).map(|name| shown(name)).collect();
        listed(names.into_iter())
    }
}

fn of_hosts<'a>(uses: &'a [&Use], on: On<'a>) -> impl Iterator<Item = &'a HostUse> {
    let all = uses.iter().flat_map(|it| it.hosts.iter());
    all.filter(move |it| on.is_none_or(|on| on.contains(&it.host)))
}

/// Joins names; beyond the limit they are counted.
pub(super) fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let mut text = names.take(MAX_NAMES).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// Opens and loads of these uses.
pub(super) fn total(uses: &[&Use], on: On<'_>) -> u64 {
    let alone = uses.iter().filter(|it| it.hosts.is_empty()).map(|it| it.count);
    let merged = of_hosts(uses, on).map(|it| it.count);
    alone.chain(merged).fold(0, u64::saturating_add)
}

/// Time of the last of these uses.
pub(super) fn last(uses: &[&Use], on: On<'_>) -> Option<Time> {
    let alone = uses.iter().filter(|it| it.hosts.is_empty()).filter_map(|it| it.last);
    alone.chain(of_hosts(uses, on).filter_map(|it| it.last)).max()
}
