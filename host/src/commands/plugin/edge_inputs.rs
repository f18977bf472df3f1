//! Queries with unusual and hostile inputs.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::event::event;
use super::query::{FileQuery, Query, TextQuery};
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::{EnrichedWhat, FileStat, OpenedFile, PluginKind};

/// Length of the longest path, head and text, in bytes.
const LONG: usize = 64 << 10;

/// Queries for these kinds, with their names. The names of files match the plugin's interest, so that they reach its rules.
pub(super) fn queries(kinds: &[PluginKind], interest: &Interest) -> Vec<(String, Query)> {
    let mut all = Vec::new();
    if kinds.contains(&PluginKind::Classifier) {
        all.extend(files(interest, Query::File));
    }
    if kinds.contains(&PluginKind::Inspector) {
        all.extend(files(interest, Query::Content));
    }
    if kinds.contains(&PluginKind::Redactor) {
        all.extend(texts());
    }
    if kinds.contains(&PluginKind::Filter) {
        all.extend(events());
    }
    all
}

fn files(interest: &Interest, query: fn(FileQuery) -> Query) -> Vec<(String, Query)> {
    let mut all = Vec::new();
    let mut push = |name: String, file: FileQuery| all.push((name, query(file)));
    let mut add = |name: String, path: Vec<u8>, content: &[u8], size| {
        push(name, FileQuery::new(path, content, size));
    };
    for (what, path) in names() {
        add(format!("a file, named {what}"), path, b"", Some(0));
    }
    let suffixes = interest.suffixes.iter().map(|suffix| format!("/srv/a{suffix}"));
    let names = interest.names.iter().map(|name| format!("/srv/{name}"));
    let prefixes = interest.prefixes.iter().map(|prefix| format!("/srv/{prefix}_a"));
    let mut paths: Vec<String> = suffixes.chain(names).chain(prefixes).collect();
    paths.push("/srv/other".to_owned());
    for path in &paths {
        for (what, stat) in facts() {
            let file =
                FileQuery::new(path.clone().into(), b"-----BEGIN PRIVATE KEY-----\n", Some(28));
            let reported = OpenedFile { inode: u64::MAX, dev: u32::MAX, ..OpenedFile::default() };
            push(format!("{path} with {what}"), file.on(u32::MAX).with_facts(stat, reported));
        }
    }
    let mut add = |name: String, path: Vec<u8>, content: &[u8], size| {
        push(name, FileQuery::new(path, content, size));
    };
    for path in paths {
        for (what, content) in contents() {
            let size = Some(content.len() as u64);
            add(format!("{path} with {what}"), path.clone().into(), &content, size);
        }
        add(format!("{path}, which is gone"), path.clone().into(), b"", None);
        let size = Some(u64::MAX);
        add(format!("{path} of the largest size"), path.clone().into(), b"-----BEGIN ", size);
        let variants = [path.to_ascii_uppercase(), format!("{path}/"), format!("/a{path}{path}")];
        for path in variants {
            add(format!("a file, named {path}"), path.into(), b"", Some(0));
        }
    }
    all
}

/// Arbitrary names of files.
fn names() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing", Vec::new()),
        ("/", b"/".to_vec()),
        ("dots", b"/../.././...".to_vec()),
        ("slashes", b"/".repeat(4096)),
        ("a dot at the end", b"/srv/a.".to_vec()),
        ("no absolute path", b"a.pem".to_vec()),
        ("the end of a long path", [b"\xe2\x80\xa6/".to_vec(), b"a/".repeat(2000)].concat()),
        ("very long", b"a".repeat(LONG)),
        ("control characters", b"/srv/\x1b[2J\r\n\t\x07a.pem".to_vec()),
        ("no UTF-8", b"/srv/\xff\xfe\xc3.key".to_vec()),
        ("other directions", "/srv/\u{202e}mep.a".as_bytes().to_vec()),
        ("wide and composed", "/srv/\u{1f511}e\u{301}\u{df}\u{130}.PEM".as_bytes().to_vec()),
    ]
}

fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let block = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let nested = b"-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n".to_vec();
    vec![
        ("nothing", Vec::new()),
        ("one byte", vec![0x30]),
        ("zeros", vec![0; LONG]),
        ("ones", vec![0xff; LONG]),
        ("a block that never ends", b"-----BEGIN CERTIFICATE-----\nMIIB".to_vec()),
        ("blocks in blocks", nested),
        ("a thousand blocks", block.repeat(1000).into_bytes()),
        ("no base64 in a block", b"-----BEGIN PUBLIC KEY-----\n====\n".to_vec()),
        ("a key's first line", b"-----BEGIN PRIVATE KEY-----\n".to_vec()),
        ("DER of an impossible length", b"\x30\x84\xff\xff\xff\xff\x30\x80\xa0\x80".to_vec()),
        ("DER in DER", b"\x30\x80".repeat(LONG / 2)),
    ]
}

/// Metadata at its bounds.
fn facts() -> [(&'static str, FileStat); 2] {
    let most = FileStat {
        uid: u32::MAX,
        gid: u32::MAX,
        mode: 0o107_777,
        links: u32::MAX,
        modified_ns: i128::MAX,
        changed_ns: i128::MAX,
    };
    let least = FileStat { mode: 0o100_000, modified_ns: i128::MIN, ..FileStat::default() };
    [("the largest metadata", most), ("no permissions, links or time", least)]
}

fn texts() -> Vec<(String, Query)> {
    let mut all = Vec::new();
    for field in ["file", "library", "exe", "labels.a"] {
        for (what, path) in names() {
            let value = String::from_utf8_lossy(&path).into_owned();
            let text = TextQuery { field: field.to_owned(), value, arguments: Vec::new() };
            all.push((format!("the field {field}, {what}"), Query::Text(text)));
        }
    }
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    for (what, arguments) in [
        ("nothing", Vec::new()),
        ("an empty word", words(&[""])),
        ("an open quote", words(&["sh", "-c", "echo 'a \\"])),
        ("an option without a value", words(&["a", "--password"])),
        ("an option with an empty value", words(&["a", "--password="])),
        ("broken JSON", words(&["curl", "-d", "{\"password\": \"a\\u12"])),
        ("deep JSON", vec!["[{\"a\":".repeat(4000)]),
        ("deep JSON of names", vec!["{\"password\":".repeat(2000)]),
        ("many addresses", vec!["u:p@".repeat(2000)]),
        ("many schemes", vec!["://".repeat(2500)]),
        ("many names of settings", vec!["key:".repeat(2000)]),
        ("a broken address", words(&["curl", "https://:@/%zz?token"])),
        ("one long word", vec!["=".repeat(LONG)]),
        ("many words", words(&["-p"; 4096])),
        ("no text", words(&["\u{fffd}\u{202e}", "\u{1b}]0;a\u{7}", "\n"])),
    ] {
        let text = TextQuery::command_line(arguments);
        all.push((format!("a command line of {what}"), Query::Text(text)));
    }
    all
}

fn events() -> Vec<(String, Query)> {
    let mut all = Vec::new();
    let minimal = [
        ("file_open", json!({"file": "/a.pem"})),
        ("lib_load", json!({"library": "/libssl.so", "library_name": "libssl"})),
        ("process_exec", json!({"cmdline": []})),
        ("process_exit", json!({"exit_code": -1})),
    ];
    for (kind, fields) in minimal {
        let mut written: Map<String, Value> = fields.as_object().cloned().unwrap_or_default();
        written.insert("event_type".to_owned(), kind.into());
        for (what, name, value) in [
            ("with as little as can be known", "exe", Value::Null),
            ("before 1970", "timestamp", json!(i64::MIN)),
            ("at the end of time", "timestamp", json!(i64::MAX)),
            ("of the last process", "pid", json!(u32::MAX)),
            ("of the last user", "uid", json!(u32::MAX)),
            ("of a process without a name", "process", json!("")),
            ("of an odd container", "container", json!("a/\u{1b}".repeat(1000))),
            ("of a long executable", "exe", json!("/a".repeat(LONG / 2))),
        ] {
            let mut written = written.clone();
            written.insert(name.to_owned(), value);
            let Ok(event) = event(&written) else { continue };
            all.push((format!("a {kind} {what}"), Query::Event(Box::new(event))));
        }
        for (what, path) in names() {
            let Ok(mut event) = event(&written) else { continue };
            match &mut event.event.what {
                EnrichedWhat::FileOpen { file, .. } | EnrichedWhat::LibLoad { file, .. } => {
                    file.path.bytes = path;
                }
                EnrichedWhat::Exec { arguments } => arguments.bytes = [path, vec![0]].concat(),
                _ => event.event.process.exe = Some(Arc::from(path)),
            }
            all.push((format!("a {kind} of {what}"), Query::Event(Box::new(event))));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_queries_with_unique_names() {
        let mut interest = Interest::default();
        interest.add_suffix(".acme").unwrap();
        for kind in PluginKind::ALL {
            let queries = queries(&[kind], &interest);
            assert!(queries.len() > 40, "{kind}: {}", queries.len());
            assert!(queries.iter().all(|(_, query)| query.kind() == kind));
            let mut names: Vec<&String> = queries.iter().map(|(name, _)| name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), queries.len(), "two queries have the same name");
        }
    }
}
