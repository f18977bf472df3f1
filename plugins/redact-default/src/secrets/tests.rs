//! Each line of each table, in each form: the secret is masked, and the rest is unchanged.

use super::*;
use crate::forms::{self, FieldGroup};
use crate::programs;
use proptest::prelude::*;

fn shown(arguments: &[String]) -> String {
    let mut out = Vec::new();
    command_line(arguments, false, |argument, masked| {
        out.push(masked.unwrap_or_else(|| argument.to_owned()));
    });
    out.join(" ")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// The value of an option of this form, with the secret. None: the form has no secret.
fn value(form: Form, secret: &str) -> Option<String> {
    Some(match form {
        Form::Secret | Form::Optional | Form::Glued | Form::Two | Form::Auth => secret.to_owned(),
        Form::Pair | Form::Cert => format!("visible:{secret}"),
        Form::Percent => format!("visible%{secret}"),
        Form::Comma => format!("visible,{secret}"),
        Form::Login => format!("visible/{secret}@db"),
        Form::Authority => format!("visible:{secret}@host"),
        Form::Literal => format!("visible={secret}"),
        Form::List => format!("a=visible,password={secret},b=c"),
        Form::Percona => format!("h=visible,p={secret},D=d"),
        Form::Data => format!("a=visible&password={secret}&b=c"),
        Form::Conninfo => format!("host=visible password='{secret} x' b=c"),
        Form::Cookie => format!("session={secret}"),
        Form::Keyed => format!("hexkey:{secret}"),
        Form::Code => format!("mysql -p{secret} visible"),
        _ => return None,
    })
}

/// All spellings of an option with its value.
fn spellings(form: Form, option: &str, value: &str, is_words: bool) -> Vec<Vec<String>> {
    let next = words(&[option, value]);
    let glued = words(&[&format!("{option}{value}")]);
    let equals = words(&[&format!("{option}={value}")]);
    let letter = option.len() == 2 && option.starts_with('-') && !is_words;
    match form {
        _ if option.ends_with([':', '=']) => vec![glued],
        Form::Glued if option.starts_with("--") || is_words => vec![equals],
        Form::Glued => vec![glued],
        _ if letter => vec![next, glued],
        _ if option.starts_with('-') && (option.starts_with("--") || is_words) => {
            vec![next, equals]
        }
        _ => vec![next],
    }
}

/// The command lines that a line of a table covers, without the name of the program.
fn covered(rules: &[FieldGroup], secret: &str) -> Vec<Vec<String>> {
    let is_words = rules.iter().any(|&(form, _)| form == Form::Words);
    let mut lines = Vec::new();
    for &(form, options) in rules {
        let Some(value) = value(form, secret) else { continue };
        for option in options.split_whitespace() {
            lines.extend(spellings(form, option, &value, is_words));
        }
    }
    lines
}

fn check(name: &str, line: &[String], secret: &str) -> Result<(), TestCaseError> {
    let mut arguments: Vec<String> = name.split(' ').map(str::to_owned).collect();
    arguments.extend_from_slice(line);
    arguments.push("--zz=visible-too".to_owned());
    let out = shown(&arguments);
    prop_assert!(!out.contains(secret), "{arguments:?}: {out}");
    prop_assert!(
        out.starts_with(name) && out.ends_with(" --zz=visible-too"),
        "{arguments:?}: {out}"
    );
    let is_visible = line.iter().any(|argument| argument.contains("visible"));
    prop_assert!(
        out.matches("visible").count() == 1 + usize::from(is_visible),
        "{arguments:?}: {out}"
    );
    Ok(())
}

/// Positional arguments, with the secret at the position that the line of the table defines.
fn positions(rules: &[FieldGroup], secret: &str) -> Option<Vec<String>> {
    let (_, text) = rules.iter().find(|(form, _)| *form == Form::Args)?;
    let mut any = false;
    let arguments = text.split(' ').filter(|&what| what != "*").map(|what| {
        let argument = match what {
            "secret" | "token" | "value" => secret.to_owned(),
            "pair" => format!("a:{secret}"),
            "login" => format!("a/{secret}"),
            "authority" => format!("a:{secret}@h"),
            "literal" => format!("a={secret}"),
            "percona" => format!("h=a,p={secret}"),
            "conninfo" => format!("host=h password={secret}"),
            "code" => format!("mysql -p{secret}"),
            "name" => "db.password".to_owned(),
            _ => "plain".to_owned(),
        };
        any |= argument.contains(secret);
        argument
    });
    let arguments = arguments.collect();
    any.then_some(arguments)
}

fn secrets() -> impl Strategy<Value = String> {
    "zq[A-Za-z0-9!#%^*+._]{6,14}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_line_of_every_table_hides_its_secrets(secret in secrets()) {
        let mut count = 0;
        for &(names, rules) in programs::all() {
            for name in names.split(',') {
                // `mysql*` is a prefix.
                let name = &name.replace('*', "x");
                for line in covered(rules, &secret) {
                    count += 1;
                    check(name, &line, &secret)?;
                }
                if let Some(line) = positions(rules, &secret) {
                    let mut arguments: Vec<String> = name.split(' ').map(str::to_owned).collect();
                    arguments.extend(line);
                    let out = shown(&arguments);
                    prop_assert!(!out.contains(&secret), "{arguments:?}: {out}");
                }
            }
        }
        prop_assert!(count > 1000, "{count}");
    }

    /// An argument that contains blanks, quotes and operators is masked as one.
    #[test]
    fn arguments_are_masked_as_a_whole(secret in "zq[A-Za-z0-9 ;|&'\"()$`<>\\\\#]{4,20}") {
        for before in ["--password=", "DB_PASSWORD=", "--env=DB_PASSWORD=", "-Dx.password=", "X-Api-Key: ", "-e=A_TOKEN="] {
            let arguments = words(&["tool", &format!("{before}{secret}"), "visible"]);
            prop_assert_eq!(shown(&arguments), format!("tool {before}*** visible"));
        }
        let arguments = words(&["tool", "--password", &secret, "visible"]);
        prop_assert_eq!(shown(&arguments), "tool --password *** visible");
    }

    /// Only the secrets of shell code change.
    #[test]
    fn shell_code_around_secrets_is_unchanged(
        secret in "zq[A-Za-z0-9 ;|&()<>#]{4,20}",
        before in prop::sample::select(vec!["", "cd /x && ", "! ", "if ", "x=1 ", "(", "echo a; ", "a | ", "# b\n", "exec "]),
        after in prop::sample::select(vec!["", " | gzip > /b.gz", "; ls 2>&1", " && echo \"$x\"", ")", "\nls\n", " <<< a", " >f"]),
    ) {
        for command in ["mysql -u root -p'§' db", "PGPASSWORD='§' psql -h h", "curl -u 'a:§' h", "redis-cli -a \"§\" ping"] {
            let code = format!("{before}{command}{after}");
            let arguments = words(&["sh", "-c", &code.replace('§', &secret)]);
            let out = shown(&arguments);
            prop_assert!(!out.contains(&secret), "{code}: {out}");
            // The mask may replace the quotes of the secret too.
            let plain = |text: &str| text.replace(['\'', '"'], "");
            prop_assert_eq!(plain(&out), plain(&format!("sh -c {}", code.replace('§', MASK))));
        }
    }

    #[test]
    fn no_command_line_causes_a_panic(
        program in prop::sample::select(vec!["sh", "curl", "mysql", "openssl", "docker", "find", "ssh", "qpdf", "steamcmd", "x"]),
        arguments in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec!["-c", "-p", "-u", "--", ";", "exec", "run", "--encrypt", "AUTH", "-exec", "-e"])
                    .prop_map(str::to_owned),
                "[-~/:=@%'\"`$(){}<>|&;, a-z.…\\\\\n]{0,30}",
                "\\PC{0,12}",
            ],
            0..6,
        ),
        cut in any::<bool>(),
    ) {
        let mut all = words(&[program]);
        all.extend(arguments);
        command_line(&all, cut, |_, _| ());
    }
}

/// The index contains every name, and no name is in two lines.
#[test]
fn the_index_contains_every_name() {
    let mut seen = std::collections::HashSet::new();
    for &(names, rules) in programs::all() {
        for name in names.split(',') {
            assert!(seen.insert(name), "{name} is in two lines");
            let spelled = name.replace('*', "x");
            let mut words = spelled.split(' ');
            let mut found =
                programs::program(words.next().unwrap()).unwrap_or_else(|| panic!("{name}"));
            for word in words {
                assert!(
                    forms::has(found.rules, Form::Sub),
                    "{name}: no line of a subcommand before `{word}`"
                );
                found = programs::subcommand(found, word).unwrap_or_else(|| panic!("{name}"));
            }
            let forms = found.rules.0.iter().filter(|&&byte| byte >= forms::PACKED);
            let packed: Vec<u8> = forms.map(|byte| byte - forms::PACKED).collect();
            let listed: Vec<u8> = rules.iter().map(|&(form, _)| form as u8).collect();
            assert_eq!(packed, listed, "{name}");
        }
    }
    assert!(seen.len() < 1200, "{}: the index has to grow", seen.len());
}

#[test]
fn deeply_nested_code_is_masked() {
    let mut code = "mysql -pzqsecret".to_owned();
    for _ in 0..9 {
        code = format!("eval \"{}\"", code.replace('\\', "\\\\").replace('"', "\\\""));
        if code.len() > 3000 {
            break;
        }
    }
    assert!(!shown(&words(&["sh", "-c", &code])).contains("zqsecret"));
}
