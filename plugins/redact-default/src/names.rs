//! Names of options, variables and headers whose values are secrets, and prefixes of tokens.

/// Kind of value that a name indicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// No secret.
    Other,
    /// A secret.
    Secret,
    /// A secret, or the path of the file that contains it.
    Key,
    /// A secret, unless it is a number: tokens are also counted.
    Count,
    /// Possibly `user:secret`.
    Pair,
    /// Shell code.
    Code,
}

/// Suffixes of names of secrets by their last letter, in lower case, without `-`, `_`, `.` and trailing digits.
fn endings(last: u8) -> &'static [&'static str] {
    match last {
        b'a' => &["privatekeydata"],
        b'd' => &["password", "passwd", "pwd"],
        b'e' => &["passphrase", "passcode", "cookie", "secretvalue", "pinvalue", "tokenvalue"],
        b'g' => &["secretstring"],
        b'h' => &["proxyauth"],
        b'k' => &["psk", "puk"],
        b'n' => &["token", "authorization", "pin", "passin", "sonarlogin"],
        b'r' => &["bearer"],
        b's' => &["pass", "passwords"],
        b't' => &["secret", "passout"],
        _ => &[],
    }
}

/// Suffixes of names of keys. A value that is a path is not masked.
const KEYS: &[&str] = &[
    "apikey",
    "accesskey",
    "secretkey",
    "signingkey",
    "encryptionkey",
    "decryptionkey",
    "authkey",
    "hexkey",
    "accountkey",
    "sharedkey",
    "storagekey",
    "masterkey",
    "licensekey",
    "privatekey",
    "certificatekey",
    "functionskey",
    "customerkey",
    "sseckey",
    "subscriptionkey",
    "stripekey",
    "appkey",
];
/// Suffixes of names of shell code.
const CODE: &[&str] = &["command", "cmd", "rsh", "hook", "passwordeval"];
/// Names with the suffix of a secret that are not secret.
const NOT_SECRET: &[&str] =
    &["bypass", "compass", "multipass", "singlepass", "spin", "publickeytoken", "askpass"];
/// First words of options that prompt for a secret instead of taking one.
const ASKING: &[&str] =
    &["no", "ask", "prompt", "use", "with", "show", "skip", "disable", "enable"];
/// Suffixes of files that contain keys.
const FILE_ENDS: &[&str] = &[
    ".pem", ".key", ".crt", ".cer", ".json", ".p12", ".pfx", ".jks", ".der", ".yml", ".yaml",
    ".txt", ".conf", ".cfg", ".ini", ".asc", ".gpg", ".pub", ".bin",
];
/// Prefixes of absolute paths, and of explicitly relative ones.
const PATHS: &[&str] = &[
    "./",
    "../",
    "~",
    "$HOME/",
    "/etc/",
    "/home/",
    "/root/",
    "/var/",
    "/opt/",
    "/usr/",
    "/run/",
    "/tmp/",
    "/srv/",
    "/mnt/",
    "/data/",
    "/secrets/",
    "/app/",
    "/proc/",
];

/// Letters and digits of a name in lower case; of a long name, only the last ones.
struct Squeezed {
    bytes: [u8; Squeezed::MOST],
    len: usize,
}

impl Squeezed {
    const MOST: usize = 32;

    fn of(name: &str) -> Squeezed {
        let mut squeezed = Squeezed { bytes: [0; Squeezed::MOST], len: 0 };
        let mut begun = false;
        let mut at = Squeezed::MOST;
        for byte in name.bytes().rev() {
            begun |= byte.is_ascii_alphabetic();
            if !begun || !byte.is_ascii_alphanumeric() {
                continue;
            }
            let Some(before) = at.checked_sub(1) else { break };
            at = before;
            if let Some(place) = squeezed.bytes.get_mut(at) {
                *place = byte.to_ascii_lowercase();
            }
        }
        squeezed.len = Squeezed::MOST - at;
        squeezed
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(Squeezed::MOST - self.len..).unwrap_or_default()
    }
}

/// Kind of a name: an option with its dashes, a variable, a header, or a key of JSON.
pub(crate) fn kind(name: &str) -> NameKind {
    let squeezed = Squeezed::of(name);
    let text = squeezed.get();
    let Some(&last) = text.last() else { return NameKind::Other };
    let ends = |ending: &&str| text.ends_with(ending.as_bytes());
    if endings(last).iter().any(ends) {
        let not = NOT_SECRET.iter().any(ends) || matches!(text, b"pwd" | b"oldpwd");
        return if not { NameKind::Other } else { NameKind::Secret };
    }
    // Most names end in another letter than all of these.
    if matches!(last, b'c' | b'd' | b'h' | b'k' | b'l' | b's' | b'y') {
        if last == b'y' && KEYS.iter().any(ends) || ["credential", "credentials"].iter().any(ends) {
            return NameKind::Key;
        }
        if text.ends_with(b"tokens") {
            return NameKind::Count;
        }
        if CODE.iter().any(ends) || matches!(text, b"exec" | b"passcommand") {
            return NameKind::Code;
        }
    }
    let part = name.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    // `pw` as a word, and abbreviated GNU options: `--passw`, `--passphr`.
    let short = part.len() > 4
        && name.starts_with("--")
        && ["password", "passphrase"].iter().any(|whole| whole.starts_with(part));
    let word = part.eq_ignore_ascii_case("pw") || part.eq_ignore_ascii_case("otp");
    match part {
        _ if short || word => NameKind::Secret,
        _ if part.eq_ignore_ascii_case("auth") => NameKind::Pair,
        _ => NameKind::Other,
    }
}

/// Whether a value with this name must be masked.
pub(crate) fn hides(name: &str, value: &str) -> bool {
    match kind(name) {
        NameKind::Secret => true,
        NameKind::Key => !is_path(value),
        NameKind::Count => !value.bytes().all(|b| b.is_ascii_digit()),
        NameKind::Other | NameKind::Pair | NameKind::Code => false,
    }
}

/// Whether a value is probably a path, and not a key in base64.
pub(crate) fn is_path(value: &str) -> bool {
    let value = value.strip_prefix('@').unwrap_or(value);
    PATHS.iter().any(|path| value.starts_with(path))
        || FILE_ENDS.iter().any(|end| value.ends_with(end)) && !value.contains(' ')
}

pub(crate) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Whether a word is `-x`, or one or two dashes and a word: a secret does not have this form.
pub(crate) fn is_option(word: &str) -> bool {
    let Some(body) = word.strip_prefix('-') else { return false };
    let long = body.strip_prefix('-').unwrap_or(body);
    let name = long.split('=').next().unwrap_or(long);
    let words =
        long.len() > 1 && name.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '_');
    body.len() == 1 && body.chars().all(|c| c.is_ascii_alphabetic())
        || words && name.starts_with(|c: char| c.is_ascii_lowercase())
        || long.len() == name.len() && kind(name) == NameKind::Secret
}

/// Whether an option prompts or negates, so that no value follows: `--ask-pass`, `--no-password`.
pub(crate) fn asks(option: &str) -> bool {
    let first = option.trim_start_matches('-').split(['-', '_']).next().unwrap_or_default();
    option.starts_with('-') && ASKING.contains(&first)
}

/// Whether a word is `NAME=…`, an assignment of the shell.
pub(crate) fn is_assignment(word: &str) -> bool {
    let name = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    name.is_some_and(|end| end > 0 && word.get(end..).is_some_and(|rest| rest.starts_with('=')))
}

/// Whether a word is a dash and one to three letters.
pub(crate) fn is_short_option(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    (1..=3).contains(&letters.len()) && letters.bytes().all(|b| b.is_ascii_alphabetic())
}

/// `auth.token`, `//registry/:_authToken`, `http-basic.name`: any part of the name may be that of a secret.
pub(crate) fn is_secret_setting(name: &str) -> bool {
    let secret = |part: &str| hides(part, "") || part.eq_ignore_ascii_case("extraheader");
    name.split(|c| !is_name(c) || c == '.').any(|part| secret(part) || part == "http-basic")
        || name.starts_with("pypi-token")
        || name.contains("-oauth.")
}

/// Identifying prefixes of tokens, in lower case, by their first letter.
fn tokens(first: u8) -> &'static [&'static str] {
    match first.to_ascii_lowercase() {
        b'a' => &["age-secret-key-", "aiza", "atlasv1.", "atatt3"],
        b'd' => &["dop_v1_", "doo_v1_", "dckr_pat_", "dp.st.", "dp.pt."],
        b'e' => &["eaac"],
        b'f' => &["figd_", "fio-u-"],
        b'g' => &[
            "ghp_",
            "gho_",
            "ghs_",
            "ghu_",
            "ghr_",
            "github_pat_",
            "glpat-",
            "gldt-",
            "glrt-",
            "glptt-",
            "glft-",
            "glc_",
            "glsa_",
            "gsk_",
        ],
        b'h' => &["hf_", "hvs.", "hvb.", "hvr."],
        b'l' => &["lin_api_"],
        b'n' => &["npm_", "nfp_", "ntn_"],
        b'p' => &["pypi-", "pmak-", "pul-", "phc_", "pscale_tkn_"],
        b'r' => &["rk_live_", "rk_test_", "rubygems_", "rnd_"],
        b's' => &[
            "sk_live_", "sk_test_", "sk-ant-", "sk-proj-", "sg.", "sq0csp-", "sq0atp-", "shpat_",
            "shpss_", "sbp_", "sntrys_",
        ],
        b't' => &["tskey-"],
        b'w' => &["whsec_"],
        b'x' => &["xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxs-", "xapp-"],
        b'y' => &["ya29."],
        _ => &[],
    }
}

/// Whether a run of name characters has the prefix of a token. `unfinished`: its end is missing.
pub(crate) fn is_token(word: &str, unfinished: bool) -> bool {
    let Some(&first) = word.as_bytes().first() else { return false };
    let begins = |prefix: &str| {
        word.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if unfinished
        && (["eyJ", "sk-", "key-"].iter().any(|it| word.starts_with(it))
            || tokens(first).iter().any(|prefix| begins(prefix)))
    {
        return true;
    }
    if word.len() < 16 {
        return false;
    }
    let web = word.starts_with("eyJ") && word.matches('.').count() == 2;
    // `sk-…` and `key-…` are also ordinary words, so the rest must be long, unbroken, and contain digits.
    let plain = ["sk-", "key-"].iter().filter_map(|prefix| word.strip_prefix(prefix)).any(|rest| {
        rest.len() >= 20
            && rest.bytes().all(|b| b.is_ascii_alphanumeric())
            && rest.bytes().any(|b| b.is_ascii_digit())
    });
    web || plain || tokens(first).iter().any(|prefix| begins(prefix))
}
