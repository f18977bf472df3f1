//! `replay --diff`: what another configuration changes in a recording's events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

use crypto_tracer_event::counted::counted;
use crypto_tracer_event::{PathIdentity, RedactedEvent, RedactedWhat};
use crypto_tracer_output::Collected;

/// Examples of each kind of change.
const MAX_EXAMPLES: usize = 3;

/// The run of one configuration.
pub(super) struct Side {
    /// Name of the configuration.
    pub(super) name: String,
    pub(super) events: Collected,
    /// Events that each filter dropped, by `name@version`.
    pub(super) drops: Vec<(String, u64)>,
}

/// One kind of change.
#[derive(Default)]
struct Change {
    count: u64,
    /// Counts by plugin or by label.
    by: BTreeMap<String, u64>,
    /// Lines of events: before, and after the change.
    examples: Vec<(Option<String>, Option<String>)>,
}

impl Change {
    fn add(&mut self, before: Option<&str>, after: Option<&str>, by: impl Iterator<Item = String>) {
        self.count += 1;
        by.for_each(|by| *self.by.entry(by).or_default() += 1);
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push((before.map(str::to_owned), after.map(str::to_owned)));
        }
    }
}

/// Identifies an event in both runs. The events of a recording are the same in each run, except those that a configuration
/// does not select.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    timestamp: i64,
    pid: u32,
    start_ns: u64,
    kind: &'static str,
    path: Option<PathIdentity>,
}

impl Key {
    fn of(event: &RedactedEvent) -> Key {
        let (kind, path) = match event.what() {
            RedactedWhat::FileOpen { file, .. } => ("file_open", Some(file.identity)),
            RedactedWhat::LibLoad { file, .. } => ("lib_load", Some(file.identity)),
            RedactedWhat::Exec { .. } => ("process_exec", None),
            RedactedWhat::Exit { .. } => ("process_exit", None),
        };
        let process = event.process();
        let (pid, start_ns) = (process.pid, process.start_ns);
        Key { timestamp: event.timestamp().0, pid, start_ns, kind, path }
    }
}

/// The summary, with examples.
pub(super) fn summary(old: &Side, new: &Side) -> String {
    let mut known: BTreeMap<Key, VecDeque<usize>> = BTreeMap::new();
    for (at, (event, _)) in old.events.events.iter().enumerate() {
        known.entry(Key::of(event)).or_default().push_back(at);
    }
    let [mut dropped, mut added, mut retyped, mut relabelled, mut rewritten] =
        <[Change; 5]>::default();
    let mut same: u64 = 0;
    for (event, line) in &new.events.events {
        let before = known.get_mut(&Key::of(event)).and_then(VecDeque::pop_front);
        let Some((earlier, old_line)) = before.and_then(|at| old.events.events.get(at)) else {
            added.add(None, Some(line), std::iter::empty());
            continue;
        };
        let (old_line, line) = (Some(&**old_line), Some(&**line));
        if earlier.verdict().file_type != event.verdict().file_type {
            let by = event.verdict().classifier.as_deref().unwrap_or("no classifier");
            retyped.add(old_line, line, std::iter::once(by.to_owned()));
        } else if earlier.labels() != event.labels() {
            relabelled.add(old_line, line, changed_labels(earlier, event));
        } else if old_line != line {
            rewritten.add(old_line, line, std::iter::empty());
        } else {
            same += 1;
        }
    }
    let mut gone: Vec<usize> = known.into_values().flatten().collect();
    gone.sort_unstable();
    for (_, line) in gone.into_iter().filter_map(|at| old.events.events.get(at)) {
        dropped.add(Some(line), None, std::iter::empty());
    }
    dropped.by = drops(old, new);
    let mut text = String::new();
    let shown = |side: &Side| counted(side.events.events.len(), "event").to_string();
    let _ = writeln!(text, "before  {}: {}", old.name, shown(old));
    let _ = writeln!(text, "after   {}: {}", new.name, shown(new));
    let _ = writeln!(text, "{:<13} {same}", "the same");
    for (name, change) in [
        ("dropped", &dropped),
        ("added", &added),
        ("retyped", &retyped),
        ("relabelled", &relabelled),
        ("other text", &rewritten),
    ] {
        let by = change.by.iter().map(|(by, count)| format!("{by} {count}"));
        let by = by.collect::<Vec<_>>().join(", ");
        let by = if by.is_empty() { by } else { format!(" ({by})") };
        let _ = writeln!(text, "{name:<13} {}{by}", change.count);
    }
    for (name, change) in [
        ("dropped", dropped),
        ("added", added),
        ("retyped", retyped),
        ("relabelled", relabelled),
        ("other text", rewritten),
    ] {
        if !change.examples.is_empty() {
            let _ = writeln!(text, "\n{name}, for example:");
        }
        for (before, after) in change.examples {
            for (sign, line) in [('-', before), ('+', after)] {
                if let Some(line) = line {
                    let _ = writeln!(text, "{sign} {line}");
                }
            }
        }
    }
    let more = old.events.more.max(new.events.more);
    if more > 0 {
        let more = counted(more, "further event");
        let _ = writeln!(text, "\n{more} not compared: select fewer, for example with --name");
    }
    text
}

/// Names of the labels that differ.
fn changed_labels(before: &RedactedEvent, after: &RedactedEvent) -> impl Iterator<Item = String> {
    let both = [(before, after), (after, before)];
    let names: BTreeSet<String> = both
        .into_iter()
        .flat_map(|(from, to)| {
            from.labels().iter().filter(|label| !to.labels().contains(label)).map(|(name, _)| name)
        })
        .map(|name| format!("label {name}"))
        .collect();
    names.into_iter()
}

/// Further events that each filter of the new configuration drops.
fn drops(old: &Side, new: &Side) -> BTreeMap<String, u64> {
    let before: BTreeMap<&str, u64> =
        old.drops.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let more = new.drops.iter().filter_map(|(name, count)| {
        let more = count.saturating_sub(before.get(name.as_str()).copied().unwrap_or(0));
        (more > 0).then(|| (name.clone(), more))
    });
    more.collect()
}
