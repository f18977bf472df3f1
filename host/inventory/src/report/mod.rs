//! An inventory as one HTML page that needs no network.
//!
//! The page contains no code but its own: a policy in its head allows the style and the script with these hashes only.
//! Texts of the document are escaped by maud, and characters that would hide or reorder text are made visible.

mod names;
mod post_quantum;
mod tables;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crypto_tracer_event::counted::counted;
use crypto_tracer_output::document::inventory::{Host, Inventory};

use self::names::{Usage, shown, when};
use crate::diff::{Diff, Verdict};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Renders a page. `diff`: a comparison of the inventory with what is known.
pub fn report(inventory: &Inventory, diff: Option<&Diff>) -> String {
    let usage = Usage::new(inventory);
    let sections = [
        Some(("coverage", "Coverage and blind spots", coverage(inventory))),
        diff.map(|diff| ("shadow", "Used, but not known", tables::shadow(diff))),
        Some(("stale", "Stale: used, but replaced since", tables::stale(inventory, &usage))),
        Some(("certificates", "Certificates", tables::certificates(inventory, &usage))),
        Some(("keys", "Who uses which key", tables::keys(inventory, &usage))),
        Some(("libraries", "Libraries", tables::libraries(inventory, &usage))),
        Some(("files", "Other files", tables::other_files(inventory, &usage))),
        diff.map(|diff| {
            let title =
                if diff.used.complete { "Known, but not used" } else { "Known, but not seen" };
            ("unused", title, tables::unused(diff))
        }),
        Some(("programs", "Programs", tables::programs(inventory, &usage))),
        (!inventory.hosts.is_empty()).then(|| ("hosts", "Hosts", tables::hosts(inventory))),
    ];
    let sections: Vec<_> = sections.into_iter().flatten().collect();
    let title = title(inventory);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.sub { (period(inventory)) }
                    (cards(inventory, &usage, diff))
                }
                nav aria-label="Sections" {
                    div {
                        @for (id, name, _) in &sections { a href={ "#" (id) } { (name) } }
                        input #filter type="search" hidden placeholder="Filter all tables (press /)" aria-label="Filter all tables";
                    }
                }
                main {
                    @for (id, name, content) in &sections {
                        section id=(id) {
                            h2 { (name) " " span.note.count role="status" {} }
                            (content)
                        }
                    }
                }
                footer {
                    "Written by crypto-tracer " (env!("CARGO_PKG_VERSION")) " from an inventory of "
                    (when(Some(inventory.generated_at))) ". All times are UTC. This page makes no request to any network."
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    // HTML lets these end tags be left out, which saves a quarter of a large page. In texts, `<` is escaped.
    let page = page.into_string();
    ["</td>", "</tr>", "</th>"].iter().fold(page, |page, tag| page.replace(tag, ""))
}

fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn host_name(host: &Host) -> String {
    shown(host.hostname.as_deref().unwrap_or("a host without a name"))
}

fn title(inventory: &Inventory) -> String {
    match &inventory.host {
        Some(host) => format!("Crypto in use on {}", host_name(host)),
        None => format!("Crypto in use on {}", counted(inventory.hosts.len(), "host")),
    }
}

fn period(inventory: &Inventory) -> String {
    let (from, to) = (when(Some(inventory.window.from)), when(Some(inventory.window.to)));
    let system = inventory.host.as_ref().map(|host| {
        let os = host.os.as_deref().map(|os| format!("{}, ", shown(os))).unwrap_or_default();
        let kernel = host.kernel.as_deref().map(shown).unwrap_or_else(|| "?".to_owned());
        format!(" · {os}Linux {kernel}")
    });
    format!("Observed from {from} to {to} UTC{}", system.unwrap_or_default())
}

fn cards(inventory: &Inventory, usage: &Usage<'_>, diff: Option<&Diff>) -> Markup {
    let certificates = usage.certificates(inventory);
    let soon =
        certificates.iter().filter(|it| it.days_left(inventory).is_some_and(|days| days < 30));
    let stale = inventory.uses.iter().filter(|it| it.stale.is_some_and(names::is_stale)).count();
    let keys = inventory.files.iter().filter(|it| tables::is_key(it)).count();
    let card = |class: &str, count: usize, text: &str| {
        let class = if count == 0 { "card" } else { class };
        html! { div class=(class) { b { (count) } (text) } }
    };
    html! {
        div.cards {
            (card("card bad", stale, "stale uses"))
            @if let Some(diff) = diff {
                (card("card bad", diff.used_but_not_known.len(), "used, not known"))
            }
            (card("card warn", soon.count(), "certificates end within 30 days, or ended"))
            (card("card", certificates.len(), "certificates in use"))
            (card("card", keys, "keys and keystores in use"))
            (card("card", inventory.libraries.len(), "libraries in use"))
            (card("card", inventory.programs.len(), "programs"))
            (card("card", inventory.uses.len(), "uses"))
        }
    }
}

fn coverage(inventory: &Inventory) -> Markup {
    let missing = inventory.coverage.missing();
    let clock = inventory.window.from > inventory.window.to;
    html! {
        @if inventory.coverage.complete && missing.is_empty() && !clock {
            div.box { b { "Complete." } " Every use in the window was observed: no lost event, no blind spot." }
        } @else {
            div.box.warn {
                b { "Not complete." } " What is not on this page may have been used all the same:"
                ul {
                    @for reason in &missing { li { (shown(reason)) } }
                    @if clock { li { "the clock was set during the window: times before and after do not compare" } }
                    @if missing.is_empty() && !clock { li { "the run was not complete" } }
                }
            }
        }
        p.note {
            "Probes: "
            @if inventory.coverage.probes.is_empty() { "none (the document was made from recorded events)" }
            (inventory.coverage.probes.iter().map(|it| shown(it)).collect::<Vec<_>>().join(", "))
            ". A use from before the window has no time."
        }
    }
}

pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotUsed => "not used",
        Verdict::NotSeen => "not seen",
    }
}

#[cfg(test)]
mod tests;
