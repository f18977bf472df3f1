//! Home directories that are not where home directories are, out of /etc/passwd.

use std::io::Read;

use super::homes::other_spellings;

/// Bytes of the file that are looked at.
const MOST_BYTES: u64 = 4 << 20;
/// People's user ids begin here.
const FIRST_PERSON: u32 = 1000;
const NOBODY: u32 = 65_534;
/// What is no home directory, whatever the file says; nor is anything below the second list's.
const NO_HOME: &[&str] =
    &["", "home", "media", "mnt", "nonexistent", "opt", "root", "run", "srv", "tmp", "var"];
const SYSTEM: &[&str] =
    &["bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr"];

/// What the bundled redactor has to know of home directories besides `/home` and `/root`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UserHomes {
    /// Directories of home directories.
    pub(super) parents: Vec<String>,
    /// Home directories of people.
    pub(super) users: Vec<String>,
    /// Home directories of root.
    pub(super) roots: Vec<String>,
}

/// As this machine has them. `parents` and `users`: what the configuration names besides.
pub(super) fn homes(parents: Vec<String>, users: Vec<String>) -> UserHomes {
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open("/etc/passwd") {
        // Without the file, or where it cannot be read to its end, there are fewer homes to hide.
        let _ = file.take(MOST_BYTES).read_to_end(&mut text);
    }
    let people = homes_in(&String::from_utf8_lossy(&text));
    let parents = std::iter::once("/home".to_owned()).chain(parents).collect();
    let lists = [parents, [people.clone(), users].concat(), vec!["/root".to_owned()]];
    let found = other_spellings(lists);
    UserHomes::of(people, found)
}

impl UserHomes {
    /// `people`: as passwd spells them. The rest: other spellings of directories of homes, of homes, and of root's home.
    fn of(people: Vec<String>, [parents, users, roots]: [Vec<String>; 3]) -> UserHomes {
        let sorted = |paths: Vec<String>, keep: &dyn Fn(&str) -> bool| {
            let mut paths: Vec<String> = paths.into_iter().filter(|path| keep(path)).collect();
            paths.sort_unstable();
            paths.dedup();
            paths
        };
        let parents = sorted(parents, &|path| is_place(path));
        let below = |path: &str| {
            let above = std::path::Path::new(path).parent();
            above.is_some_and(|above| {
                parents.iter().any(|parent| std::path::Path::new(parent) == above)
            })
        };
        let users = people.into_iter().chain(users).collect();
        let users = sorted(users, &|path| is_home(path) && !below(path));
        UserHomes { users, roots: sorted(roots, &|path| is_place(path)), parents }
    }
}

/// The homes of people as passwd spells them, also those below `/home`.
fn homes_in(passwd: &str) -> Vec<String> {
    let mut homes: Vec<String> = passwd.lines().filter_map(home).map(str::to_owned).collect();
    homes.sort_unstable();
    homes.dedup();
    homes
}

fn home(line: &str) -> Option<&str> {
    let mut fields = line.split(':');
    let uid: u32 = fields.nth(2)?.parse().ok()?;
    let home = fields.nth(2)?.trim_end_matches('/');
    let person = uid >= FIRST_PERSON && uid != NOBODY;
    (person && home.starts_with('/')).then_some(home)
}

/// The components of a path: what it means, not how it is written. None where `..` leads elsewhere.
fn components(path: &str) -> Option<Vec<&str>> {
    let components = path.strip_prefix('/')?.split('/').filter(|name| !matches!(*name, "" | "."));
    let components: Vec<&str> = components.collect();
    (!components.contains(&"..")).then_some(components)
}

/// Whether this can be somebody's home, and is one that `/home/NAME` does not cover.
fn is_home(path: &str) -> bool {
    match components(path).as_deref() {
        None | Some([]) => false,
        Some([only]) => !SYSTEM.contains(only) && !NO_HOME.contains(only),
        Some(["home", _]) => false,
        Some(["home", ..]) => true,
        Some([first, ..]) => !SYSTEM.contains(first),
    }
}

/// Whether the link `/home` or `/root` may lead here: not to the root, nor to a directory that holds the system.
fn is_place(path: &str) -> bool {
    match components(path).as_deref() {
        None | Some([]) => false,
        Some([only]) => !SYSTEM.contains(only) && !matches!(*only, "root" | "run" | "tmp" | "var"),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{UserHomes, homes_in};

    #[test]
    fn peoples_homes_outside_of_home() {
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
        let found = UserHomes::of(homes_in(passwd), Default::default());
        assert_eq!(found.users, ["/data/teams/carol", "/nas/dave"]);
        assert_eq!((found.parents, found.roots), (vec![], vec![]));
    }

    fn strings(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|&path| path.to_owned()).collect()
    }

    #[test]
    fn homes_as_links_resolve() {
        let people = "a:x:1000:1::/home/a:/x\nb:x:1001:1::/home/corp/b:/x\n\
            c:x:1002:1::/data/Jane Doe/:/x\nd:x:1003:1::home/d:/x\ne:x:1004:1::/data/../nas/e:/x\n";
        let parents = ["/data/users", "/", "/usr", "/var", "/usr/home", "/etc", "/data/users"];
        let users = ["/data/users/a", "/nas/e", "/usr/lib/x", "/opt", "/nas/u/b", "/home/x"];
        let roots = ["/var/roothome", "/", "/var", "/bin"];
        let found =
            UserHomes::of(homes_in(people), [strings(&parents), strings(&users), strings(&roots)]);
        assert_eq!(found.parents, ["/data/users", "/usr/home"]);
        assert_eq!(found.users, ["/data/Jane Doe", "/home/corp/b", "/nas/e", "/nas/u/b"]);
        assert_eq!(found.roots, ["/var/roothome"]);
    }
}
