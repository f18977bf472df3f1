//! In which form a program gets its secrets: the words that the tables in `programs/` are written in.

/// What an option, or an argument by its position, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The secret is the next argument, or glued: `-p X`, `-pX`, `--pass=X`.
    Secret,
    /// As [`Form::Secret`], but without a value the option asks: an option that follows is no secret.
    Optional,
    /// The secret is glued only: `mysql -pX`, `--password=X`. Alone, the option asks.
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
    /// `user%secret`, as Samba has it.
    Percent,
    /// `user,secret`, as lftp has it.
    Comma,
    /// `user/secret@database`, as Oracle has it.
    Login,
    /// `user:secret@host`, without a scheme.
    Authority,
    /// `name=value` where the value is a secret whatever the name is.
    Literal,
    /// A list of pairs: `a=1,password=b,c=2`.
    List,
    /// As [`Form::List`], where `p` is the password: `h=host,p=X`, `g:host,p:X`.
    Percona,
    /// Form data: `a=b&password=c`. JSON and the like are read as text.
    Data,
    /// Pairs between blanks: `host=h password='a b'`.
    Conninfo,
    /// Cookies; without `=` it is the file that has them.
    Cookie,
    /// `key:secret` as OpenSSL's `-macopt` has it, where the key decides.
    Keyed,
    /// A secret, or where it is: `session:`, `file:`, `pcr:`.
    Auth,
    /// The name of a setting; whether the value is a secret depends on it.
    Name,
    /// The value of the setting that was named.
    Value,
    /// A flag that makes the setting's value a secret.
    Named,
    /// Shell code.
    Code,
    /// From the next argument on a command with its arguments, up to `;`.
    Command,
    /// The program that gets the arguments behind the image.
    Entry,
    /// A value that the names in it are looked for.
    Takes,
    /// As [`Form::Takes`], by the letters of its options: `hP` for `-h` and `-P`.
    Letters,
    /// Glued only, and no secret: ends a cluster of letters.
    Switch,
    /// A value that is no secret, whatever the option is called.
    Plain,
    /// No value, whatever the option is called.
    Flag,
    /// A flag that takes the place of the first argument.
    Shift,
    /// The program's options are words with one dash: no letters in clusters, nothing glued.
    Words,
    /// Its first argument is a subcommand with a line of its own: `docker login`.
    Sub,
    /// What the arguments are that belong to no option, in their order: see `position` in secrets.rs.
    Args,
}

/// All forms, by their number.
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

/// A group of options as a table has it, and a program's line: its names, separated by commas, and its groups.
pub(crate) type FieldGroup = (Form, &'static str);
pub(crate) type FormRow = (&'static str, &'static [FieldGroup]);

/// The rules of one program, packed: a byte from [`PACKED`] on for the form, then its options, and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(pub(crate) &'static [u8]);

/// What is added to a form's number: no byte of a text is as large.
pub(crate) const PACKED: u8 = 0x80;

impl Rules {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn groups(self) -> impl Iterator<Item = (Form, &'static [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (&form, text) = rest.split_first()?;
            let end = text.iter().position(|&byte| byte >= PACKED).unwrap_or(text.len());
            let (options, behind) = text.split_at_checked(end)?;
            rest = behind;
            Some((*ALL.get(usize::from(form.wrapping_sub(PACKED)))?, options))
        })
    }

    pub(crate) fn of(self, form: Form) -> Option<&'static [u8]> {
        self.groups().find(|&(has, _)| has == form).map(|(_, options)| options)
    }
}

/// What a program makes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FormMatch {
    pub(crate) form: Form,
    /// Where the value begins in the word; None: it is the next argument.
    pub(crate) value: Option<usize>,
    /// Flags in a cluster that stand for an argument.
    pub(crate) shifts: u8,
}

/// Forms that say something of the program, not of an option.
fn is_of_program(form: Form) -> bool {
    matches!(form, Form::Words | Form::Sub | Form::Args | Form::Letters)
}

pub(crate) fn has(rules: Rules, form: Form) -> bool {
    rules.of(form).is_some()
}

/// The words of a packed text.
pub(crate) fn words(text: &'static [u8]) -> impl Iterator<Item = &'static [u8]> {
    text.split(|&byte| byte == b' ')
}

/// What the rules make of a word; None: it is none of their options.
pub(crate) fn find(rules: Rules, word: &str) -> Option<FormMatch> {
    if rules.is_empty() || word.is_empty() {
        return None;
    }
    let is_words = has(rules, Form::Words);
    for (form, options) in rules.groups().filter(|&(form, _)| !is_of_program(form)) {
        for option in words(options) {
            let bytes = word.as_bytes();
            let Some(behind) = bytes.strip_prefix(option).filter(|_| !option.is_empty()) else {
                continue;
            };
            let found =
                |value| Some(FormMatch { form, value, shifts: u8::from(form == Form::Shift) });
            let glues = matches!(option.last(), Some(b':' | b'='));
            if behind.is_empty() {
                return if glues { None } else { found(None) };
            }
            let glued_word = form == Form::Glued && !is_words && !option.starts_with(b"--");
            if glues || glued_word && option.len() > 2 {
                return found(Some(option.len()));
            }
            if behind.starts_with(b"=")
                && (option.len() > 2 || is_words || !option.starts_with(b"-"))
            {
                return found(Some(option.len() + 1));
            }
        }
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

/// Letters behind one dash: `-kuu:X` is `-k -u u:X`.
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

/// Whether an option of this letter takes a value that is no secret.
fn takes(rules: Rules, letter: u8) -> bool {
    rules.of(Form::Letters).is_some_and(|letters| letters.contains(&letter))
}

fn of_letter(rules: Rules, letter: char) -> Option<Form> {
    let letter = u8::try_from(letter).ok()?;
    let is = |option: &[u8]| matches!(option, &[b'-', it] if it == letter);
    let mut forms = rules.groups().filter(|&(form, _)| !is_of_program(form));
    let form = forms.find(|&(_, options)| words(options).any(is)).map(|(form, _)| form);
    form.or_else(|| takes(rules, letter).then_some(Form::Takes))
}
