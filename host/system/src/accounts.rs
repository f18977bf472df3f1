//! Parses `/etc/passwd`, `/etc/group` and `/etc/subuid`.

use std::fs::File;
use std::io::Read;
use std::ops::Range;

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

/// The subordinate ids of users, from `/etc/subuid`: user ids that a user may use in user namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubordinateIds(Vec<(Range<u32>, u32)>);

impl SubordinateIds {
    /// Reads the system's files.
    pub fn read() -> SubordinateIds {
        let users = users();
        let id = |name: &str| users.iter().find(|user| user.name == name).map(|user| user.uid);
        SubordinateIds::parse(&read("/etc/subuid"), id)
    }

    /// Parses lines `user:first:count`. `uid` resolves a name.
    pub fn parse(text: &str, uid: impl Fn(&str) -> Option<u32>) -> SubordinateIds {
        let range = |line: &str| {
            let mut fields = line.split(':');
            let user = fields.next()?;
            let owner = user.parse().ok().or_else(|| uid(user))?;
            let (first, count): (u32, u32) =
                (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
            Some((first..first.saturating_add(count), owner))
        };
        SubordinateIds(text.lines().filter_map(range).collect())
    }

    /// Returns the user to whom an id belongs: the id itself unless it is subordinate.
    pub fn owner(&self, uid: u32) -> u32 {
        let range = self.0.iter().find(|(range, _)| range.contains(&uid));
        range.map_or(uid, |&(_, owner)| owner)
    }
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

    #[test]
    fn subordinate_ids_have_an_owner() {
        let text = "alice:100000:65536\n1001:200000:10\nghost:300000:10\nbad:1\nbob:x:1\n";
        let ids = SubordinateIds::parse(text, |name| (name == "alice").then_some(1000));
        for (id, owner) in [
            (99_999, 99_999),
            (100_000, 1000),
            (165_535, 1000),
            (165_536, 165_536),
            (200_009, 1001),
            (300_000, 300_000),
        ] {
            assert_eq!(ids.owner(id), owner, "{id}");
        }
        let all = SubordinateIds::parse("7:1:4294967295", |_| None);
        assert_eq!((all.owner(0), all.owner(1), all.owner(u32::MAX - 1)), (0, 7, 7));
    }
}
