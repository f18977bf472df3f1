//! What gives a secret: names of options and variables, and what certain programs mean by theirs.

/// Endings of names whose value is a secret, in lower case, without `-`, `_`, `.`.
const SECRET_ENDINGS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "signingkey",
    "encryptionkey",
    "authkey",
    "credential",
    "credentials",
    "pwd",
    "pass",
    "passin",
    "passout",
    "privatekeydata",
    "bearer",
    "hexkey",
    "cookie",
    "authorization",
    "pin",
    "pinvalue",
    "puk",
    "psk",
];
/// Names that end like one of those and are none.
const NOT_SECRET: &[&str] =
    &["pwd", "oldpwd", "bypass", "compass", "multipass", "singlepass", "spin"];
/// Beginnings of options that ask for a secret instead of giving one.
const ASKING: &[&str] =
    &["no", "ask", "prompt", "use", "with", "show", "skip", "disable", "enable"];
/// Tokens that tell what they are.
pub(crate) const TOKENS: &[&str] = &[
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "sk_live_",
    "rk_live_",
    "sk-ant-",
    "sk-proj-",
    "hf_",
    "npm_",
    "pypi-",
    "dop_v1_",
    "age-secret-key-",
];

/// How an option of a certain program gives its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gives {
    /// As the next argument, or glued to the option.
    Value,
    /// Glued to the option only: alone it asks.
    Glued,
    /// As the next argument, `user:secret`.
    UserAnd(char),
}

/// What only certain programs mean by an option.
const PROGRAMS: &[(&[&str], ProgramOptions)] = &[
    (
        &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlshow",
            "mysqlcheck",
            "mysqlsh",
            "mysqlpump",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
            "mariadb-check",
        ],
        &[("-p", Gives::Glued)],
    ),
    (
        &["openssl"],
        &[
            ("-k", Gives::Value),
            ("-K", Gives::Value),
            ("-hmac", Gives::Value),
            ("-psk", Gives::Value),
            ("-srppass", Gives::Value),
            ("-macopt", Gives::UserAnd(':')),
        ],
    ),
    (
        &["curl"],
        &[
            ("-u", Gives::UserAnd(':')),
            ("--user", Gives::UserAnd(':')),
            ("-U", Gives::UserAnd(':')),
            ("--proxy-user", Gives::UserAnd(':')),
            ("-b", Gives::Value),
        ],
    ),
    (&["sshpass"], &[("-p", Gives::Value)]),
    (&["ssh-keygen"], &[("-N", Gives::Value), ("-P", Gives::Value)]),
    (&["pkcs11-tool"], &[("-p", Gives::Value)]),
    (&["pk12util"], &[("-W", Gives::Value), ("-K", Gives::Value)]),
    (&["redis-cli"], &[("-a", Gives::Value)]),
    (
        // `docker login -p`; `docker run -p` is a port.
        &["mongo", "mongosh", "mongodump", "mongorestore", "login", "useradd", "usermod"],
        &[("-p", Gives::Value)],
    ),
    (&["zip", "unzip", "sqlcmd", "bcp", "isql"], &[("-P", Gives::Value)]),
    (&["7z", "7za", "7zr", "rar", "unrar"], &[("-p", Gives::Glued)]),
    (&["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami"], &[("-w", Gives::Value)]),
    (&["ldappasswd"], &[("-w", Gives::Value), ("-s", Gives::Value), ("-a", Gives::Value)]),
    (
        &["nmcli"],
        &[
            ("password", Gives::Value),
            ("wifi-sec.psk", Gives::Value),
            ("802-11-wireless-security.psk", Gives::Value),
        ],
    ),
    (
        &["smbclient", "rpcclient", "net", "smbget"],
        &[("-U", Gives::UserAnd('%')), ("--user", Gives::UserAnd('%'))],
    ),
    (&["ipmitool", "rdesktop"], &[("-P", Gives::Value), ("-p", Gives::Value)]),
    (&["xfreerdp", "xfreerdp3"], &[("-p", Gives::Value), ("/p:", Gives::Glued)]),
];

pub(crate) type ProgramOptions = &'static [(&'static str, Gives)];

/// What a word that names a program makes of the options behind it.
pub(crate) fn program(word: &str) -> Option<ProgramOptions> {
    if word.contains([':', '@', '=']) {
        // `https://user:secret@host/openssl` names none.
        return None;
    }
    let name = word.rsplit('/').next().unwrap_or(word);
    PROGRAMS.iter().find(|(names, _)| names.contains(&name)).map(|&(_, options)| options)
}

pub(crate) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// `-x` or a dash or two and a word: what no secret looks like.
pub(crate) fn is_option(word: &str) -> bool {
    let Some(body) = word.strip_prefix('-') else { return false };
    let long = body.strip_prefix('-').unwrap_or(body);
    let name = long.split('=').next().unwrap_or(long);
    let words =
        long.len() > 1 && name.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '_');
    body.len() == 1 && body.chars().all(|c| c.is_ascii_alphabetic())
        || words && name.starts_with(|c: char| c.is_ascii_lowercase())
        || is_secret(name) && long.len() == name.len()
}

pub(crate) fn is_secret(name: &str) -> bool {
    let squeezed: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    !NOT_SECRET.iter().any(|not| squeezed == *not || *not != "pwd" && squeezed.ends_with(not))
        && SECRET_ENDINGS.iter().any(|ending| squeezed.ends_with(ending))
}

/// `--ask-pass`, `--no-password`: no value follows.
pub(crate) fn asks(option: &str) -> bool {
    let first = option.trim_start_matches('-').split(['-', '_']).next().unwrap_or_default();
    ASKING.contains(&first)
}
