//! Properties of the rules, tested with random texts.

use super::*;
use proptest::prelude::*;

/// A name that occurs in no other test.
fn name() -> impl Strategy<Value = String> {
    "zq[a-z0-9_.-]{3,12}"
}

proptest! {
    #[test]
    fn names_in_paths_are_hidden(
        name in "zq[^/\0]{0,12}",
        parent in prop::sample::select(vec!["/home", "//home/.", "/x/../home", "/srv/people", "/../home"]),
        rest in "(/[^/\0]{0,8}){0,4}",
    ) {
        let out = shown("file", &format!("{parent}/{name}{rest}"));
        // A `..` after the name leads out of the home.
        prop_assert!(!out.contains(&name) || rest.contains(&name), "{out}");
    }

    #[test]
    fn names_in_linked_homes_are_hidden(
        name in "zq[^/\0]{0,12}",
        parent in prop::sample::select(vec![
            "/data/users", "/nas/u", "/usr/home", "/media", "/run/media", "/var/mail", "/var/spool/mail", "/home/corp/erin/../..",
        ]),
        spelled in prop::sample::select(vec!["/", "//", "/./", "/x/../"]),
        rest in "(/[a-y. ]{0,8}){0,4}",
    ) {
        let path = format!("{parent}{spelled}{name}{rest}");
        let out = redact(&linked(), "file", &path, &[]).unwrap_or(path);
        prop_assert!(!out.contains(&name), "{out}");
    }

    #[test]
    fn shares_without_homes_are_unchanged(
        path in "(/[a-y.]{0,5}){1,5}",
        before in prop::sample::select(vec!["", "--x=", "mount ", "smb:", "file:", "https:"]),
    ) {
        prop_assume!(!["home", "root", "media", "run", "var"].iter().any(|name| path.contains(name)));
        let text = format!("{before}/{path}");
        prop_assume!(!before.is_empty() || text.starts_with("//"));
        let out = shown("cmdline", &text);
        prop_assert_eq!(out, text);
    }

    #[test]
    fn names_in_command_lines_are_hidden(
        name in name(),
        before in prop::sample::select(vec![
            "", "-I", "--x=", "A=", "a b ", "'", "\"", "x:", "x,y=", "@", "file://", "(", ">", "-", "a;", "$X", "${X}", "`",
        ]),
        parent in prop::sample::select(vec!["/home/", "//home//", "/etc/../home/", "../../home/", "/srv/people/", "home/"]),
        rest in prop::sample::select(vec!["", "/", "/x y", "/x:/y", " z", "' x", "\"", ",b=/c", ";ls", "\n", ")", "/../q"]),
    ) {
        prop_assume!(!(parent == "home/" && before.starts_with(['-', '$']) && !before.ends_with('=')));
        let out = command(&["tool", &format!("{before}{parent}{name}{rest}"), "end"]);
        prop_assert!(!out.contains(&name), "{out}");
    }

    #[test]
    fn secrets_in_command_lines_are_masked(
        secret in "zq[A-Za-z0-9!#$%^*+._/-]{4,12}",
        shape in 0..10usize,
        option in prop::sample::select(vec!["password", "db-password", "token", "api-key", "client_secret", "passphrase", "storepass"]),
    ) {
        let arguments = match shape {
            0 => vec![format!("--{option}"), secret.clone()],
            1 => vec![format!("--{option}={secret}")],
            2 => vec![format!("-{option}"), secret.clone()],
            3 => vec![format!("{}={secret}", option.to_uppercase())],
            4 => vec![format!("sh -c 'tool --{option} {secret}'")],
            5 => vec!["-passin".to_owned(), format!("pass:{secret}")],
            6 => vec![format!("a=b&{option}={secret}&c=d")],
            7 => vec![format!("export {option}={secret} x")],
            8 => vec![format!("{{\"{option}\":\"{secret}\"}}")],
            _ => vec![format!("{option}: {secret}")],
        };
        let mut all = vec!["tool"];
        all.extend(arguments.iter().map(String::as_str));
        let out = command(&all);
        prop_assert!(!out.contains(&secret), "{out}");
    }

    #[test]
    fn redaction_is_idempotent(path in "(/(home|root|zq|\\.\\.|\\.|srv|people|data|teams|carol|…|x)){0,7}/?") {
        for text in [path.clone(), format!("…{path}")] {
            let once = shown("file", &text);
            prop_assert_eq!(shown("file", &once), once);
        }
    }

    #[test]
    fn no_text_causes_a_panic(
        field in prop::sample::select(vec!["file", "cmdline", "labels.x"]),
        text in "\\PC{0,60}|[-~/:=@%'\" a-z.…\\\\\n]{0,40}",
        arguments in prop::collection::vec("[-~/:=@%'\" a-z.…\\\\\n]{0,20}|\\PC{0,10}|--password|mysql", 0..5),
    ) {
        let _ = redact(&homes(), field, &text, &arguments);
    }
}
