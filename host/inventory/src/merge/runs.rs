//! Decides which document describes a run, when several do.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crypto_tracer_output::document::inventory::{Coverage, Id, MergedHost, Time, Window};

use crate::header::Header;

/// The runs of all documents. Of several documents of one run (`--every` writes it again and again), the latest counts.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<Id, MergedHost>);

/// Orders documents of one run. Total, so that the order of the arguments makes no difference.
fn version(host: &MergedHost) -> (Time, Time, String) {
    let rest = serde_json::to_string(host).unwrap_or_default();
    (host.window.to, host.generated_at, rest)
}

impl Runs {
    /// Adds the runs of a document. Returns those that another document describes too.
    pub(super) fn add(&mut self, header: &Header) -> Vec<Id> {
        let mut again = Vec::new();
        for host in &header.hosts {
            match self.0.get_mut(&host.id) {
                None => {
                    self.0.insert(host.id, host.clone());
                }
                Some(known) => {
                    match version(known).cmp(&version(host)) {
                        Ordering::Less => *known = host.clone(),
                        Ordering::Greater | Ordering::Equal => {}
                    }
                    again.push(host.id);
                }
            }
        }
        again
    }

    /// Returns the runs of a document that no later document replaces.
    pub(super) fn kept(&self, header: &Header) -> BTreeSet<Id> {
        let is_latest = |host: &&MergedHost| self.0.get(&host.id) == Some(host);
        header.hosts.iter().filter(is_latest).map(|host| host.id).collect()
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &MergedHost> {
        self.0.values()
    }

    /// Returns the time of the last document, the time from the first to the last window, and the sum of the coverages.
    pub(super) fn summary(&self) -> (Time, Window, Coverage) {
        let first = self.0.values().next();
        let mut window =
            first.map_or(Window { from: Time::default(), to: Time::default() }, |it| it.window);
        let mut generated_at = Time::default();
        let mut coverage = Coverage::default();
        let (mut probes, mut spots) = (BTreeSet::new(), BTreeSet::new());
        for host in self.0.values() {
            window.from = window.from.min(host.window.from);
            window.to = window.to.max(host.window.to);
            generated_at = generated_at.max(host.generated_at);
            let Coverage {
                complete: _,
                events_lost,
                lost_by_cause,
                probes: own,
                blind_spots,
                unreadable_processes,
                not_listed,
            } = &host.coverage;
            let sum = |total: &mut u64, more: u64| *total = total.saturating_add(more);
            sum(&mut coverage.events_lost, *events_lost);
            sum(&mut coverage.unreadable_processes, *unreadable_processes);
            for (cause, count) in lost_by_cause {
                sum(coverage.lost_by_cause.entry(cause.clone()).or_default(), *count);
            }
            probes.extend(own);
            spots.extend(blind_spots);
            let total = &mut coverage.not_listed;
            sum(&mut total.programs, not_listed.programs);
            sum(&mut total.libraries, not_listed.libraries);
            sum(&mut total.files, not_listed.files);
            sum(&mut total.certificates, not_listed.certificates);
            sum(&mut total.uses, not_listed.uses);
            sum(&mut total.users_and_containers, not_listed.users_and_containers);
            sum(&mut total.events, not_listed.events);
        }
        coverage.probes = probes.into_iter().cloned().collect();
        coverage.blind_spots = spots.into_iter().cloned().collect();
        coverage.judge();
        coverage.complete &= self.0.values().all(|host| host.coverage.complete);
        (generated_at, window, coverage)
    }

    /// Returns pairs of runs of hosts with one name whose windows overlap: uses in both are counted twice.
    pub(super) fn overlapping(&self) -> Vec<(&MergedHost, &MergedHost)> {
        let mut by_name: BTreeMap<&Option<String>, Vec<&MergedHost>> = BTreeMap::new();
        for host in self.0.values() {
            by_name.entry(&host.host.hostname).or_default().push(host);
        }
        let mut found = Vec::new();
        for runs in by_name.values_mut() {
            runs.sort_by_key(|run| (run.window.from, run.window.to));
            for pair in runs.windows(2) {
                if let [earlier, later] = pair
                    && later.window.from < earlier.window.to
                {
                    found.push((*earlier, *later));
                }
            }
        }
        found
    }
}
