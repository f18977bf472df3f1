//! The forms in which programs take secrets: the vocabulary of the tables in `programs/`.

/// Meaning of an option, or of an argument by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The secret is the next argument, or attached: `-p X`, `-pX`, `--pass=X`.
    Secret,
    /// Like [`Form::Secret`], but without a value the option prompts, so an option that follows is not the secret.
    Optional,
    /// The secret is attached only: `mysql -pX`, `--password=X`. Alone, the option prompts.
    Glued,
    /// The next two arguments are secrets: `qpdf --encrypt USER OWNER 256`.
    Two,
    /// The argument after the next one is the secret: `+login USER SECRET`.
    Second,
    /// All arguments that follow are secrets: `redis-cli AUTH X`.
    Rest,
    /// `user:secret`.
    Pair,
    /// `file:secret`: `client.pem:X`.
    Cert,
    /// `user%secret`, the form of Samba.
    Percent,
    /// `user,secret`, the form of lftp.
    Comma,
    /// `user/secret@database`, the form of Oracle.
    Login,
    /// `user:secret@host`, without a scheme.
    Authority,
    /// `name=value` where the value is a secret for every name.
    Literal,
    /// A list of pairs: `a=1,password=b,c=2`.
    List,
    /// Like [`Form::List`], where `p` is the password: `h=host,p=X`, `g:host,p:X`.
    Percona,
    /// Form data: `a=b&password=c`. JSON and other formats are treated as text.
    Data,
    /// Pairs separated by spaces: `host=h password='a b'`.
    Conninfo,
    /// Cookies; without `=`, the file that contains them.
    Cookie,
    /// `key:secret`, the form of OpenSSL's `-macopt`, where the key determines whether the value is secret.
    Keyed,
    /// A secret, or its source: `session:`, `file:`, `pcr:`.
    Auth,
    /// The name of a setting, which determines whether its value is a secret.
    Name,
    /// The value of the preceding setting.
    Value,
    /// A flag that makes the setting's value a secret.
    Named,
    /// Shell code.
    Code,
    /// The following arguments are a command, up to `;`.
    Command,
    /// The program that gets the arguments after the image.
    Entry,
    /// A value that is searched for names of secrets.
    Takes,
    /// Like [`Form::Takes`], for options of one letter each: `hP` for `-h` and `-P`.
    Letters,
    /// An attached value that is not a secret. Ends a cluster of letters.
    Switch,
    /// A value that is not a secret, for every name of the option.
    Plain,
    /// No value, for every name of the option.
    Flag,
    /// A flag that takes the place of the first argument.
    Shift,
    /// The program's options are words with one dash: no clusters of letters, no attached values.
    Words,
    /// The first argument is a subcommand with its own line: `docker login`.
    Sub,
    /// Meaning of the arguments that belong to no option, in order: see `argument_at` in current_program.rs.
    Args,
}

/// All forms in the order of their numbers.
const ALL: &[Form] = &[
    Form::Secret,
    Form::Optional,
    Form::Glued,
    Form::Two,
    Form::Second,
    Form::Rest,
    Form::Pair,
    Form::Cert,
    Form::Percent,
    Form::Comma,
    Form::Login,
    Form::Authority,
    Form::Literal,
    Form::List,
    Form::Percona,
    Form::Data,
    Form::Conninfo,
    Form::Cookie,
    Form::Keyed,
    Form::Auth,
    Form::Name,
    Form::Value,
    Form::Named,
    Form::Code,
    Form::Command,
    Form::Entry,
    Form::Takes,
    Form::Letters,
    Form::Switch,
    Form::Plain,
    Form::Flag,
    Form::Shift,
    Form::Words,
    Form::Sub,
    Form::Args,
];

/// A group of options in a table, and a program's line: its names, separated by commas, and its groups.
pub(crate) type FieldGroup = (Form, &'static str);
pub(crate) type FormRow = (&'static str, &'static [FieldGroup]);

/// The rules of one program, packed: a byte from [`PACKED`] on for the form, then its options, and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(pub(crate) &'static [u8]);

/// Offset of a form's number. All bytes of text are smaller.
pub(crate) const PACKED: u8 = 0x80;

impl Rules {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The first result of `each`, which gets the options that begin with `prefix`, in order.
    ///
    /// Every word of every command line passes here, so it reads each byte of the rules once.
    fn search<T>(
        self,
        prefix: &[u8],
        mut each: impl FnMut(Form, &'static [u8]) -> Option<T>,
    ) -> Option<T> {
        let mut form = PACKED;
        let mut rest = self.0;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte >= PACKED {
                form = byte;
            } else if byte != b' ' {
                continue;
            }
            if !rest.starts_with(prefix) {
                continue;
            }
            let form = *ALL.get(usize::from(form.wrapping_sub(PACKED)))?;
            let end = rest.iter().position(|&byte| byte == b' ' || byte >= PACKED);
            let option = rest.get(..end.unwrap_or(rest.len()))?;
            if !is_of_program(form)
                && let Some(result) = each(form, option)
            {
                return Some(result);
            }
        }
        None
    }

    pub(crate) fn of(self, form: Form) -> Option<&'static [u8]> {
        let packed = PACKED + form as u8;
        let begin = self.0.iter().position(|&byte| byte == packed)? + 1;
        let text = self.0.get(begin..)?;
        text.get(..text.iter().position(|&byte| byte >= PACKED).unwrap_or(text.len()))
    }
}

/// Meaning of a word for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FormMatch {
    pub(crate) form: Form,
    /// Offset of the value in the word. None: the value is the next argument.
    pub(crate) value: Option<usize>,
    /// Flags in a cluster that stand for an argument.
    pub(crate) shifts: u8,
}

/// Forms that describe the program, not an option.
fn is_of_program(form: Form) -> bool {
    matches!(form, Form::Words | Form::Sub | Form::Args | Form::Letters)
}

pub(crate) fn has(rules: Rules, form: Form) -> bool {
    rules.0.contains(&(PACKED + form as u8))
}

/// The words of a packed text.
pub(crate) fn words(text: &'static [u8]) -> impl Iterator<Item = &'static [u8]> {
    text.split(|&byte| byte == b' ')
}

/// Meaning of a word by the rules. None: the word is not one of their options.
pub(crate) fn find(rules: Rules, word: &str) -> Option<FormMatch> {
    if rules.is_empty() || word.is_empty() {
        return None;
    }
    let is_words = has(rules, Form::Words);
    let bytes = word.as_bytes();
    let matched = rules.search(bytes.get(..1)?, |form, option| {
        let after = bytes.strip_prefix(option)?;
        let found = |value| FormMatch { form, value, shifts: u8::from(form == Form::Shift) };
        let glues = matches!(option.last(), Some(b':' | b'='));
        if after.is_empty() {
            return Some(if glues { None } else { Some(found(None)) });
        }
        let glued_word = form == Form::Glued && !is_words && !option.starts_with(b"--");
        if glues || glued_word && option.len() > 2 {
            return Some(Some(found(Some(option.len()))));
        }
        let takes_equals = option.len() > 2 || is_words || !option.starts_with(b"-");
        (after.starts_with(b"=") && takes_equals).then(|| Some(found(Some(option.len() + 1))))
    });
    if let Some(matched) = matched {
        return matched;
    }
    if is_words {
        return match word.as_bytes() {
            &[b'-', letter] if takes(rules, letter) => {
                Some(FormMatch { form: Form::Takes, value: None, shifts: 0 })
            }
            _ => None,
        };
    }
    cluster(rules, word)
}

/// Letters after one dash: `-kuu:X` is `-k -u u:X`.
fn cluster(rules: Rules, word: &str) -> Option<FormMatch> {
    let letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'))?;
    let mut shifts = 0;
    for (at, letter) in letters.char_indices() {
        if !letter.is_ascii_alphanumeric() {
            break;
        }
        let form = match of_letter(rules, letter) {
            None | Some(Form::Flag | Form::Named) => continue,
            Some(Form::Shift) => {
                shifts += 1;
                continue;
            }
            Some(form) => form,
        };
        let value = at + 2;
        return Some(FormMatch { form, value: (value < word.len()).then_some(value), shifts });
    }
    (shifts > 0).then_some(FormMatch { form: Form::Shift, value: None, shifts })
}

/// Whether an option of this letter takes a value that is not a secret.
fn takes(rules: Rules, letter: u8) -> bool {
    rules.of(Form::Letters).is_some_and(|letters| letters.contains(&letter))
}

fn of_letter(rules: Rules, letter: char) -> Option<Form> {
    let letter = u8::try_from(letter).ok()?;
    let form = rules.search(&[b'-', letter], |form, option| (option.len() == 2).then_some(form));
    form.or_else(|| takes(rules, letter).then_some(Form::Takes))
}
