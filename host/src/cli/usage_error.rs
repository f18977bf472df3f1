//! Messages for usage errors: one line that states the error and, where possible, the correction.

use std::error::Error;
use std::ffi::OsString;

use clap::builder::PossibleValue;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory};

use super::Cli;
use crate::nearest::nearest;
use crypto_tracer_event::printable::{printable, shortened};

/// Maximum length of a message in characters. An argument may be of any length.
const MAX_CHARS: usize = 600;

/// Returns the message for `error`, which parsing `arguments` returned: one line without control characters.
pub fn usage_error(error: &clap::Error, arguments: &[OsString]) -> String {
    let cli = built_cli();
    let message = shortened(&printable(&message(error, &cli, command_in(&cli, arguments))));
    match message.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", message.split_at(end).0),
        None => message,
    }
}

/// Returns a hint to the help of the command in `arguments`, the first of which is the program.
pub fn help_hint(arguments: &[OsString]) -> String {
    let cli = built_cli();
    let name = command_in(&cli, arguments).get_bin_name().unwrap_or(cli.get_name());
    format!("try '{name} --help'")
}

/// The command line with names, global options and usage filled in for every command.
fn built_cli() -> Command {
    let mut cli = Cli::command();
    cli.build();
    cli
}

/// Returns the last command in `arguments` before the first argument that its parent does not accept.
fn command_in<'a>(cli: &'a Command, arguments: &[OsString]) -> &'a Command {
    let mut command = cli;
    // Only options without a value can precede the name of a command.
    for argument in arguments.iter().skip(1).map(|argument| argument.to_string_lossy()) {
        if argument.starts_with('-') && has_option(command, &argument) {
            continue;
        }
        let Some(found) = command.find_subcommand(&*argument) else { break };
        command = found;
    }
    command
}

fn message(error: &clap::Error, cli: &Command, command: &Command) -> String {
    let name = name(command);
    let context = |kind| string(error, kind);
    let (argument, value) = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue));
    match error.kind() {
        ErrorKind::MissingSubcommand => format!("missing command; {}", command_list(command)),
        ErrorKind::InvalidSubcommand => {
            let hint = match strings(error, ContextKind::SuggestedSubcommand).last() {
                Some(suggested) => format!("did you mean '{suggested}'?"),
                None => command_list(command),
            };
            format!("unknown command '{}'; {hint}", context(ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let hint = option_hint(error, cli, command, argument);
            format!("{name} has no option {argument}{hint}")
        }
        ErrorKind::UnknownArgument => format!("unexpected argument '{argument}'"),
        ErrorKind::MissingRequiredArgument => {
            let missing = strings(error, ContextKind::InvalidArg).iter();
            let mut found = missing.clone().filter_map(|text| find_argument(command, text));
            // An argument that is not always required is required by another option.
            let always = found.all(Arg::is_required_set);
            let condition = if always { "" } else { " with these options" };
            let missing: Vec<String> = missing.map(|text| described(command, text)).collect();
            format!("{name} requires {}{condition}", joined(&missing))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("'{argument}' requires a value"),
        ErrorKind::InvalidValue => {
            let valid = joined(strings(error, ContextKind::ValidValue));
            let hint = value_hint(cli, command, argument, value).unwrap_or_default();
            format!("invalid value '{value}' for '{argument}'; the values are {valid}{hint}")
        }
        ErrorKind::ValueValidation => {
            let reason = error.source().map(ToString::to_string).unwrap_or_default();
            format!("invalid value '{value}' for '{argument}': {reason}")
        }
        ErrorKind::TooManyValues => format!("unexpected value '{value}' for '{argument}'"),
        ErrorKind::ArgumentConflict => match context(ContextKind::PriorArg) {
            prior if prior == argument => format!("'{argument}' is given more than once"),
            "" => format!("'{argument}' cannot be used with other arguments"),
            prior => format!("'{argument}' cannot be used with '{prior}'"),
        },
        kind => kind.to_string(),
    }
}

fn string(error: &clap::Error, kind: ContextKind) -> &str {
    match error.get(kind) {
        Some(ContextValue::String(string)) => string,
        _ => "",
    }
}

fn strings(error: &clap::Error, kind: ContextKind) -> &[String] {
    match error.get(kind) {
        Some(ContextValue::Strings(strings)) => strings,
        _ => &[],
    }
}

/// The name of a command without the name of the program, unless it is the program.
fn name(command: &Command) -> &str {
    let path = command.get_bin_name().unwrap_or(command.get_name());
    path.split_once(' ').map_or(path, |(_program, name)| name)
}

fn command_list(parent: &Command) -> String {
    let names: Vec<&str> = parent.get_subcommands().map(Command::get_name).collect();
    format!("the commands of {} are {}", name(parent), joined(&names))
}

/// Returns the option or operand that clap displays as `text`.
fn find_argument<'a>(command: &'a Command, text: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| argument.to_string() == text)
}

/// `text`, which is how clap displays an argument, with the possible values of that argument.
fn described(command: &Command, text: &str) -> String {
    let values = find_argument(command, text).map(Arg::get_possible_values).unwrap_or_default();
    let values: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
    if values.is_empty() { text.to_owned() } else { format!("{text} ({})", values.join(", ")) }
}

/// Whether `command` has the option `text`, which is `--long`, or starts with `-s`.
fn has_option(command: &Command, text: &str) -> bool {
    command.get_arguments().any(|option| match text.strip_prefix("--") {
        Some(long) => option.get_long() == Some(long),
        None => option.get_short().is_some_and(|short| text.chars().nth(1) == Some(short)),
    })
}

/// Names the commands that accept `option`, or the option that it may be a misspelling of.
fn option_hint(error: &clap::Error, cli: &Command, command: &Command, option: &str) -> String {
    let accepting = |option: &str| accepting(cli, option, |it| has_option(it, option));
    if let Some(accepting) = accepting(option) {
        return format!("; {accepting}");
    }
    // clap suggests options of this command only, and none for `--pdi` or `--PID`.
    let suggested = string(error, ContextKind::SuggestedArg).strip_prefix("--");
    let near = suggested.or_else(|| {
        let commands = std::iter::once(command).chain(descendants(cli));
        let options = commands.flat_map(Command::get_arguments).filter_map(Arg::get_long);
        nearest(option.strip_prefix("--")?, options)
    });
    let Some(near) = near.map(|near| format!("--{near}")) else { return String::new() };
    let elsewhere = accepting(&near).filter(|_| !has_option(command, &near));
    let elsewhere = elsewhere.map(|accepting| format!(" {accepting}")).unwrap_or_default();
    format!("; did you mean {near}?{elsewhere}")
}

/// Names the commands whose option of the same name accepts `value`.
fn value_hint(cli: &Command, command: &Command, argument: &str, value: &str) -> Option<String> {
    let long = find_argument(command, argument)?.get_long()?;
    let accepting = accepting(cli, &format!("'{value}'"), |command| {
        let option = command.get_arguments().find(|option| option.get_long() == Some(long));
        let values = option.map(Arg::get_possible_values).unwrap_or_default();
        values.iter().any(|possible| possible.matches(value, false))
    });
    accepting.map(|accepting| format!("; {accepting}"))
}

/// Names the commands that satisfy `accepts`, as those that accept `what`.
fn accepting(cli: &Command, what: &str, accepts: impl Fn(&Command) -> bool) -> Option<String> {
    let commands = descendants(cli).into_iter().filter(|command| accepts(command));
    match commands.map(name).collect::<Vec<_>>().as_slice() {
        [] => None,
        [one] => Some(format!("{one} accepts {what}")),
        several => Some(format!("{} accept {what}", joined(several))),
    }
}

/// All commands below `command`, at every level.
fn descendants(command: &Command) -> Vec<&Command> {
    let with_own = |command| [vec![command], descendants(command)].concat();
    command.get_subcommands().flat_map(with_own).collect()
}

/// Joins words as `a`, `a and b`, or `a, b and c`.
fn joined(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        words => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// The message and the hint for an invalid command line.
    fn refused(arguments: &[&str]) -> (String, String) {
        let arguments = [&["crypto-tracer"], arguments].concat();
        let error = Cli::try_parse_from(&arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        (usage_error(&error, &arguments), help_hint(&arguments))
    }

    #[test]
    fn message_is_one_short_line_without_control_characters() {
        let long = "x".repeat(100_000);
        for arguments in [
            &["monitor", "-d", long.as_str()][..],
            &["monitor", "-f", "\u{1b}[2J\n"],
            &["monitor", &format!("--{long}")],
            &["monitor", "--\u{1b}[2J\u{202e}"],
            &["\u{1b}[2J"],
        ] {
            let (text, _) = refused(arguments);
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
            assert!(text.chars().count() <= MAX_CHARS + 1, "{} characters", text.len());
        }
    }

    /// tests/offline/command_line/messages.rs has an example of each kind of error.
    #[test]
    fn message_and_hint_name_the_command_of_the_unknown_option() {
        for (arguments, message, command) in [
            ("monitor --PID 5", "monitor has no option --PID; did you mean --pid?", " monitor"),
            ("-q monitor -x", "monitor has no option -x", " monitor"),
            ("plugin check x --bogus", "plugin check has no option --bogus", " plugin check"),
            ("--verb monitor", "crypto-tracer has no option --verb; did you mean --verbose?", ""),
        ] {
            let hint = format!("try 'crypto-tracer{command} --help'");
            let refused = refused(&arguments.split(' ').collect::<Vec<_>>());
            assert_eq!(refused, (message.to_owned(), hint));
        }
    }
}
