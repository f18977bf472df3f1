//! Names of users, out of /etc/passwd.

use std::collections::HashMap;
use std::io::Read;

/// Bytes of the file that are looked at.
const MOST_BYTES: u64 = 4 << 20;
/// People's user ids begin here.
const FIRST_PERSON: u32 = 1000;
/// What is shown of a person.
const PERSON: &str = "USER";

/// Names by id.
#[derive(Debug, Default)]
pub struct Users(HashMap<u32, String>);

impl Users {
    /// Reads the system's. Without the file, or behind where it cannot be read, users have numbers only.
    pub fn read() -> Users {
        let mut text = Vec::new();
        if let Ok(file) = std::fs::File::open("/etc/passwd") {
            let _ = file.take(MOST_BYTES).read_to_end(&mut text);
        }
        Users::of(&String::from_utf8_lossy(&text))
    }

    fn of(passwd: &str) -> Users {
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

    /// The name of a user, else the number. `redact`: people's are hidden.
    pub fn name(&self, uid: u32, redact: bool) -> String {
        if redact && uid >= FIRST_PERSON {
            return PERSON.to_owned();
        }
        self.0.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_hidden_and_the_system_is_not() {
        let users = Users::of(
            "root:x:0:0::/root:\nwww-data:x:33:33::/:\nalice:x:1000:1000::/:\nbad\n:x:7:\ntoor:x:0:0::/:\n",
        );
        let name = |uid, redact| users.name(uid, redact);
        assert_eq!((name(0, true), name(33, true)), ("root".into(), "www-data".into()));
        assert_eq!((name(1000, true), name(1000, false)), ("USER".into(), "alice".into()));
        assert_eq!((name(4242, true), name(4242, false)), ("USER".into(), "4242".into()));
        assert_eq!(name(7, true), "7");
    }
}
