//! Who used what, while it is collected.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crypto_tracer_output::document::inventory::{Id, Inventory, Time};

use super::document::UsedAsset;

/// Maximum number of programs and hosts that are listed for an asset.
const MAX_LISTED: usize = 100;

/// Users of an asset, while they are collected.
#[derive(Clone, Debug, Default)]
pub(super) struct Users {
    pub(super) programs: BTreeSet<Id>,
    hosts: BTreeSet<Id>,
    count: u64,
    last: Option<Time>,
}

impl Users {
    pub(super) fn add(&mut self, other: &Users) {
        self.programs.extend(&other.programs);
        self.hosts.extend(&other.hosts);
        self.count = self.count.saturating_add(other.count);
        self.last = self.last.max(other.last);
    }
}

/// Who used a target: of each run of a merged inventory, or of the only one.
#[derive(Debug, Default)]
pub(super) struct TargetUsers(BTreeMap<Option<Id>, Users>);

impl TargetUsers {
    pub(super) fn of_hosts(&self, is_meant: impl Fn(&Id) -> bool) -> Users {
        let mut all = Users::default();
        let meant = self.0.iter().filter(|(host, _)| host.as_ref().is_none_or(&is_meant));
        meant.for_each(|(_, users)| all.add(users));
        all
    }
}

pub(super) fn users_by_target(inventory: &Inventory) -> HashMap<Id, TargetUsers> {
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
pub(super) struct Names<'a> {
    programs: HashMap<Id, &'a str>,
    hosts: HashMap<Id, &'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn new(inventory: &'a Inventory) -> Names<'a> {
        let programs = inventory.programs.iter();
        let hosts = inventory.hosts.iter();
        Names {
            programs: programs.map(|it| (it.id, it.exe.as_deref().unwrap_or(&it.name))).collect(),
            hosts: hosts.map(|it| (it.id, it.host.hostname.as_deref().unwrap_or("?"))).collect(),
        }
    }

    pub(super) fn fill(&self, asset: &mut UsedAsset, users: &Users) {
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
