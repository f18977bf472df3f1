//! Tests of the table: the rows of events and notices.

use std::sync::Arc;

use super::table::{Table, TableStyle};
use crypto_tracer_event::testkit::{
    RedactNothing, classified, enriched, executes, exits, loads, opens, process,
};
use crypto_tracer_event::{
    EnrichedWhat, FileType, Label, Loss, Notice, PluginFailure, PluginKind, RedactedEvent, Status,
    Timestamp,
};

/// 10:30:45.123 of some day.
const AT: Timestamp = Timestamp(1_733_653_845_123_456);
const HEADING: &str = "TIME             PID PROCESS         WHAT DETAILS";

fn redacted(name: &str, what: EnrichedWhat, file_type: Option<FileType>) -> RedactedEvent {
    let mut event = classified(enriched(AT.0, process(4321, name), what), file_type);
    let label = Label { name: "of".into(), value: "web\u{1b}[2J".into() };
    event.verdict.iter_mut().for_each(|verdict| verdict.labels.push(label.clone()));
    RedactedEvent::new(event, &mut RedactNothing, false)
}

fn open(path: &str, file_type: FileType) -> RedactedEvent {
    redacted("cat", opens(path, 0), Some(file_type))
}

pub(super) fn exit(exit_code: i32) -> RedactedEvent {
    redacted("cat", exits(exit_code), None)
}

fn exec(name: &str, words: &str) -> RedactedEvent {
    redacted(name, executes(words), None)
}

fn load() -> RedactedEvent {
    redacted("nginx", loads("/lib/libssl.so.3"), None)
}

fn text(color: bool, put: impl FnOnce(&mut Table, &mut Vec<u8>)) -> Vec<String> {
    let mut table = Table::new(TableStyle { width: None, color });
    let mut out = Vec::new();
    put(&mut table, &mut out);
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_event_type_has_a_row() {
    let lines = text(false, |table, out| {
        for event in [
            open("/etc/a.key", FileType::PrivateKey),
            load(),
            exec("openssl", "openssl version -a"),
            exit(137),
        ] {
            table.event(&event, out);
        }
    });
    assert_eq!(
        lines,
        [
            HEADING,
            r"10:30:45.123    4321 cat             open private_key  /etc/a.key  of=web\u{1b}[2J",
            "10:30:45.123    4321 nginx           load libssl  /lib/libssl.so.3",
            "10:30:45.123    4321 openssl         exec openssl version -a",
            "10:30:45.123    4321 cat             exit exit code 137",
        ]
    );
}

#[test]
fn notices_have_a_row_without_a_process() {
    let loss = |exact| Loss { count: 3, cause: "ring_full".into(), exact };
    let failure = PluginFailure {
        plugin: "site@1".to_owned(),
        kind: PluginKind::Filter,
        cause: "trap".to_owned(),
        count: 2,
        action: "kept",
    };
    let status = Status { shown: 5, filtered: 4, ..Status::default() };
    let lines = text(false, |table, out| {
        table.notice(&Notice::EventsLost(AT, loss(true)), out);
        table.notice(&Notice::EventsLost(AT, loss(false)), out);
        table.notice(&Notice::PluginFailed(AT, failure), out);
        table.notice(&Notice::Status(AT, Box::new(status)), out);
    });
    let before = "10:30:45.123       -                ";
    let rows = [
        "lost 3 events: ring_full",
        "lost perhaps 3 events: ring_full",
        "fail filter site@1 failed 2 times: trap; kept",
        "stat 5 events shown, 4 filtered, 0 lost; 0 records received; 0 plugin failures",
    ];
    let rows = rows.map(|row| format!("{before} {row}"));
    assert_eq!(lines, [&[HEADING.to_owned()][..], &rows[..]].concat());
}

#[test]
fn each_file_has_one_heading() {
    let lines = text(false, |table, out| {
        table.event(&load(), out);
        table.event(&load(), out);
        table.restart();
        table.event(&load(), out);
    });
    let headings: Vec<_> = lines.iter().map(|line| line == HEADING).collect();
    assert_eq!(headings, [true, false, false, true, false]);
}

#[test]
fn each_event_type_has_its_colour() {
    let color_code = |event: &RedactedEvent| {
        let lines = text(true, |table, out| table.event(event, out));
        let [heading, row] = &lines[..] else { unreachable!("{lines:?}") };
        assert_eq!(heading, HEADING);
        let code = row.strip_prefix("\u{1b}[").map(|rest| rest.split('m').next().unwrap());
        assert_eq!(code.is_some(), row.ends_with("\u{1b}[0m"), "{row:?}");
        code.unwrap_or_default().to_owned()
    };
    for (event, code) in [
        (open("/a", FileType::PrivateKey), "31"),
        (open("/a", FileType::Keystore), "35"),
        (open("/a", FileType::Certificate), "36"),
        (open("/a", FileType::Unknown), ""),
        (open("/a", FileType::Other(Arc::from("csr"))), ""),
        (load(), "34"),
        (exec("true", "true"), "32"),
        (exit(0), ""),
        (exit(1), "33"),
    ] {
        assert_eq!(color_code(&event), code, "{event:?}");
    }
    let lost = Notice::EventsLost(AT, Loss { count: 1, cause: "x".into(), exact: true });
    let status = Notice::Status(AT, Box::default());
    let lines = text(true, |table, out| {
        table.notice(&lost, out);
        table.notice(&status, out);
    });
    assert!(lines[1].starts_with("\u{1b}[31m") && lines[1].ends_with("\u{1b}[0m"), "{lines:?}");
    assert!(!lines[2].contains('\u{1b}'), "{lines:?}");
    assert!(
        text(false, |table, out| table.event(&load(), out))
            .iter()
            .all(|line| !line.contains('\u{1b}'))
    );
}

/// Wide characters and escaped control characters do not shift the columns.
#[test]
fn the_name_of_a_process_does_not_shift_columns() {
    let column = |name: &str| {
        let lines = text(false, |table, out| table.event(&exec(name, "x"), out));
        let row = lines.last().unwrap();
        let at = row.rfind("exec").unwrap();
        unicode_width::UnicodeWidthStr::width(&row[..at])
    };
    let expected = column("cat");
    for name in ["", "鍵鍵鍵", "fifteen-letters", "\u{1b}[31m\u{1b}[31mx", "caf\u{e9}"] {
        assert_eq!(column(name), expected, "{name:?}");
    }
}
