//! Home directories outside `/home`, from /etc/passwd.

use super::homes::resolved;
use crypto_tracer_system::accounts::{self, FIRST_REGULAR_UID, NOBODY_UID, User};

/// Directories in the root that are not home directories.
const NOT_HOMES: &[&str] =
    &["", "home", "media", "mnt", "nonexistent", "opt", "root", "run", "srv", "tmp", "var"];
/// System directories in the root. Neither they nor their contents are home directories.
const SYSTEM: &[&str] =
    &["bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr"];

/// Home directories that the bundled redactor needs in addition to `/home` and `/root`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UserHomes {
    /// Parent directories of homes.
    pub(super) parents: Vec<String>,
    /// Homes of regular users.
    pub(super) users: Vec<String>,
    /// Homes of root.
    pub(super) roots: Vec<String>,
}

/// The homes of this machine. `parents` and `users`: additional directories from the configuration.
pub(super) fn homes(parents: Vec<String>, users: Vec<String>) -> UserHomes {
    // If the file cannot be read, its homes are missing.
    let from_passwd = homes_of(accounts::users());
    let parents = std::iter::once("/home".to_owned()).chain(parents).collect();
    let lists = [parents, [from_passwd.clone(), users].concat(), vec!["/root".to_owned()]];
    let found = resolved(lists);
    UserHomes::of(from_passwd, found)
}

impl UserHomes {
    /// `from_passwd`: homes of regular users in passwd. The lists: resolved paths of the parents, of the homes, and of root's
    /// home.
    fn of(from_passwd: Vec<String>, [parents, users, roots]: [Vec<String>; 3]) -> UserHomes {
        let sorted = |paths: Vec<String>, keep: &dyn Fn(&str) -> bool| {
            let mut paths: Vec<String> = paths.into_iter().filter(|path| keep(path)).collect();
            paths.sort_unstable();
            paths.dedup();
            paths
        };
        let parents = sorted(parents, &|path| is_parent(path));
        let is_in_parent = |path: &str| {
            let directory = std::path::Path::new(path).parent();
            directory.is_some_and(|directory| {
                parents.iter().any(|parent| std::path::Path::new(parent) == directory)
            })
        };
        let users = from_passwd.into_iter().chain(users).collect();
        let users = sorted(users, &|path| is_home(path) && !is_in_parent(path));
        UserHomes { users, roots: sorted(roots, &|path| is_parent(path)), parents }
    }
}

/// The homes of regular users, including those below `/home`.
fn homes_of(users: Vec<User>) -> Vec<String> {
    let is_regular = |user: &User| user.uid >= FIRST_REGULAR_UID && user.uid != NOBODY_UID;
    let regular = users.into_iter().filter(is_regular);
    let homes = regular.map(|user| user.home.trim_end_matches('/').to_owned());
    let mut homes: Vec<String> = homes.filter(|home| home.starts_with('/')).collect();
    homes.sort_unstable();
    homes.dedup();
    homes
}

/// The components of an absolute path without empty ones and `.`. None: the path is relative or contains `..`.
fn components(path: &str) -> Option<Vec<&str>> {
    let components = path.strip_prefix('/')?.split('/').filter(|name| !matches!(*name, "" | "."));
    let components: Vec<&str> = components.collect();
    (!components.contains(&"..")).then_some(components)
}

/// Whether this can be the home of a regular user that the pattern `/home/NAME` does not match.
fn is_home(path: &str) -> bool {
    match components(path).as_deref() {
        None | Some([]) => false,
        Some([only]) => !SYSTEM.contains(only) && !NOT_HOMES.contains(only),
        Some(["home", _]) => false,
        Some(["home", ..]) => true,
        Some([first, ..]) => !SYSTEM.contains(first),
    }
}

/// Whether the link `/home` or `/root` may resolve to this path: not `/`, and not a system directory.
fn is_parent(path: &str) -> bool {
    match components(path).as_deref() {
        None | Some([]) => false,
        Some([only]) => !SYSTEM.contains(only) && !matches!(*only, "root" | "run" | "tmp" | "var"),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{UserHomes, homes_of};
    use crypto_tracer_system::accounts::parse_users;

    #[test]
    fn homes_outside_of_home_are_found() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n\
            postgres:x:114:120::/var/lib/postgresql:/bin/bash\n\
            alice:x:1000:1000:Alice:/home/alice:/bin/bash\n\
            carol:x:1001:1001::/data/teams/carol/:/bin/bash\n\
            dave:x:1002:1002::/nas/dave:/bin/sh\n\
            dave2:x:1003:1003::/nas/dave:/bin/sh\n\
            kiosk:x:1004:1004::/opt:/bin/sh\n\
            odd:x:1005:1005::/:/bin/sh\n\
            odd2:x:1006:1006::/usr/share/x:/bin/sh\n\
            odd3:x:1007:1007::relative:/bin/sh\n\
            odd4:x:1008:1008::/./:/bin/sh\n\
            odd5:x:1009:1009::/data/..:/bin/sh\n\
            odd6:x:1010:1010::/./usr/x:/bin/sh\n\
            odd7:x:1011:1011:://var/:/bin/sh\n\
            nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n\
            +::::::\nshort:x\n";
        let found = UserHomes::of(homes_of(parse_users(passwd)), Default::default());
        assert_eq!(found.users, ["/data/teams/carol", "/nas/dave"]);
        assert_eq!((found.parents, found.roots), (vec![], vec![]));
    }

    fn strings(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|&path| path.to_owned()).collect()
    }

    #[test]
    fn resolved_homes_are_checked() {
        let passwd = "a:x:1000:1::/home/a:/x\nb:x:1001:1::/home/corp/b:/x\n\
            c:x:1002:1::/data/Jane Doe/:/x\nd:x:1003:1::home/d:/x\ne:x:1004:1::/data/../nas/e:/x\n";
        let parents = ["/data/users", "/", "/usr", "/var", "/usr/home", "/etc", "/data/users"];
        let users = ["/data/users/a", "/nas/e", "/usr/lib/x", "/opt", "/nas/u/b", "/home/x"];
        let roots = ["/var/roothome", "/", "/var", "/bin"];
        let found = UserHomes::of(
            homes_of(parse_users(passwd)),
            [strings(&parents), strings(&users), strings(&roots)],
        );
        assert_eq!(found.parents, ["/data/users", "/usr/home"]);
        assert_eq!(found.users, ["/data/Jane Doe", "/home/corp/b", "/nas/e", "/nas/u/b"]);
        assert_eq!(found.roots, ["/var/roothome"]);
    }
}
