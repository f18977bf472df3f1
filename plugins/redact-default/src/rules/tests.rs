//! Tests of every rule, and of texts that no rule may change.

use super::*;

mod paths;
mod properties;
mod secrets;

/// A configuration with a parent of homes and two home directories.
fn homes() -> Homes {
    configure(r#"{"homes": ["/srv/people"], "users": ["/data/teams/carol", "/nas/dave/"]}"#)
        .unwrap()
}

/// The redacted value of a field.
fn shown(field: &str, value: &str) -> String {
    redact(&homes(), field, value, &[]).unwrap_or_else(|| value.to_owned())
}

/// The redacted command line.
fn command(arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    redact(&homes(), "cmdline", &arguments.join(" "), &arguments)
        .unwrap_or_else(|| arguments.join(" "))
}

/// `/home` is a link to `/data/users`, which is a link to `/nas/u`. Root's home is a link to `/var/roothome`.
fn linked() -> Homes {
    configure(
        r#"{"homes": ["/data/users", "/nas/u/", "/usr/home"],
            "users": ["/data/teams/carol", "/data/teams/carol/dave", "/home/corp/erin", "/srv/Jane Doe", "/nas/bin"],
            "roots": ["/var/roothome", "/sysroot//r/root"]}"#,
    )
    .unwrap()
}

#[test]
fn names_of_programs_and_machines_are_kept() {
    for field in ["process", "cgroup", "hostname"] {
        for kept in ["alice", "/home/alice", "password=x", "/user.slice/user-1000.slice", ""] {
            assert_eq!(redact(&linked(), field, kept, &[]), None, "{field}");
        }
    }
}

#[test]
fn labels_are_redacted_as_texts() {
    assert_eq!(shown("labels.owner", "of /home/alice/x"), "of /home/USER/x");
    assert_eq!(shown("labels.how", "password=x"), "password=***");
    assert_eq!(shown("new-field", "/home/alice"), "/home/USER");
}

#[test]
fn the_configuration_is_validated() {
    assert!(configure("{}").is_ok());
    for bad in [
        "",
        "[]",
        "{",
        r#"{"home": []}"#,
        r#"{"homes": "/srv"}"#,
        r#"{"homes": [1]}"#,
        r#"{"homes": ["srv"]}"#,
        r#"{"users": ["/"]}"#,
        r#"{"users": ["/.."]}"#,
        r#"{"roots": ["/"]}"#,
        r#"{"roots": ["root"]}"#,
    ] {
        assert!(configure(bad).is_err(), "{bad}");
    }
}
