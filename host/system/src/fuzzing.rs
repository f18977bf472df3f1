use crate::accounts;
use crate::cgroup::{CONTROLLERS, Hierarchy};
use crate::mountinfo;

/// `/proc/PID/cgroup`.
pub fn cgroup(text: &str) {
    for hierarchy in CONTROLLERS.into_iter().map(Hierarchy::Controller).chain([Hierarchy::Unified])
    {
        let path = hierarchy.path(text);
        assert!(path.is_none_or(|path| text.contains(&path)));
    }
}

/// `/proc/PID/mountinfo`.
pub fn mounts(bytes: &[u8]) {
    let lines = bytes.split(|&byte| byte == b'\n').count();
    assert!(mountinfo::parse(bytes).count() <= lines);
}

/// `/etc/passwd`.
pub fn passwd(text: &str) {
    assert!(accounts::parse_users(text).len() <= text.lines().count());
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_cgroup_is_parsed(text in "([0-9]{1,3}|:|memory|cpu,|pids|name=systemd|/[a-z]{0,6}|\n|\\PC{0,3}){0,40}") {
            cgroup(&text);
        }

        #[test]
        fn any_mountinfo_is_parsed(parts in vec(prop_oneof![
            "[0-9]{1,20} |- ext4 x rw|/[a-z\\\\0-9]{0,8} |\n".prop_map(String::into_bytes),
            vec(any::<u8>(), 0..4),
        ], 0..60)) {
            mounts(&parts.concat());
        }

        #[test]
        fn any_passwd_is_parsed(text in "([a-z]{0,8}|:|[0-9]{1,12}|/[a-z]{0,6}|\n|\\PC{0,3}){0,60}") {
            passwd(&text);
        }
    }
}
