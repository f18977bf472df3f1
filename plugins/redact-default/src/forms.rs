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

/// The rules of one program.
pub(crate) type Rules = &'static [(Form, &'static str)];
/// One line of a table: the programs, separated by commas, and their rules.
pub(crate) type Row = (&'static str, Rules);

/// What a program makes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) form: Form,
    /// Where the value begins in the word; None: it is the next argument.
    pub(crate) value: Option<usize>,
    /// Flags in a cluster that stand for an argument.
    pub(crate) shifts: u8,
}

/// Forms that say something of the program, not of an option.
fn is_of_program(form: Form) -> bool {
    matches!(form, Form::Words | Form::Sub | Form::Args)
}

pub(crate) fn has(rules: Rules, form: Form) -> bool {
    rules.iter().any(|&(has, _)| has == form)
}

/// What the rules make of a word; None: it is none of their options.
pub(crate) fn find(rules: Rules, word: &str) -> Option<Found> {
    if rules.is_empty() || word.is_empty() {
        return None;
    }
    let words = has(rules, Form::Words);
    for &(form, options) in rules {
        if is_of_program(form) {
            continue;
        }
        for option in options.split(' ') {
            let Some(behind) = word.strip_prefix(option).filter(|_| !option.is_empty()) else {
                continue;
            };
            let found = |value| Some(Found { form, value, shifts: u8::from(form == Form::Shift) });
            let glues = option.ends_with([':', '=']);
            if behind.is_empty() {
                return if glues { None } else { found(None) };
            }
            let glued_word = form == Form::Glued && !words && !option.starts_with("--");
            if glues || glued_word && option.len() > 2 {
                return found(Some(option.len()));
            }
            if behind.starts_with('=') && (option.len() > 2 || words || !option.starts_with('-')) {
                return found(Some(option.len() + 1));
            }
        }
    }
    if words { None } else { cluster(rules, word) }
}

/// Letters behind one dash: `-kuu:X` is `-k -u u:X`.
fn cluster(rules: Rules, word: &str) -> Option<Found> {
    let letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'))?;
    if letters.len() < 2 {
        return None;
    }
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
        return Some(Found { form, value: (value < word.len()).then_some(value), shifts });
    }
    (shifts > 0).then_some(Found { form: Form::Shift, value: None, shifts })
}

fn of_letter(rules: Rules, letter: char) -> Option<Form> {
    let is = |option: &str| {
        let mut chars = option.chars();
        chars.next() == Some('-') && chars.next() == Some(letter) && chars.next().is_none()
    };
    let mut forms = rules.iter().filter(|&&(form, _)| !is_of_program(form));
    forms.find(|(_, options)| options.split(' ').any(is)).map(|&(form, _)| form)
}
