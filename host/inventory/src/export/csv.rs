//! CSV for spreadsheets: one row for each use, and for each host of a merged inventory.

use std::collections::HashMap;
use std::fmt::Write as _;

use crypto_tracer_event::printable::printable;
use crypto_tracer_output::document::inventory::{
    Certificate, HostUse, Id, Inventory, InventoryFile, InventoryLibrary, Program, Time,
};

const COLUMNS: [&str; 22] = [
    "host",
    "program",
    "exe",
    "users",
    "containers",
    "kind",
    "path",
    "type",
    "version",
    "certificates",
    "certificate_sha256",
    "subject",
    "issuer",
    "not_after",
    "public_key",
    "bits",
    "modes",
    "count",
    "first",
    "last",
    "stale",
    "stale_since",
];

/// Returns the uses as CSV (RFC 4180). `certificates` counts those of the file; the other columns describe its first
/// certificate that is not an authority's.
pub fn csv(inventory: &Inventory) -> String {
    let mut text = String::new();
    row(&mut text, COLUMNS.iter().map(|&name| name.to_owned()));
    let programs: HashMap<Id, &Program> = inventory.programs.iter().map(|it| (it.id, it)).collect();
    let libraries: HashMap<Id, &InventoryLibrary> =
        inventory.libraries.iter().map(|it| (it.id, it)).collect();
    let files: HashMap<Id, &InventoryFile> = inventory.files.iter().map(|it| (it.id, it)).collect();
    let hosts: HashMap<Id, &str> = inventory
        .hosts
        .iter()
        .map(|it| (it.id, it.host.hostname.as_deref().unwrap_or_default()))
        .collect();
    let own = inventory.host.as_ref().and_then(|host| host.hostname.as_deref()).unwrap_or_default();
    for it in &inventory.uses {
        let Some(program) = programs.get(&it.program) else { continue };
        let target = Target {
            library: libraries.get(&it.target).copied(),
            file: files.get(&it.target).copied(),
        };
        let single = HostUse {
            host: it.program,
            count: it.count,
            modes: it.modes,
            first: it.first,
            last: it.last,
            stale: it.stale,
        };
        let alone = std::slice::from_ref(&single);
        let all = if it.hosts.is_empty() { alone } else { it.hosts.as_slice() };
        for on_host in all {
            let host = if it.hosts.is_empty() {
                own
            } else {
                hosts.get(&on_host.host).copied().unwrap_or_default()
            };
            row(&mut text, cells(host, program, &target, on_host));
        }
    }
    text
}

struct Target<'a> {
    library: Option<&'a InventoryLibrary>,
    file: Option<&'a InventoryFile>,
}

fn cells(host: &str, program: &Program, target: &Target<'_>, it: &HostUse) -> Vec<String> {
    let Target { library, file } = target;
    let own = |text: Option<&String>| text.cloned().unwrap_or_default();
    let time = |time: Option<Time>| time.map(|it| it.to_string()).unwrap_or_default();
    let of_host = file.map(|file| certificates_of(file, it.host)).unwrap_or_default();
    let certificate = of_host.iter().find(|it| it.ca != Some(true)).or(of_host.first()).copied();
    let of_certificate =
        |field: fn(&Certificate) -> Option<String>| certificate.and_then(field).unwrap_or_default();
    let path = file.map(|it| &it.path).or(library.map(|it| &it.path));
    let host_id = it.host;
    let version = library.and_then(|it| {
        let on_host = it.hosts.iter().find(|own| own.host == host_id);
        on_host.map_or(it.version.as_ref(), |own| own.version.as_ref())
    });
    vec![
        host.to_owned(),
        program.name.clone(),
        own(program.exe.as_ref()),
        program.users.join(" "),
        program.containers.join(" "),
        if library.is_some() { "library" } else { "file" }.to_owned(),
        own(path),
        file.map(|it| it.r#type.clone()).unwrap_or_default(),
        own(version),
        of_host.len().to_string(),
        of_certificate(|it| Some(it.sha256.clone())),
        of_certificate(|it| it.subject.clone()),
        of_certificate(|it| it.issuer.clone()),
        of_certificate(|it| it.not_after.clone()),
        of_certificate(|it| it.public_key.clone()),
        of_certificate(|it| it.bits.map(|bits| bits.to_string())),
        it.modes.to_string(),
        it.count.to_string(),
        time(it.first),
        time(it.last),
        it.stale.map(|it| it.reason.name().to_owned()).unwrap_or_default(),
        time(it.stale.and_then(|it| it.since)),
    ]
}

/// Certificates that the file has on a host.
fn certificates_of(file: &InventoryFile, host: Id) -> Vec<&Certificate> {
    let own = file.hosts.iter().find(|own| own.host == host);
    let own = own.and_then(|own| own.certificates.as_ref());
    let is_own = |it: &&Certificate| own.is_none_or(|own| own.contains(&it.sha256));
    file.certificates.iter().map(AsRef::as_ref).filter(is_own).collect()
}

/// Appends a row. A text that a spreadsheet would take for a formula begins with an apostrophe.
fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    for (number, cell) in cells.into_iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        let cell = printable(&cell);
        let guard = if cell.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
        if guard.is_empty() && !cell.contains([',', '"', '\r', '\n']) {
            text.push_str(&cell);
        } else {
            let _ = write!(text, "\"{guard}{}\"", cell.replace('"', "\"\""));
        }
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[&str]) -> String {
        let mut text = String::new();
        row(&mut text, cells.iter().map(|&cell| cell.to_owned()));
        text
    }

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        assert_eq!(written(&["a", "b c", ""]), "a,b c,\r\n");
        assert_eq!(written(&["a,b", "say \"x\""]), "\"a,b\",\"say \"\"x\"\"\"\r\n");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)"] {
            assert_eq!(written(&[formula]), format!("\"'{formula}\"\r\n"));
        }
        assert_eq!(written(&["a\nb\u{1b}"]), "a\\nb\\u{1b}\r\n");
    }
}
