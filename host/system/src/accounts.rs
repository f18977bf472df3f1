//! Parses `/etc/passwd` and `/etc/group`.

use std::fs::File;
use std::io::Read;

/// Number of bytes that are read of each file.
const MAX_BYTES: u64 = 4 << 20;
/// The first user id of a regular user. Lower ids are system users.
pub const FIRST_REGULAR_UID: u32 = 1000;
/// User id of the account without privileges.
pub const NOBODY_UID: u32 = 65_534;

/// An entry of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Home directory, as the file spells it.
    pub home: String,
}

/// Returns the users of `/etc/passwd`, in its order. A file that cannot be read to its end has fewer.
pub fn users() -> Vec<User> {
    parse_users(&read("/etc/passwd"))
}

/// Returns the id of a group in `/etc/group`.
pub fn group_id(name: &str) -> Option<u32> {
    parse_group_id(&read("/etc/group"), name)
}

fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(MAX_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the entries of a passwd file that have a user id. Missing fields are empty.
pub fn parse_users(passwd: &str) -> Vec<User> {
    let parse_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        Some(User { name, uid, home: fields.nth(2).unwrap_or_default().to_owned() })
    };
    passwd.lines().filter_map(parse_line).collect()
}

fn parse_group_id(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_without_a_user_id_are_skipped() {
        let users = parse_users("root:x:0:0:root:/root:/bin/sh\nbad\n:x:7:\nodd:x:y:0::/:\n\n");
        let user = |name: &str, uid, home: &str| User { name: name.into(), uid, home: home.into() };
        assert_eq!(users, [user("root", 0, "/root"), user("", 7, "")]);
    }

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let groups = "root:x:0:\nadm:x:4:syslog\nadmin:x:99:\nbad\nodd:x:y:\n";
        assert_eq!(parse_group_id(groups, "adm"), Some(4));
        assert_eq!(parse_group_id(groups, "admin"), Some(99));
        for name in ["ad", "bad", "odd", "syslog", ""] {
            assert_eq!(parse_group_id(groups, name), None, "{name}");
        }
    }
}
