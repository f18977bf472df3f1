//! The tables of the page.

use maud::{Markup, html};

use crypto_tracer_event::counted::counted;
use crypto_tracer_output::document::inventory::{Id, Inventory, InventoryFile, StaleReason};

use super::names::{Usage, UsedCertificate, is_stale, last, listed, shown, total, when};
use super::post_quantum::{Ability, PostQuantum};
use super::{host_name, verdict};
use crate::diff::{Diff, UsedAsset};

/// Maximum number of rows of a table, so that the page of 10 000 uses stays below 2 MB.
const MAX_ROWS: usize = 2900;

/// A column: its title, and whether it is sorted by number.
type Column = (&'static str, bool);

fn table(columns: &[Column], rows: Vec<Markup>, none: &str) -> Markup {
    let more = rows.len().saturating_sub(MAX_ROWS);
    html! {
        @if rows.is_empty() { p.note { (none) } } @else {
            div.scroll {
                table {
                    thead { tr {
                        @for &(name, numeric) in columns {
                            th scope="col" data-kind=[numeric.then_some("n")] { (name) }
                        }
                    } }
                    tbody { @for row in rows.into_iter().take(MAX_ROWS) { tr { (row) } } }
                }
            }
            @if more > 0 { p.note { (more) " more rows are in the inventory." } }
        }
    }
}

/// A cell whose digits align.
fn number(value: u64) -> Markup {
    html! { td.n { (value) } }
}

fn time(value: &str) -> Markup {
    html! { td.t { @if value.is_empty() { "before" } @else { (value) } } }
}

pub(super) fn is_key(file: &InventoryFile) -> bool {
    matches!(file.r#type.as_str(), "private_key" | "keystore")
}

pub(super) fn certificates(inventory: &Inventory, usage: &Usage<'_>) -> Markup {
    let mut all = usage.certificates(inventory);
    all.sort_by(|one, other| {
        let key =
            |it: &UsedCertificate<'_>| (it.days_left(inventory).is_none(), it.days_left(inventory));
        key(one).cmp(&key(other)).then_with(|| one.certificate.cmp(other.certificate))
    });
    let merged = !inventory.hosts.is_empty();
    let rows = all.iter().map(|it| certificate(inventory, usage, it, merged)).collect();
    let mut columns = vec![
        ("Subject", false),
        ("Ends", false),
        ("Days left", true),
        ("Last use", false),
        ("Used by", false),
        ("Uses", true),
        ("Key", false),
        ("Issuer", false),
        ("Path", false),
    ];
    if merged {
        columns.insert(5, ("Hosts", false));
    }
    html! {
        p.note { "Sorted by their end. Days are counted from the end of the window." }
        (table(&columns, rows, "No certificate was used, or no inspector looked into the files."))
    }
}

fn certificate(
    inventory: &Inventory,
    usage: &Usage<'_>,
    it: &UsedCertificate<'_>,
    merged: bool,
) -> Markup {
    let own = it.certificate;
    let days = it.days_left(inventory);
    let class = match days {
        Some(days) if days < 0 => "n bad",
        Some(days) if days < 30 => "n warn",
        _ => "n",
    };
    let text = |text: &Option<String>| shown(text.as_deref().unwrap_or("?"));
    let bits = own.bits.map(|bits| format!(" {bits}")).unwrap_or_default();
    let end = own.not_after.as_deref().map(|it| shown(it.trim_end_matches('Z')).replace('T', " "));
    html! {
        td {
            (text(&own.subject))
            @if own.ca == Some(true) { " " span.tag { "CA" } }
            @if own.self_signed == Some(true) { " " span.tag { "self-signed" } }
            br; code.hash { (own.sha256) }
        }
        td.t { (end.unwrap_or_default()) }
        td class=(class) data-v=(days.unwrap_or(i64::MAX)) { (days.map(|it| it.to_string()).unwrap_or_default()) }
        (time(&when(last(&it.uses, Some(&it.hosts)))))
        td { (usage.programs_of(&it.uses)) }
        @if merged { td { (usage.hosts_of(&it.uses, Some(&it.hosts))) } }
        (number(total(&it.uses, Some(&it.hosts))))
        td { (text(&own.public_key)) (bits) br; span.note { (text(&own.signature)) } }
        td { (text(&own.issuer)) }
        td { code { (listed(it.paths.iter().map(|path| shown(path)))) } }
    }
}

fn files<'a>(
    usage: &Usage<'_>,
    files: impl Iterator<Item = &'a InventoryFile>,
    merged: bool,
    none: &str,
) -> Markup {
    let rows = files.map(|it| {
        let uses = usage.of(it.id);
        let modes = uses.iter().fold(
            Default::default(),
            |all: crypto_tracer_output::document::inventory::Modes, it| all.union(it.modes),
        );
        html! {
            td { code { (shown(&it.path)) } }
            td { (shown(&it.r#type)) }
            td { (usage.programs_of(uses)) }
            @if merged { td { (usage.hosts_of(uses, None)) } }
            (number(total(uses, None)))
            td { (modes) }
            (time(&when(last(uses, None))))
        }
    });
    let mut columns = vec![
        ("Path", false),
        ("Type", false),
        ("Used by", false),
        ("Uses", true),
        ("Modes", false),
        ("Last use", false),
    ];
    if merged {
        columns.insert(3, ("Hosts", false));
    }
    table(&columns, rows.collect(), none)
}

pub(super) fn keys(inventory: &Inventory, usage: &Usage<'_>) -> Markup {
    let all = inventory.files.iter().filter(|it| is_key(it));
    files(usage, all, !inventory.hosts.is_empty(), "No key and no keystore was used.")
}

/// Files that have no row in another table.
pub(super) fn other_files(inventory: &Inventory, usage: &Usage<'_>) -> Markup {
    let all = inventory.files.iter().filter(|it| !is_key(it) && it.certificates.is_empty());
    files(usage, all, !inventory.hosts.is_empty(), "No other file was used.")
}

pub(super) fn libraries(inventory: &Inventory, usage: &Usage<'_>) -> Markup {
    let table_of = PostQuantum::load();
    let merged = !inventory.hosts.is_empty();
    let mut rows = Vec::new();
    for it in &inventory.libraries {
        // Machines of a merged inventory may have several versions of a path.
        let mut versions: Vec<Option<&str>> =
            it.hosts.iter().map(|own| own.version.as_deref()).collect();
        versions.push(it.version.as_deref().filter(|_| it.hosts.is_empty()));
        if !it.hosts.is_empty() {
            versions.pop();
        }
        versions.sort_unstable();
        versions.dedup();
        for version in versions {
            let (ability, text) = table_of.of(&it.name, version);
            let all = usage.of(it.id);
            let on_hosts = it.hosts.iter().filter(|own| own.version.as_deref() == version);
            let on_hosts: std::collections::BTreeSet<Id> = on_hosts.map(|own| own.host).collect();
            let has = |use_: &&&crypto_tracer_output::document::inventory::Use| {
                !merged || use_.hosts.iter().any(|on| on_hosts.contains(&on.host))
            };
            let uses: Vec<_> = all.iter().filter(has).copied().collect();
            let class = match ability {
                Ability::Yes => "tag good",
                Ability::Provider | Ability::Build => "tag warn",
                Ability::No => "tag bad",
                Ability::Unknown => "tag",
            };
            rows.push((
                it.name.clone(),
                version.map(str::to_owned),
                html! {
                    td { (shown(&it.name)) }
                    td { (version.map_or_else(|| "?".to_owned(), shown)) }
                    td { span class=(class) { (ability.name()) } " " span.note { (text) } }
                    td { (usage.programs_of(&uses)) }
                    @if merged { td { (counted(on_hosts.len(), "host")) } }
                    (number(total(&uses, Some(&on_hosts))))
                    (time(&when(last(&uses, Some(&on_hosts)))))
                    td { code { (shown(&it.path)) } }
                },
            ));
        }
    }
    rows.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    let mut columns = vec![
        ("Library", false),
        ("Version", false),
        ("Post-quantum", false),
        ("Used by", false),
        ("Loads", true),
        ("Last load", false),
        ("Path", false),
    ];
    if merged {
        columns.insert(4, ("Hosts", false));
    }
    html! {
        p.note { "Post-quantum: what the library of that version can do as its project publishes it, not what was negotiated." }
        (table(&columns, rows.into_iter().map(|(_, _, row)| row).collect(), "No crypto library was used."))
    }
}

pub(super) fn stale(inventory: &Inventory, usage: &Usage<'_>) -> Markup {
    let paths: std::collections::HashMap<Id, &str> = inventory
        .files
        .iter()
        .map(|it| (it.id, it.path.as_str()))
        .chain(inventory.libraries.iter().map(|it| (it.id, it.path.as_str())))
        .collect();
    let mut uses: Vec<_> = inventory.uses.iter().filter(|it| it.stale.is_some()).collect();
    // Certain ones first, then by time.
    uses.sort_by_key(|it| {
        it.stale.map(|stale| (!is_stale(stale), stale.since, it.program, it.target))
    });
    let rows = uses.iter().filter_map(|it| {
        let stale = it.stale?;
        let program = usage.programs.get(&it.program);
        let class = if stale.reason == StaleReason::Unknown { "tag warn" } else { "tag bad" };
        Some(html! {
            td { (program.map(|it| shown(&it.name)).unwrap_or_default()) }
            td { code { (paths.get(&it.target).map(|path| shown(path)).unwrap_or_default()) } }
            td { span class=(class) { (stale.reason.name()) } }
            td.t { (when(stale.since)) }
            (time(&when(it.last)))
            @if !inventory.hosts.is_empty() { td { (usage.hosts_of(&[it], None)) } }
        })
    });
    let rows: Vec<Markup> = rows.collect();
    let mut columns = vec![
        ("Program", false),
        ("Path", false),
        ("What happened", false),
        ("Since", false),
        ("Last use", false),
    ];
    if !inventory.hosts.is_empty() {
        columns.push(("Hosts", false));
    }
    html! {
        p.note { "A living process still uses what was at the path before. Restart or reload it. “unknown” could not be looked at." }
        (table(&columns, rows, "Nothing stale was found."))
    }
}

pub(super) fn programs(inventory: &Inventory, usage: &Usage<'_>) -> Markup {
    let mut counts: std::collections::HashMap<Id, (usize, u64)> = std::collections::HashMap::new();
    for it in &inventory.uses {
        let slot = counts.entry(it.program).or_default();
        *slot = (slot.0 + 1, slot.1.saturating_add(it.count));
    }
    let _ = usage;
    let rows = inventory.programs.iter().map(|it| {
        let (targets, uses) = counts.get(&it.id).copied().unwrap_or_default();
        html! {
            td { (shown(&it.name)) }
            td { code { (it.exe.as_deref().map(shown).unwrap_or_default()) } }
            td { (listed(it.users.iter().map(|it| shown(it)))) }
            td { (listed(it.containers.iter().map(|it| it.chars().take(12).collect()))) }
            (number(it.processes))
            (number(targets as u64))
            (number(uses))
            (time(&when(it.last_seen)))
        }
    });
    let columns = [
        ("Program", false),
        ("Executable", false),
        ("Users", false),
        ("Containers", false),
        ("Processes", true),
        ("Targets", true),
        ("Uses", true),
        ("Last use", false),
    ];
    table(&columns, rows.collect(), "No program used any crypto.")
}

pub(super) fn hosts(inventory: &Inventory) -> Markup {
    let rows = inventory.hosts.iter().map(|it| {
        let missing = it.coverage.missing();
        html! {
            td { (host_name(&it.host)) }
            td.t { (when(Some(it.window.from))) }
            td.t { (when(Some(it.window.to))) }
            td { (it.host.os.as_deref().map(shown).unwrap_or_default()) }
            td { (it.host.kernel.as_deref().map(shown).unwrap_or_default()) }
            td {
                @if it.coverage.complete { span.tag.good { "complete" } }
                @else { span.tag.warn { "not complete" } " " (missing.iter().map(|it| shown(it)).collect::<Vec<_>>().join("; ")) }
            }
        }
    });
    let columns = [
        ("Host", false),
        ("From", false),
        ("To", false),
        ("System", false),
        ("Kernel", false),
        ("Coverage", false),
    ];
    table(&columns, rows.collect(), "No host.")
}

fn asset(it: &UsedAsset) -> Markup {
    html! {
        td { (it.kind.name()) }
        td { (shown(&it.name)) @if let Some(sha256) = &it.sha256 { br; code.hash { (sha256) } } }
        td { code { (listed(it.paths.iter().map(|it| shown(it)))) } }
        td { (listed(it.programs.iter().map(|it| shown(it)))) }
        td { (listed(it.hosts.iter().map(|it| shown(it)))) }
        (number(it.count))
        (time(&when(it.last)))
    }
}

pub(super) fn shadow(diff: &Diff) -> Markup {
    let columns = [
        ("Kind", false),
        ("Name", false),
        ("Path", false),
        ("Used by", false),
        ("Hosts", false),
        ("Uses", true),
        ("Last use", false),
    ];
    let rows = diff.used_but_not_known.iter().map(asset).collect();
    html! {
        p.note {
            "Compared with " (shown(&diff.known.file)) " (" (shown(&diff.known.format)) "): "
            (counted(diff.used_and_known.len(), "used asset")) " known, "
            (diff.used_but_not_known.len()) " not."
            @for it in &diff.not_compared { " Not compared (" (it.count) "): " (shown(&it.reason)) "." }
        }
        (table(&columns, rows, "Everything that was used is known."))
    }
}

pub(super) fn unused(diff: &Diff) -> Markup {
    let rows = diff.known_but_not_used.iter().map(|it| {
        html! {
            td { (it.kind.name()) }
            td { (shown(&it.name)) @if let Some(sha256) = &it.sha256 { br; code.hash { (sha256) } } }
            td { code { (listed(it.paths.iter().map(|it| shown(it)))) } }
            td.t { (it.not_after.as_deref().map(shown).unwrap_or_default()) }
            td { (verdict(it.verdict)) }
        }
    });
    let columns =
        [("Kind", false), ("Name", false), ("Path", false), ("Ends", false), ("Verdict", false)];
    html! {
        @if !diff.used.complete {
            p.note { "The observation was not complete, so “not seen” does not mean “not used”." }
        }
        (table(&columns, rows.collect(), "Everything that is known was used."))
    }
}
