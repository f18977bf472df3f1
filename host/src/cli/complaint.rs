//! clap's errors on two lines at most: what is wrong, and what is right.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use super::Cli;
use crate::printable::{printable, shortened};

/// Longest message in characters: an argument may be as long as it likes.
const MOST_CHARS: usize = 600;

/// What is wrong, as one line that a terminal can show.
pub fn compact(error: &clap::Error) -> String {
    let message = misplaced_option(error).unwrap_or_else(|| one_line(error));
    let message = shortened(&printable(&message));
    let mut text: String = message.chars().take(MOST_CHARS).collect();
    if text.len() < message.len() && text.chars().count() == MOST_CHARS {
        text.push('…');
    }
    text
}

/// An option, or a format, that other commands take.
fn misplaced_option(error: &clap::Error) -> Option<String> {
    let cli = Cli::command();
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let wrong = text(ContextKind::InvalidArg)?;
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let command = used_command(error)?;
            let takers = takers(&cli, |command| takes_option(command, wrong));
            let takers = listed(&takers)?;
            Some(format!("{command} has no option {wrong}; {takers}"))
        }
        ErrorKind::InvalidValue => {
            let value = text(ContextKind::InvalidValue)?;
            let takers = takers(&cli, |command| takes_format(command, value));
            let takers = listed(&takers).filter(|_| wrong.contains("--format"))?;
            Some(format!("{}: the format {value} is for other commands; {takers}", one_line(error)))
        }
        _ => None,
    }
}

/// The command as the error's usage line has it.
fn used_command(error: &clap::Error) -> Option<String> {
    let ContextValue::StyledStr(usage) = error.get(ContextKind::Usage)? else { return None };
    let usage = usage.to_string();
    let words = usage.split_whitespace().skip_while(|word| *word != "crypto-tracer").skip(1);
    let words: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn takers(cli: &Command, takes: impl Fn(&Command) -> bool) -> Vec<&str> {
    let commands = cli.get_subcommands().filter(|command| !command.is_hide_set());
    commands.filter(|command| takes(command)).map(Command::get_name).collect()
}

fn listed(names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(format!("{one} takes it")),
        [before @ .., last] => Some(format!("{} and {last} take it", before.join(", "))),
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
            &["help", "bogus", "--x"],
            &["monitor", "--\u{1b}[2J"],
        ] {
            let text = complaint(arguments);
            assert!(!text.contains(['\n', '\u{1b}']), "{text:?}");
            assert!(text.chars().count() <= MOST_CHARS + 1, "{} characters", text.len());
        }
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
