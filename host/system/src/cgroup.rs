//! Control groups: selects the hierarchy whose paths identify containers.
//!
//! cgroup v2 has one hierarchy. With cgroup v1, or with both (hybrid mode), each controller may have its own hierarchy,
//! and in the v2 hierarchy every process is often in the root cgroup. Container runtimes create cgroups in every
//! hierarchy that has controllers, so any of those identifies the container.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::mountinfo::{self, MountInfo};

/// Controllers whose v1 hierarchies are considered, in order of preference. Every container runtime uses them.
pub const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// A cgroup hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The cgroup v2 hierarchy.
    Unified,
    /// The cgroup v1 hierarchy with this controller.
    Controller(&'static str),
}

impl Hierarchy {
    /// Returns the hierarchy that identifies containers on this system.
    pub fn of_this_system() -> Hierarchy {
        Hierarchy::select(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
    }

    /// Selects the hierarchy from the `/proc/PID/cgroup` of any process.
    fn select(cgroups: &str) -> Hierarchy {
        let has = |controller: &&str| {
            cgroups
                .lines()
                .filter_map(controllers_and_path)
                .any(|(names, _)| names.split(',').any(|name| name == *controller))
        };
        CONTROLLERS.into_iter().find(has).map_or(Hierarchy::Unified, Hierarchy::Controller)
    }

    /// Returns the cgroup path of a process in this hierarchy. `cgroups` is the content of `/proc/PID/cgroup`.
    pub fn path(self, cgroups: &str) -> Option<String> {
        let matches = |names: &str| match self {
            Hierarchy::Unified => names.is_empty(),
            Hierarchy::Controller(controller) => names.split(',').any(|name| name == controller),
        };
        let mut lines = cgroups.lines().filter_map(controllers_and_path);
        lines.find(|(names, _)| matches(names)).map(|(_, path)| path.to_owned())
    }

    /// Returns the mount point of this hierarchy in this process's mount namespace.
    pub fn mount(self) -> Option<PathBuf> {
        self.mount_point(&fs::read("/proc/self/mountinfo").ok()?)
    }

    fn mount_point(self, mountinfo: &[u8]) -> Option<PathBuf> {
        let matches = |mount: &MountInfo| match self {
            Hierarchy::Unified => mount.kind == "cgroup2",
            Hierarchy::Controller(controller) => {
                let mut options = mount.super_options.split(',');
                mount.kind == "cgroup" && options.any(|option| option == controller)
            }
        };
        let mount = mountinfo::parse(mountinfo).find(matches)?;
        Some(OsString::from_vec(mount.point).into())
    }
}

/// Splits a line `id:controllers:path`.
fn controllers_and_path(line: &str) -> Option<(&str, &str)> {
    let mut parts = line.splitn(3, ':').skip(1);
    Some((parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn selects_the_hierarchy_that_identifies_containers() {
        let v2 = "0::/system.slice/docker-x.scope\n";
        let hybrid = "12:pids:/docker/x\n11:memory:/docker/x\n1:name=systemd:/docker/x\n0::/\n";
        let v1 = "4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n";
        let unrelated = "1:net_cls:/vpn\n0::/user.slice\n";
        assert_eq!(Hierarchy::select(v2), Hierarchy::Unified);
        assert_eq!(Hierarchy::select(hybrid), Hierarchy::Controller("memory"));
        assert_eq!(Hierarchy::select(v1), Hierarchy::Controller("cpu"));
        assert_eq!(Hierarchy::select(unrelated), Hierarchy::Unified);
        assert_eq!(Hierarchy::select(""), Hierarchy::Unified);
        assert_eq!(Hierarchy::select("rubbish\n1:\n"), Hierarchy::Unified);
    }

    #[test]
    fn finds_the_path_of_a_process_for_every_runtime_and_version() {
        let podman = format!("/machine.slice/libpod-{ID}.scope/container");
        let kube = format!("/kubepods/burstable/pod7f/{ID}");
        let docker = format!("/docker/{ID}");
        for path in [docker.as_str(), &kube, &podman, "/a:b"] {
            let v2 = format!("0::{path}\n");
            assert_eq!(Hierarchy::select(&v2).path(&v2).as_deref(), Some(path));
            let hybrid = format!("9:memory:{path}\n2:cpu,cpuacct:{path}\n1:name=systemd:/\n0::/\n");
            assert_eq!(Hierarchy::select(&hybrid).path(&hybrid).as_deref(), Some(path));
            let v1 = format!("2:cpu,cpuacct:{path}\n1:name=systemd:/init.scope\n");
            assert_eq!(Hierarchy::select(&v1).path(&v1).as_deref(), Some(path));
        }
        assert_eq!(Hierarchy::Unified.path("5:cpu:/docker/1\n"), None);
        assert_eq!(Hierarchy::Controller("cpu").path("0::/\n"), None);
    }

    #[test]
    fn finds_the_mount_point() {
        let text = "30 24 0:27 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755\n\
            31 30 0:28 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw,nsdelegate\n\
            32 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:1 - cgroup cgroup rw,cpu,cpuacct\n\
            33 30 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            short\n";
        let mount = |hierarchy: Hierarchy| hierarchy.mount_point(text.as_bytes());
        assert_eq!(mount(Hierarchy::Unified), Some("/sys/fs/cgroup/uni fied".into()));
        assert_eq!(mount(Hierarchy::Controller("memory")), Some("/sys/fs/cgroup/memory".into()));
        assert_eq!(mount(Hierarchy::Controller("cpu")), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(mount(Hierarchy::Controller("pids")), None);
    }
}
