//! User names from /etc/passwd.

use std::collections::HashMap;

use crypto_tracer_system::accounts::{self, FIRST_REGULAR_UID, User};

/// Replaces the name of a regular user.
const PLACEHOLDER: &str = "USER";

/// User names by user id.
#[derive(Debug, Default)]
pub struct Users(HashMap<u32, String>);

impl Users {
    /// Reads /etc/passwd. Users without a readable entry have no name.
    pub fn read() -> Users {
        Users::of(accounts::users())
    }

    /// Of several entries with one user id, the first one counts.
    fn of(users: Vec<User>) -> Users {
        let mut names = HashMap::new();
        for user in users.into_iter().filter(|user| !user.name.is_empty()) {
            names.entry(user.uid).or_insert(user.name);
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
        let users = Users::of(accounts::parse_users(
            "root:x:0:0::/root:\nwww-data:x:33:33::/:\nalice:x:1000:1000::/:\nbad\n:x:7:\ntoor:x:0:0::/:\n",
        ));
        let name = |uid, redact| users.name(uid, redact);
        assert_eq!((name(0, true), name(33, true)), ("root".into(), "www-data".into()));
        assert_eq!((name(1000, true), name(1000, false)), ("USER".into(), "alice".into()));
        assert_eq!((name(4242, true), name(4242, false)), ("USER".into(), "4242".into()));
        assert_eq!(name(7, true), "7");
    }
}
