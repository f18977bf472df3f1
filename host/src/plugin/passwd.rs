//! Home directories that are not where home directories are, out of /etc/passwd.

use std::io::Read;

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

/// The home directories of people that are not below `/home`.
pub(super) fn homes() -> Vec<String> {
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open("/etc/passwd") {
        // Without the file, or where it cannot be read to its end, there are fewer homes to hide.
        let _ = file.take(MOST_BYTES).read_to_end(&mut text);
    }
    homes_in(&String::from_utf8_lossy(&text))
}

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
    // What the path means, not how it is written: `/./` is the root.
    let mut components =
        home.strip_prefix('/')?.split('/').filter(|name| !matches!(*name, "" | "."));
    let odd = components.clone().any(|name| name == "..");
    let first = components.next()?;
    let alone = components.next().is_none();
    let person = uid >= FIRST_PERSON && uid != NOBODY;
    let system = SYSTEM.contains(&first) || alone && NO_HOME.contains(&first);
    (person && !system && !odd).then_some(home)
}

#[cfg(test)]
mod tests {
    use super::homes_in;

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
        assert_eq!(homes_in(passwd), ["/data/teams/carol", "/nas/dave"]);
    }
}
