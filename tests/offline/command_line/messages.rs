//! Snapshots of every help text and of the messages about invalid arguments.
//! `INSTA_UPDATE=always cargo test --test offline messages` updates them.

use std::fmt::Write;

use assert_cmd::Command;
use crypto_tracer_tests::{program, temp_dir, workspace};

crypto_tracer_tests::tests![help_of_every_command, refusals, warnings];

/// Number of columns for which the program formats its help.
const COLUMNS: &str = "100";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env("COLUMNS", COLUMNS).env_remove("XDG_CONFIG_HOME");
    command
}

fn stdout(arguments: &[&str]) -> String {
    let ended = command(arguments).assert().success().stderr("");
    String::from_utf8(ended.get_output().stdout.clone()).unwrap()
}

/// Returns every command that the help lists, so that none is missing here.
fn commands() -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for parent in [&[][..], &["inventory"], &["plugin"]] {
        let help = stdout(&[parent, &["--help"]].concat());
        let (_, list) = help.split_once("Commands:\n").unwrap();
        let list = list.lines().take_while(|line| !line.is_empty());
        let names = list.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        for name in names.filter(|name| !name.is_empty()) {
            all.push(parent.iter().copied().chain([name]).map(str::to_owned).collect());
        }
    }
    all
}

fn help_of_every_command() {
    let commands = commands();
    assert_eq!(commands.len(), 25, "{commands:?}");
    for words in &commands {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let long = stdout(&[&words[..], &["--help"]].concat());
        assert_eq!(stdout(&[&["help"], &words[..]].concat()), long, "help {words:?}");
        let widest = long.lines().map(|line| line.chars().count()).max();
        assert!(widest <= COLUMNS.parse().ok(), "{words:?}");
        assert!(long.contains("Examples:\n"), "{words:?}");
        let short = stdout(&[&words[..], &["-h"]].concat());
        let name = [&["help"], &words[..]].concat().join("-");
        insta::assert_snapshot!(name, format!("{long}\n---- -h ----\n{short}"));
    }
}

/// Invalid arguments, grouped by what is wrong with them.
const REFUSED: &[&str] = &[
    // The command is missing or unknown.
    "",
    "--verbose",
    "plugin",
    "monitr",
    "bogus",
    "plugin chek",
    "plugin bogus",
    "help monitr",
    "help plugin bogus",
    "help version more",
    // An argument is missing.
    "profile",
    "replay",
    "completions",
    "plugin new",
    "plugin new name",
    "plugin check",
    "plugin test",
    "plugin bench",
    "monitor --follow-children",
    "profile --name x --follow-children",
    "monitor --file",
    "monitor --pid",
    // There is an unexpected or repeated argument.
    "monitor surplus",
    "version surplus",
    "replay one two",
    "monitor --bogus",
    "monitor --durations 3",
    "monitor --pdi 5",
    "monitor --pdi=5",
    "files --fiel *.pem",
    "libs --follow",
    "snapshot --pdi 1",
    "snap",
    "--pid 5 monitor",
    "monitor --format tabel",
    "monitor -x",
    "monitor --quiet --verbose",
    "monitor --duration 1 --duration 2",
    "monitor --output a --output b",
    "monitor --format table --format table",
    "monitor --no-redact=yes",
    "profile --pid 7 --pid 8",
    // The option belongs to other commands.
    "libs --file *.pem",
    "files -l libssl",
    "snapshot --pid 1",
    "snapshot --duration 1",
    "snapshot --format table",
    "profile --pid 1 --extended",
    "replay x --record y",
    "monitor --format summary",
    "doctor --no-redact",
    "version --pid 1",
    "plugin list --pid 1",
    "monitor --kind filter",
    // A value is invalid.
    "monitor --duration soon",
    "monitor --duration -1",
    "monitor --duration 1d",
    "monitor --duration 99999999999h",
    "monitor --pid 0",
    "monitor --pid -1",
    "monitor --pid nginx",
    "monitor --file [",
    "monitor --file {a",
    "monitor --format xml",
    "monitor --color sometimes",
    "doctor --format table",
    "doctor --format -1",
    "completions tcsh",
    "plugin new name --kind painter",
    "plugin new na/me --kind filter",
    "plugin check x --with 1",
    "snapshot --classifier nowhere.wasm",
    "replay nowhere.rec",
];

fn refusals() {
    let dir = temp_dir();
    let mut stderr = String::new();
    for arguments in REFUSED {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let ended = command(&words).current_dir(dir.path()).assert().code(2).stdout("");
        let text = String::from_utf8(ended.get_output().stderr.clone()).unwrap();
        let text = text.replace(dir.path().to_str().unwrap(), "DIR");
        writeln!(stderr, "$ crypto-tracer {arguments}\n{text}").unwrap();
    }
    // Empty texts.
    for option in ["--name", "--library", "--file", "--output", "--record", "--probe", "--config"] {
        let ended = command(&["monitor", option, ""]).assert().code(2).stdout("");
        let text = String::from_utf8(ended.get_output().stderr.clone()).unwrap();
        writeln!(stderr, "$ crypto-tracer monitor {option} ''\n{text}").unwrap();
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a file was created");
    insta::assert_snapshot!("refusals", stderr);
}

/// The program warns about filters that no event can match, and continues.
fn warnings() {
    let recording = workspace().join("tests/fixtures/recordings/every-event.rec");
    let mut stderr = String::new();
    for options in [
        "--pid 7 --pid 8",
        "--file *.pem --library ssl",
        "--file server.pem",
        "--file [ab].pem",
        "--file {a,b}.pem",
        "--file /etc//x.pem",
        "--file /etc/../x.pem",
        "--file *.txt",
        "--name /usr/sbin/nginx-debug",
    ] {
        let arguments = ["replay", recording.to_str().unwrap()];
        let mut command = command(&arguments);
        let ended = command.args(options.split(' ')).assert().success().stdout("");
        let text = String::from_utf8(ended.get_output().stderr.clone()).unwrap();
        let warnings = text.lines().filter(|line| line.contains("warning: "));
        let warnings: Vec<&str> = warnings.collect();
        assert!(!warnings.is_empty(), "{options}: {text}");
        writeln!(stderr, "$ crypto-tracer replay {options}\n{}\n", warnings.join("\n")).unwrap();
    }
    insta::assert_snapshot!("warnings", stderr);
}
