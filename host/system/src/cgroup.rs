//! Control groups: in which hierarchy a process's place tells its container.
//!
//! With version 2 there is one hierarchy. With version 1, or both at once (hybrid), each controller may have its own,
//! and the one of version 2 is often empty: every process is in its root. Container runtimes make their groups in all
//! hierarchies that have controllers, so one of those tells.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Controllers whose hierarchy of version 1 is looked at, best first: those that every container runtime uses.
pub const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// A tree of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The one of version 2.
    Unified,
    /// The one of version 1 that has this controller.
    Controller(&'static str),
}

impl Hierarchy {
    /// The one that tells containers on this system.
    pub fn of_this_system() -> Hierarchy {
        Hierarchy::of(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
    }

    /// The same from `/proc/PID/cgroup` of any process.
    fn of(text: &str) -> Hierarchy {
        let has = |controller: &&str| {
            text.lines()
                .filter_map(parts)
                .any(|(names, _)| names.split(',').any(|n| n == *controller))
        };
        CONTROLLERS.into_iter().find(has).map_or(Hierarchy::Unified, Hierarchy::Controller)
    }

    /// A process's place in it, from `/proc/PID/cgroup`.
    pub fn path(self, text: &str) -> Option<String> {
        let is_it = |names: &str| match self {
            Hierarchy::Unified => names.is_empty(),
            Hierarchy::Controller(controller) => names.split(',').any(|name| name == controller),
        };
        let found = text.lines().filter_map(parts).find(|(names, _)| is_it(names));
        found.map(|(_, path)| path.to_owned())
    }

    /// Where it is mounted.
    pub fn mount(self) -> Option<PathBuf> {
        self.mount_of(&fs::read_to_string("/proc/self/mountinfo").ok()?)
    }

    fn mount_of(self, mountinfo: &str) -> Option<PathBuf> {
        mountinfo.lines().find_map(|line| {
            // `id parent dev root place options … - type source super-options`
            let (before, behind) = line.split_once(" - ")?;
            let mut behind = behind.split(' ');
            let (kind, options) = (behind.next()?, behind.nth(1)?);
            let is_it = match self {
                Hierarchy::Unified => kind == "cgroup2",
                Hierarchy::Controller(controller) => {
                    kind == "cgroup" && options.split(',').any(|option| option == controller)
                }
            };
            is_it.then(|| before.split(' ').nth(4).map(unescaped)).flatten()
        })
    }
}

/// Controllers and path of a line `id:controllers:path`.
fn parts(line: &str) -> Option<(&str, &str)> {
    let mut parts = line.splitn(3, ':').skip(1);
    Some((parts.next()?, parts.next()?))
}

/// mountinfo writes blanks and backslashes as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let code = (first == b'\\').then(|| behind.split_at_checked(3)).flatten();
        let code = code.and_then(|(digits, behind)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 8).ok()?, behind))
        });
        let (byte, behind) = code.unwrap_or((first, behind));
        bytes.push(byte);
        rest = behind;
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_hierarchy_that_tells_containers() {
        let v2 = "0::/system.slice/docker-x.scope\n";
        let hybrid = "12:pids:/docker/x\n11:memory:/docker/x\n1:name=systemd:/docker/x\n0::/\n";
        let v1 = "4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n";
        let stray = "1:net_cls:/vpn\n0::/user.slice\n";
        assert_eq!(Hierarchy::of(v2), Hierarchy::Unified);
        assert_eq!(Hierarchy::of(hybrid), Hierarchy::Controller("memory"));
        assert_eq!(Hierarchy::of(v1), Hierarchy::Controller("cpu"));
        assert_eq!(Hierarchy::of(stray), Hierarchy::Unified);
        assert_eq!(Hierarchy::of(""), Hierarchy::Unified);
        assert_eq!(Hierarchy::of("rubbish\n1:\n"), Hierarchy::Unified);
    }

    #[test]
    fn the_place_of_a_process_by_every_runtime_and_version() {
        let podman = format!("/machine.slice/libpod-{ID}.scope/container");
        let kube = format!("/kubepods/burstable/pod7f/{ID}");
        let docker = format!("/docker/{ID}");
        for path in [docker.as_str(), &kube, &podman, "/a:b"] {
            let v2 = format!("0::{path}\n");
            assert_eq!(Hierarchy::of(&v2).path(&v2).as_deref(), Some(path));
            let hybrid = format!("9:memory:{path}\n2:cpu,cpuacct:{path}\n1:name=systemd:/\n0::/\n");
            assert_eq!(Hierarchy::of(&hybrid).path(&hybrid).as_deref(), Some(path));
            let v1 = format!("2:cpu,cpuacct:{path}\n1:name=systemd:/init.scope\n");
            assert_eq!(Hierarchy::of(&v1).path(&v1).as_deref(), Some(path));
        }
        assert_eq!(Hierarchy::Unified.path("5:cpu:/docker/1\n"), None);
        assert_eq!(Hierarchy::Controller("cpu").path("0::/\n"), None);
    }

    #[test]
    fn where_it_is_mounted() {
        let text = "30 24 0:27 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755\n\
            31 30 0:28 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw,nsdelegate\n\
            32 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:1 - cgroup cgroup rw,cpu,cpuacct\n\
            33 30 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            short\n";
        let mount = |hierarchy: Hierarchy| hierarchy.mount_of(text);
        assert_eq!(mount(Hierarchy::Unified), Some("/sys/fs/cgroup/uni fied".into()));
        assert_eq!(mount(Hierarchy::Controller("memory")), Some("/sys/fs/cgroup/memory".into()));
        assert_eq!(mount(Hierarchy::Controller("cpu")), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(mount(Hierarchy::Controller("pids")), None);
        assert_eq!(unescaped("a\\134b\\04"), PathBuf::from("a\\b\\04"));
    }
}
