use super::*;

fn message(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cases.json");
    std::fs::write(&path, text).unwrap();
    let error = read(&path, &Map::new()).map(|_| ()).unwrap_err();
    let message = format!("{error:#}");
    assert!(message.contains("cases.json"), "{message}");
    message
}

fn case(inside: &str) -> String {
    format!("{{\"cases\": [{{\"name\": \"n\", {inside}}}]}}")
}

#[test]
fn errors_name_the_problem() {
    for (text, wanted) in [
        ("", "EOF"),
        ("[1]", "line 1"),
        ("{\"cases\": []}", "at least one"),
        ("{\"case\": []}", "unknown field `case`"),
        (&*case("\"expect\": {}, \"fil\": {}"), "unknown field `fil`"),
        (
            &case("\"file\": {\"path\": \"/a\", \"sice\": 1}, \"expect\": {}"),
            "unknown field `sice`",
        ),
        (&case("\"file\": {\"path\": \"/a\"}, \"expect\": {\"type\": 1}"), "unknown field `type`"),
        (&case("\"file\": {\"path\": \"/a\"}, \"expect\": {}"), "`file_type`"),
        (&case("\"file\": {\"path\": \"/a\"}, \"expect\": {\"text\": \"\"}"), "for a file"),
        (
            &case("\"text\": {\"field\": \"fiel\", \"value\": \"\"}, \"expect\": {\"text\": \"\"}"),
            "unknown field \"fiel\"",
        ),
        (
            &case(
                "\"text\": {\"field\": \"cmdline\", \"value\": \"\"}, \"expect\": {\"text\": \"\"}",
            ),
            "`arguments`",
        ),
        (
            &case("\"event\": {\"event_type\": \"x\"}, \"expect\": {\"decision\": \"keep\"}"),
            "event_type",
        ),
        (
            &case(
                "\"event\": {\"event_type\": \"process_exec\", \"cmdline\": \"a\"}, \"expect\": {\"decision\": \"kep\"}",
            ),
            "\"kep\"",
        ),
        (
            &case(
                "\"file\": {\"path\": \"/a\", \"content_file\": \"none\"}, \"expect\": {\"file_type\": null}",
            ),
            "`content_file`",
        ),
        (
            &case(
                "\"file\": {\"path\": \"/a\", \"content_base64\": \"?\"}, \"expect\": {\"file_type\": null}",
            ),
            "`content_base64`",
        ),
        (&case("\"expect\": {\"file_type\": null}"), "without `file`"),
        (&case("\"event\": {}, \"events\": []"), "only one of"),
        (&case("\"events\": []"), "`events` is empty"),
        (&case("\"events\": [{\"event\": {\"event_type\": \"x\"}}]"), "event 1"),
        (&case("\"events\": [], \"expect\": {\"decision\": \"keep\"}"), "have an `expect` each"),
        (
            &case(
                "\"file\": {\"path\": \"/a\"}, \"expect\": {\"file_type\": null, \"labels\": {}, \"labels_include\": {}}",
            ),
            "only one of `labels`",
        ),
        (
            &case(
                "\"file\": {\"path\": \"/a\"}, \"expect\": {\"file_type\": null, \"removed\": []}",
            ),
            "`removed`",
        ),
        (&case("\"config\": [], \"expect\": {\"accepted\": true}"), "line 1"),
    ] {
        let message = message(text);
        assert!(message.contains(wanted), "{text}: {message}");
    }
}

#[test]
fn errors_about_files_name_the_problem() {
    for (text, wanted) in [
        (
            &case(
                "\"file\": {\"path\": \"/a\", \"stat\": {\"mode\": \"9\"}}, \"expect\": {\"file_type\": null}",
            ),
            "`stat`",
        ),
        (&case("\"file\": {\"path\": \"/a\"}, \"expect\": {\"skipped\": false}"), "expects true"),
        (
            &case(
                "\"text\": {\"field\": \"file\", \"value\": \"\"}, \"expect\": {\"skipped\": true}",
            ),
            "only a case for a classifier's file",
        ),
        (
            &case(
                "\"file\": {\"path\": \"/a\", \"filesystem\": \"ext5\"}, \"expect\": {\"file_type\": null}",
            ),
            "no type \"ext5\"",
        ),
    ] {
        let message = message(text);
        assert!(message.contains(wanted), "{text}: {message}");
    }
}
