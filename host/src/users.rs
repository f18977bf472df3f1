//! User names from /etc/passwd.

use std::collections::HashMap;
use std::io::Read;

/// Number of bytes that are read of the file.
const MAX_BYTES: u64 = 4 << 20;
/// The first user id of a regular user. Lower ids are system users.
const FIRST_REGULAR_UID: u32 = 1000;
/// Replaces the name of a regular user.
const PLACEHOLDER: &str = "USER";

/// User names by user id.
#[derive(Debug, Default)]
pub struct Users(HashMap<u32, String>);

impl Users {
    /// Reads /etc/passwd. Users without a readable entry have no name.
    pub fn read() -> Users {
        let mut text = Vec::new();
        if let Ok(file) = std::fs::File::open("/etc/passwd") {
            let _ = file.take(MAX_BYTES).read_to_end(&mut text);
        }
        Users::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(passwd: &str) -> Users {
        let mut names = HashMap::new();
        for line in passwd.lines() {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty());
            let uid = fields.nth(1).and_then(|uid| uid.parse().ok());
            if let Some((name, uid)) = name.zip(uid) {
                names.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Users(names)
    }

    /// Returns the name of a user, otherwise the user id. With `redact`, returns a placeholder for a regular user.
    pub fn name(&self, uid: u32, redact: bool) -> String {
        if redact && uid >= FIRST_REGULAR_UID {
            return PLACEHOLDER.to_owned();
        }
        self.0.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_users_are_redacted_and_system_users_are_not() {
        let users = Users::parse(
            "root:x:0:0::/root:\nwww-data:x:33:33::/:\nalice:x:1000:1000::/:\nbad\n:x:7:\ntoor:x:0:0::/:\n",
        );
        let name = |uid, redact| users.name(uid, redact);
        assert_eq!((name(0, true), name(33, true)), ("root".into(), "www-data".into()));
        assert_eq!((name(1000, true), name(1000, false)), ("USER".into(), "alice".into()));
        assert_eq!((name(4242, true), name(4242, false)), ("USER".into(), "4242".into()));
        assert_eq!(name(7, true), "7");
    }
}
