//! The scripts of `completions`, run by the shell.

use std::fs;
use std::process::Command;

use crypto_tracer_tests::{output, program, temp_dir};

crypto_tracer_tests::tests![bash_completes_commands_options_and_values, zsh_and_fish_complete_help,];

/// Prints the words that bash offers for the last argument.
const OFFER: &str = r#"
source "$1"; shift
function=$(complete -p crypto-tracer); function=${function##*-F }; function=${function%% *}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
"$function" crypto-tracer "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[*]}"
"#;

fn script(shell: &str) -> String {
    let printed = output(Command::new(program()).args(["completions", shell]));
    assert_eq!(printed.status.code(), Some(0));
    String::from_utf8(printed.stdout).unwrap()
}

fn bash_completes_commands_options_and_values() {
    let dir = temp_dir();
    let file = dir.path().join("script.bash");
    fs::write(&file, script("bash")).unwrap();
    let commands =
        "monitor files libs profile snapshot replay doctor plugin completions help version";
    for (words, offered_words, missing) in [
        (&["mo"][..], "monitor", "files"),
        (&[""], commands, "--pid"),
        (&["files", "--format", ""], "json-stream json-array json-pretty table", "--format"),
        (&["files", "-f", "t"], "table", "json-array"),
        (&["snapshot", "-"], "-o -f -v -q -h -V --output --format --no-redact", "--pid"),
        (&["monitor", "--fo"], "--follow-children --format", "--pid"),
        (&["completions", ""], "bash elvish fish powershell zsh", "monitor"),
        (&["plugin", ""], "check list new test bench", "monitor"),
        (&["plugin", "new", "--kind", ""], "classifier redactor filter", "--kind"),
        (&["help", ""], commands, "bench"),
        (&["help", "plugin", ""], "check list new test bench", "monitor"),
        (&["-q", "doc"], "doctor", "monitor"),
    ] {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", OFFER, "bash"]).arg(&file).arg("crypto-tracer").args(words);
        let offered = output(&mut bash);
        let stderr = String::from_utf8_lossy(&offered.stderr);
        assert!(offered.status.success() && stderr.is_empty(), "{words:?}: {stderr}");
        let offered = String::from_utf8_lossy(&offered.stdout);
        let offered: Vec<&str> = offered.split_whitespace().collect();
        for word in offered_words.split(' ') {
            assert!(offered.contains(&word), "{words:?}: {word} is not in {offered:?}");
        }
        assert!(!offered.contains(&missing), "{words:?}: {offered:?}");
    }
}

/// These shells may not be installed, so the test only looks for words in their scripts.
fn zsh_and_fish_complete_help() {
    for (shell, word) in [
        ("zsh", "_crypto-tracer__subcmd__help__subcmd__plugin_commands"),
        ("fish", "using_subcommand help"),
    ] {
        assert!(script(shell).contains(word), "{shell}");
    }
}
