//! Cgroup IDs of processes, in a cgroup that the test creates: v2, or v1 if mounted.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crypto_tracer_event::EventKinds;
use crypto_tracer_system::cgroup::Hierarchy;

use super::{routes, world};

crypto_tracer_tests::tests![a_process_has_the_id_of_its_cgroup];

const ROUTE: &str = "container id from the cgroup";

/// A cgroup that is removed on drop.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn a_process_has_the_id_of_its_cgroup() {
    let interest = world::interest();
    let kinds = EventKinds { exec: true, exit: true, ..EventKinds::NONE };
    let mut world = world::start(&world::options(&interest, kinds));
    let hierarchy = Hierarchy::of_this_system();
    let own = hierarchy.path(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
    let Some((mount, own)) = hierarchy.mount().zip(own) else {
        routes::skip(ROUTE, "no cgroup hierarchy is mounted here");
    };
    let name = format!("crypto-tracer-test-{}", std::process::id());
    let group = Group(mount.join(own.trim_start_matches('/')).join(name));
    if let Err(error) = fs::create_dir(&group.0) {
        routes::skip(ROUTE, format_args!("cannot create a cgroup here ({error})"));
    }
    let members = fs::OpenOptions::new().write(true).open(group.0.join("cgroup.procs")).unwrap();
    let mut command = Command::new("/bin/true");
    // SAFETY: the closure makes one system call between fork and exec.
    unsafe {
        command.pre_exec(move || std::io::Write::write_all(&mut &members, b"0"));
    }
    let mut child = command.spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let id = fs::metadata(&group.0).unwrap().ino();
    let got = world.records(2, |record| record.header.tgid == child.id());
    let ids: Vec<u64> = got.iter().map(|record| record.header.cgroup_id).collect();
    assert_eq!(ids, [id, id], "{hierarchy:?}");
    routes::ok(ROUTE);
}
