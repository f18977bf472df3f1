//! clap's errors on two lines at most: what is wrong, and what is right.

use std::ffi::OsString;

use clap::builder::PossibleValue;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory};

use super::Cli;
use crypto_tracer_event::nearest::nearest;
use crypto_tracer_event::printable::{printable, shortened};

/// Longest message in characters: an argument may be as long as it likes.
const MOST_CHARS: usize = 600;

/// What is wrong, as one line that a terminal can show.
pub fn compact(error: &clap::Error) -> String {
    let said = match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::InvalidSubcommand => wrong_command(error),
        ErrorKind::MissingRequiredArgument => needed(error),
        _ => misplaced_option(error),
    };
    let message = said.unwrap_or_else(|| one_line(error));
    let message = shortened(&printable(&message));
    let mut text: String = message.chars().take(MOST_CHARS).collect();
    if text.len() < message.len() && text.chars().count() == MOST_CHARS {
        text.push('…');
    }
    text
}

/// How to ask for the help of the command that stands in these arguments, the program's name first.
pub fn try_help(arguments: impl IntoIterator<Item = OsString>) -> String {
    let cli = Cli::command();
    let (mut at, mut words) = (&cli, cli.get_name().to_owned());
    // Before a command stand options without values only.
    let arguments = arguments.into_iter().skip(1);
    for word in arguments.filter(|word| !word.as_encoded_bytes().starts_with(b"-")) {
        let Some(found) = at.find_subcommand(&word) else { break };
        words.push(' ');
        words.push_str(found.get_name());
        at = found;
    }
    format!("try '{words} --help'")
}

/// What stands in an error's context as one text.
fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    }
}

/// What stands there as several.
fn texts(error: &clap::Error, kind: ContextKind) -> &[String] {
    match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts,
        _ => &[],
    }
}

/// A command that is missing, or that is none.
fn wrong_command(error: &clap::Error) -> Option<String> {
    let cli = Cli::command();
    let used = used_command(error).unwrap_or_default();
    let parent = command(&cli, &used)?;
    let there = there_are(parent);
    let before = if used.is_empty() { String::new() } else { format!("{used}: ") };
    if error.kind() == ErrorKind::MissingSubcommand {
        return Some(format!("{before}a command is missing; {there}"));
    }
    let word = text(error, ContextKind::InvalidSubcommand)?;
    let right = meant_command(parent, word).unwrap_or(there);
    Some(format!("{before}there is no command '{word}'; {right}"))
}

/// The command of `parent` that a misspelt word is near to, as a question.
pub fn meant_command(parent: &Command, word: &str) -> Option<String> {
    let commands = parent.get_subcommands().filter(|command| !command.is_hide_set());
    nearest(word, commands.map(Command::get_name)).map(|near| format!("did you mean '{near}'?"))
}

/// Which commands a command has.
pub fn there_are(parent: &Command) -> String {
    let commands = parent.get_subcommands().filter(|command| !command.is_hide_set());
    let names: Vec<&str> = commands.map(Command::get_name).collect();
    if names.is_empty() { "it has none".to_owned() } else { format!("there are {}", and(&names)) }
}

/// What a command cannot do without.
fn needed(error: &clap::Error) -> Option<String> {
    let mut cli = Cli::command();
    // Only then an argument knows how it is written.
    cli.build();
    let used = used_command(error)?;
    let command = command(&cli, &used)?;
    let missing = texts(error, ContextKind::InvalidArg);
    let spelled: Vec<String> = missing.iter().map(|text| spelled(command, text)).collect();
    // What is not needed always, another option needs.
    let always = missing
        .iter()
        .all(|text| argument(command, text).is_none_or(|argument| argument.is_required_set()));
    let who = if always { used } else { format!("{used} {}", options_used(error, missing)?) };
    Some(format!("{who} needs {}", and(&spelled)))
}

/// The option or value that clap writes so.
fn argument<'a>(command: &'a Command, text: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| argument.to_string() == text)
}

/// As the help has it, with the values that are possible, and without marks for what is optional.
fn spelled(command: &Command, text: &str) -> String {
    let plain = text.replace('|', " or ").replace(['<', '>'], "");
    let values = argument(command, text).map(Arg::get_possible_values).unwrap_or_default();
    let values: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
    if values.is_empty() { plain } else { format!("{plain} ({})", values.join(", ")) }
}

/// The options without a value that were given, as the error's usage line repeats them.
fn options_used(error: &clap::Error, missing: &[String]) -> Option<String> {
    let ContextValue::StyledStr(usage) = error.get(ContextKind::Usage)? else { return None };
    let usage = missing.iter().fold(usage.to_string(), |usage, text| usage.replace(text, ""));
    // Those that take a value need nothing else.
    let mut words = usage.split_whitespace().peekable();
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        let value = |next: &&str| {
            next.strip_prefix('<').is_some_and(|name| name.starts_with(char::is_alphabetic))
        };
        let with_value = words.peek().is_some_and(value);
        if word.starts_with("--") && !with_value {
            options.push(word);
        }
    }
    (!options.is_empty()).then(|| options.join(" "))
}

/// The command with these names, one below the other.
fn command<'a>(cli: &'a Command, names: &str) -> Option<&'a Command> {
    names.split_whitespace().try_fold(cli, |command, name| command.find_subcommand(name))
}

/// `a`, `a and b`, `a, b and c`.
fn and(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [before @ .., last] if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        words => words.concat(),
    }
}

/// An option, or a format, that other commands take.
fn misplaced_option(error: &clap::Error) -> Option<String> {
    let cli = Cli::command();
    let wrong = text(error, ContextKind::InvalidArg)?;
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let wrong = wrong.split('=').next().unwrap_or(wrong);
            let used = used_command(error);
            let takers = listed(&takers(&cli, takes_option, wrong));
            let right = takers.or_else(|| {
                let mut built = cli.clone();
                // Only then a command has the options of all.
                built.build();
                meant_option(&built, used.as_deref().unwrap_or_default(), wrong)
            })?;
            let who = used.unwrap_or_else(|| "the program itself".to_owned());
            Some(format!("{who} has no option {wrong}; {right}"))
        }
        ErrorKind::InvalidValue => {
            let value = text(error, ContextKind::InvalidValue)?;
            let right = texts(error, ContextKind::ValidValue);
            if value.is_empty() || right.is_empty() {
                return None;
            }
            let near = nearest(value, right.iter().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            let takers = takers(&cli, takes_format, value);
            let takers = listed(&takers).filter(|_| wrong.contains("--format"));
            let takers = takers.map_or_else(String::new, |takers| format!(" ({takers})"));
            let right = and(right);
            Some(format!("invalid value '{value}'{takers} for '{wrong}'; there are {right}{near}"))
        }
        _ => None,
    }
}

/// The option that a misspelt one is near to, as a question: one of this command, else one of others.
fn meant_option(cli: &Command, used: &str, wrong: &str) -> Option<String> {
    fn all<'a>(command: &'a Command, found: &mut Vec<&'a str>) {
        found.extend(command.get_arguments().filter_map(Arg::get_long));
        command.get_subcommands().for_each(|command| all(command, found));
    }
    let word = wrong.strip_prefix("--")?;
    let own = command(cli, used)?.get_arguments().filter_map(Arg::get_long);
    if let Some(near) = nearest(word, own) {
        return Some(format!("did you mean --{near}?"));
    }
    let mut others = Vec::new();
    all(cli, &mut others);
    let near = format!("--{}", nearest(word, others)?);
    let takers = listed(&takers(cli, takes_option, &near))?;
    Some(format!("did you mean {near}? {takers}"))
}

/// The command as the error's usage line has it.
fn used_command(error: &clap::Error) -> Option<String> {
    let ContextValue::StyledStr(usage) = error.get(ContextKind::Usage)? else { return None };
    let usage = usage.to_string();
    // Behind the program, whatever it is called here.
    let words = usage.split_whitespace().skip_while(|word| *word == "Usage:").skip(1);
    let words: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The commands, and those below them, that take something.
fn takers(parent: &Command, takes: fn(&Command, &str) -> bool, what: &str) -> Vec<String> {
    let commands = parent.get_subcommands().filter(|command| !command.is_hide_set());
    let each = |command: &Command| {
        let name = command.get_name();
        let below = takers(command, takes, what);
        let below = below.into_iter().map(|below| format!("{name} {below}"));
        takes(command, what).then(|| name.to_owned()).into_iter().chain(below).collect::<Vec<_>>()
    };
    commands.flat_map(each).collect()
}

fn listed(names: &[String]) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(format!("{one} takes it")),
        several => Some(format!("{} take it", and(several))),
    }
}

fn takes_option(command: &Command, wrong: &str) -> bool {
    let mut arguments = command.get_arguments();
    match wrong.strip_prefix("--") {
        Some(long) => {
            let long = long.split('=').next();
            arguments.any(|argument| argument.get_long() == long)
        }
        None => {
            let short = wrong.strip_prefix('-').and_then(|rest| rest.chars().next());
            short.is_some() && arguments.any(|argument| argument.get_short() == short)
        }
    }
}

fn takes_format(command: &Command, value: &str) -> bool {
    let format = command.get_arguments().find(|argument| argument.get_long() == Some("format"));
    format.is_some_and(|format| {
        format.get_possible_values().iter().any(|possible| possible.matches(value, false))
    })
}

fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("bad arguments");
    let mut message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    for line in lines {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        let line = line.strip_prefix("tip: ").unwrap_or(line);
        message.push_str(if message.ends_with(':') { " " } else { "; " });
        message.push_str(line);
    }
    message
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn complaint(arguments: &[&str]) -> String {
        let arguments = [&["crypto-tracer"], arguments].concat();
        let error = Cli::try_parse_from(&arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
        compact(&error)
    }

    #[test]
    fn errors_are_one_short_line() {
        let long = "x".repeat(100_000);
        for arguments in [
            &["monitor", "--bogus"][..],
            &["monitor", "-d", "x"],
            &["monitor", "-d", "-5"],
            &["monitor", "-F", "["],
            &["monitor", "-p", "0"],
            &["monitor", "-p", "-1"],
            &["monitor", "-n", ""],
            &["monitor", "-o", ""],
            &["monitor", "-f", "xml"],
            &["monitor", "-q", "-v"],
            &["monitor", "-d", &long],
            &["bogus"],
            &[],
            &["plugin"],
            &["profile"],
            &["help", "bogus", "--x"],
            &["monitor", "--\u{1b}[2J"],
        ] {
            let text = complaint(arguments);
            assert!(!text.contains(['\n', '\u{1b}']), "{text:?}");
            assert!(text.chars().count() <= MOST_CHARS + 1, "{} characters", text.len());
        }
    }

    #[test]
    fn a_command_that_is_missing_or_misspelt() {
        let all = "monitor, files, libs, profile, snapshot, replay, doctor, plugin, completions, help and version";
        let plugin = "check, list, new, test and bench";
        for (arguments, said) in [
            (&[][..], format!("a command is missing; there are {all}")),
            (&["-v"], format!("a command is missing; there are {all}")),
            (&["plugin"], format!("plugin: a command is missing; there are {plugin}")),
            (&["xyz"], format!("there is no command 'xyz'; there are {all}")),
            (&["monitr"], "there is no command 'monitr'; did you mean 'monitor'?".to_owned()),
            (
                &["plugin", "bogus"],
                format!("plugin: there is no command 'bogus'; there are {plugin}"),
            ),
            (
                &["plugin", "chek"],
                "plugin: there is no command 'chek'; did you mean 'check'?".to_owned(),
            ),
        ] {
            assert_eq!(complaint(arguments), said, "{arguments:?}");
        }
    }

    #[test]
    fn what_is_needed_is_spelled_out() {
        for (arguments, said) in [
            (&["profile"][..], "profile needs --pid PID or --name TEXT"),
            (&["replay"], "replay needs FILE"),
            (&["completions"], "completions needs SHELL (bash, elvish, fish, powershell, zsh)"),
            (
                &["plugin", "new"],
                "plugin new needs --kind KIND (classifier, redactor, filter) and NAME",
            ),
            (&["monitor", "--follow-children"], "monitor --follow-children needs --pid PID"),
            (
                &["profile", "-n", "x", "--follow-children"],
                "profile --follow-children needs --pid PID",
            ),
            (
                &["monitor", "-d", "1", "--follow-children"],
                "monitor --follow-children needs --pid PID",
            ),
        ] {
            assert_eq!(complaint(arguments), said, "{arguments:?}");
        }
    }

    #[test]
    fn the_help_of_the_command_at_hand() {
        for (arguments, help) in [
            ("", "try 'crypto-tracer --help'"),
            (" -q monitor --bogus", "try 'crypto-tracer monitor --help'"),
            (" plugin check x --bogus", "try 'crypto-tracer plugin check --help'"),
            (" bogus monitor", "try 'crypto-tracer --help'"),
        ] {
            let arguments = format!("crypto-tracer{arguments}");
            assert_eq!(try_help(arguments.split(' ').map(OsString::from)), help);
        }
    }

    /// Below zero, or a name that begins so: never an option that nobody knows.
    #[test]
    fn a_value_that_begins_with_a_dash_is_the_options() {
        fn all(command: &Command, words: &[String]) {
            let options = command.get_arguments().filter(|it| it.get_action().takes_values());
            for option in options.filter_map(Arg::get_long).map(|long| format!("--{long}")) {
                let given = [words, &[option.clone(), "-1".to_owned()]].concat();
                if let Err(error) = Cli::try_parse_from(&given) {
                    let said = compact(&error);
                    assert!(!said.contains("unexpected"), "{given:?}: {said}");
                }
            }
            for command in command.get_subcommands() {
                all(command, &[words, &[command.get_name().to_owned()]].concat());
            }
        }
        all(&Cli::command(), &["crypto-tracer".to_owned()]);
    }

    #[test]
    fn a_misspelt_option_names_the_nearest() {
        let long = format!("--{}", "x".repeat(100_000));
        for (arguments, near) in [
            (&["monitor", "--pdi", "5"][..], Some("--pid?")),
            (&["monitor", "--pdi=5"], Some("--pid?")),
            (&["monitor", "--durations", "3"], Some("--duration?")),
            (&["monitor", "--dur", "3"], Some("--duration?")),
            (&["monitor", "--follow"], Some("--follow-children?")),
            (&["monitor", "--no_redact"], Some("--no-redact?")),
            (&["monitor", "--noredact"], Some("--no-redact?")),
            (&["monitor", "--PID", "5"], Some("--pid?")),
            (&["monitor", "--foramt", "table"], Some("--format?")),
            (&["monitor", "--verbos"], Some("--verbose?")),
            (&["monitor", "--hlep"], Some("--help?")),
            (&["monitor", "--versoin"], Some("--version?")),
            (&["files", "--fiel", "*.pem"], Some("--file?")),
            (&["libs", "--libary", "ssl"], Some("--library?")),
            (&["profile", "--naem", "x"], Some("--name?")),
            (&["replay", "x", "--clasifier", "y"], Some("--classifier?")),
            (&["plugin", "new", "x", "--knd", "filter"], Some("--kind?")),
            (&["plugin", "test", "x", "--casse", "y"], Some("--cases?")),
            (&["doctor", "--prob", "lsm"], Some("--probe?")),
            (&["--verbos", "monitor"], Some("--verbose?")),
            // Near to another command's only.
            (&["libs", "--extented"], Some("--extended?")),
            (
                &["snapshot", "--pdi", "1"],
                Some("--pid? monitor, files, libs, profile and replay take it"),
            ),
            (&["version", "--formt", "x"], Some("--format?")),
            (&["monitor", "--bogus"], None),
            (&["monitor", &long], None),
            (&["monitor", "--"], None),
        ] {
            let arguments = [&["crypto-tracer"], arguments].concat();
            let Err(error) = Cli::try_parse_from(&arguments) else { continue };
            let said = compact(&error);
            match near {
                Some(near) => assert!(said.contains(&format!("did you mean {near}")), "{said}"),
                None => assert!(!said.contains("did you mean"), "{said}"),
            }
        }
        let said = complaint(&["monitor", "--pdi", "5"]);
        assert_eq!(said, "monitor has no option --pdi; did you mean --pid?");
        let renamed =
            Cli::try_parse_from(["/usr/local/bin/ct", "snapshot", "-p", "1"]).unwrap_err();
        assert!(compact(&renamed).starts_with("snapshot has no option -p; monitor, "));
        let said = complaint(&["--pid", "5", "monitor"]);
        assert!(said.starts_with("the program itself has no option --pid; monitor, "), "{said}");
    }

    #[test]
    fn a_misspelt_command_names_the_nearest() {
        for (word, near) in [
            ("moniter", "monitor"),
            ("mnoitor", "monitor"),
            ("MONITOR", "monitor"),
            ("file", "files"),
            ("lib", "libs"),
            ("profil", "profile"),
            ("snap", "snapshot"),
            ("snapshto", "snapshot"),
            ("rplay", "replay"),
            ("docter", "doctor"),
            ("plugins", "plugin"),
            ("completion", "completions"),
            ("versoin", "version"),
        ] {
            let said = complaint(&[word]);
            assert_eq!(said, format!("there is no command '{word}'; did you mean '{near}'?"));
        }
        assert!(!complaint(&["xyz"]).contains("did you mean"));
        for (format, near) in
            [("tabel", "table"), ("json", "json-array"), ("JSON-STREAM", "json-stream")]
        {
            let said = complaint(&["monitor", "--format", format]);
            assert!(said.ends_with(&format!("; did you mean '{near}'?")), "{said}");
        }
        assert!(!complaint(&["monitor", "--format", "xml"]).contains("did you mean"));
    }

    #[test]
    fn an_option_of_other_commands_is_said_to_be_theirs() {
        let text = complaint(&["version", "--file", "*.pem"]);
        assert!(text.starts_with("version has no option --file; monitor, files"), "{text}");
        let text = complaint(&["libs", "-F", "*.pem"]);
        assert!(text.starts_with("libs has no option -F; monitor, files"), "{text}");
        let text = complaint(&["monitor", "--bogus"]);
        assert!(text.contains("'--bogus'"), "{text}");
    }
}
