//! One user loads the machine on two cores; the events of another user are still reported, each with its file type.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crypto_tracer_tests::{
    Actor, NOBODY_UID, Tracer, actor, fuse_device, needs_bpf, run, skip, temp_dir, until,
};

crypto_tracer_tests::tests![
    no_load,
    one_file_opened_flat_out,
    one_file_opened_and_touched,
    new_files,
    new_names_of_one_file,
    long_paths,
    new_files_with_long_paths,
    many_descriptors,
    renamed_files,
    processes_that_end_at_once,
    mount_namespaces,
    control_groups,
    processes_that_block_every_reader,
];

/// Number of files that the victim opens, and per second.
const OPENS: usize = 300;
const RATE: &str = "50";
/// Minimum number of them that must have the right type.
const MIN_RIGHT: usize = 290;
const VICTIM: &str = "1001";
const ATTACKER: &str = "65534";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n";
/// Maximum resident memory of the tracer in MiB.
const MAX_MIB: u64 = 50;

/// What the tracer reported of the victim.
#[derive(Debug)]
#[expect(dead_code, reason = "printed if a test fails")]
struct Seen {
    /// Opens that were reported.
    shown: usize,
    /// Those with the right type.
    right: usize,
    /// Resident memory of the tracer in MiB under load.
    resident_mib: u64,
    /// The opens with another type, by outcome of reading the head.
    others: BTreeMap<String, usize>,
    /// Standard error of the tracer.
    said: Vec<String>,
}

fn victim_files(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.join("v");
    fs::create_dir(&dir).unwrap();
    let write = |n| {
        let path = dir.join(format!("{n}.pem"));
        fs::write(&path, CERTIFICATE).unwrap();
        path
    };
    (0..OPENS).map(write).collect()
}

/// The growing output of the tracer, of which only the victim's events are kept.
struct Printed {
    file: fs::File,
    /// The folder as it is printed.
    dir: String,
    /// The last line, if it is not complete.
    rest: Vec<u8>,
    victims: Vec<String>,
}

impl Printed {
    fn new(output: &Path, dir: &Path) -> Printed {
        let (file, dir) = (fs::File::open(output).unwrap(), dir.to_str().unwrap().to_owned());
        Printed { file, dir, rest: Vec::new(), victims: Vec::new() }
    }

    /// Reads what was added. Returns whether a new line has a file whose path in the folder begins with this.
    fn read(&mut self, below: &str) -> bool {
        self.file.read_to_end(&mut self.rest).unwrap();
        let end = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let added = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let (victim, wanted) = (format!("{}/v/", self.dir), format!("{}{below}", self.dir));
        let uid = format!("\"uid\":{VICTIM},");
        // Another tracer on the machine opens the files too.
        let is_victims = |line: &&str| line.contains(&victim) && line.contains(&uid);
        let victims = added.lines().filter(is_victims);
        self.victims.extend(victims.map(str::to_owned));
        added.contains(&wanted)
    }
}

/// Runs the victim while the actors that `attack` starts are running. `attack` gets the folder and a folder that the
/// attacker may write.
fn under(attack: impl FnOnce(&Path, &Path) -> Vec<Actor>) -> Seen {
    let dir = temp_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let files = victim_files(dir.path());
    let attacked = dir.path().join("a");
    fs::create_dir(&attacked).unwrap();
    chown(&attacked, Some(NOBODY_UID), Some(NOBODY_UID)).unwrap();
    let output = dir.path().join("events.json");
    let tracer = Tracer::command("files", ["--extended", "--output", output.to_str().unwrap()]);
    let mut attackers = attack(dir.path(), &attacked);
    attackers.iter_mut().for_each(Actor::go);
    let mut printed = Printed::new(&output, dir.path());
    if !attackers.is_empty() {
        until("the attack", || printed.read("/a/").then_some(()));
    }
    let mut words =
        vec!["as", VICTIM, "paced", RATE].into_iter().map(OsStr::new).collect::<Vec<_>>();
    let count = OPENS.to_string();
    words.push(OsStr::new(&count));
    words.extend(files.iter().map(|path| path.as_os_str()));
    let victim = Actor::start(env!("CARGO_BIN_EXE_actor"), &words);
    assert_eq!(victim.end(), count);
    let resident_mib = super::load::resident_mib(tracer.pid());
    attackers.into_iter().for_each(|attacker| {
        attacker.end();
    });
    // Events of one process after the other are reported in order.
    let mut marks = 0..;
    until("a later open", || {
        let mark = dir.path().join(format!("mark-{}.pem", marks.next().unwrap()));
        fs::write(&mark, CERTIFICATE).unwrap();
        run(std::process::Command::new("cat").arg(&mark));
        printed.read("/mark-").then_some(())
    });
    let said = tracer.finish().said;
    printed.read("");
    let victims = printed.victims;
    let right = |line: &&String| line.contains("\"certificate\"");
    let mut others = BTreeMap::new();
    for line in victims.iter().filter(|line| !right(line)) {
        let head = line.split("\"head\":\"").nth(1).and_then(|rest| rest.split('"').next());
        *others.entry(head.unwrap_or_default().to_owned()).or_default() += 1;
    }
    let right = victims.iter().filter(right).count();
    Seen { shown: victims.len(), right, resident_mib, others, said }
}

/// Other work on the machine makes heads late, too. It does not make them right, so one of three runs must have enough. In
/// each run, every open must be shown.
fn check(name: &str, run: impl Fn() -> Seen) {
    let mut seen = run();
    for _ in 1..3 {
        check_figures(name, &seen);
        if seen.right >= MIN_RIGHT {
            return;
        }
        seen = run();
    }
    check_figures(name, &seen);
    assert!(seen.right >= MIN_RIGHT, "{name}: {seen:?}");
}

fn check_figures(name: &str, seen: &Seen) {
    if let Some(path) = std::env::var_os("CRYPTO_TRACER_FIGURES") {
        use std::io::Write;
        let Seen { shown, right, resident_mib, others, .. } = seen;
        let line =
            format!("{name}: {shown} shown, {right} right, {resident_mib} MiB, {others:?}\n");
        let file = fs::File::options().append(true).create(true).open(path);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(seen.shown, OPENS, "{name}: {seen:?}");
    assert!(seen.resident_mib < MAX_MIB, "{name}: {seen:?}");
}

/// Checks the victim under a load of `actor attack`, on two cores.
fn check_under(load: &str) {
    needs_bpf!();
    let attack = |_: &Path, dir: &Path| {
        (0..2).map(|_| actor!["as", ATTACKER, "attack", load, dir]).collect()
    };
    check(load, || under(attack));
}

fn no_load() {
    needs_bpf!();
    check("none", || under(|_, _| Vec::new()));
}

fn one_file_opened_flat_out() {
    check_under("flood");
}

fn one_file_opened_and_touched() {
    check_under("touch");
}

fn new_files() {
    check_under("fresh");
}

fn new_names_of_one_file() {
    check_under("links");
}

fn long_paths() {
    check_under("deep");
}

fn new_files_with_long_paths() {
    check_under("deep-fresh");
}

fn many_descriptors() {
    check_under("descriptors");
}

fn renamed_files() {
    check_under("renamed");
}

fn processes_that_end_at_once() {
    check_under("ends");
}

fn mount_namespaces() {
    check_under("namespaces");
}

/// A control group below that of this process, in the hierarchy that identifies containers. It is removed when the value
/// is dropped.
struct Group(PathBuf);

impl Group {
    fn new() -> Group {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mounts: Vec<Vec<&str>> = mounts.lines().map(|line| line.split(' ').collect()).collect();
        let of = |controller: &str| {
            mounts.iter().find(|mount| match controller {
                "" => mount[2] == "cgroup2",
                name => mount[2] == "cgroup" && mount[3].split(',').any(|option| option == name),
            })
        };
        let Some(mount) = ["memory", "pids", "cpu", ""].into_iter().find_map(of) else {
            skip("no control groups are mounted");
        };
        let path = Path::new(mount[1]).join(format!("crypto-tracer-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&path) {
            skip(format_args!("{}: {error}", path.display()));
        }
        chown(&path, Some(NOBODY_UID), Some(NOBODY_UID)).unwrap();
        // Moving a process also needs write access to the group that it leaves.
        let procs = path.join("cgroup.procs");
        chown(&procs, Some(NOBODY_UID), Some(NOBODY_UID)).unwrap();
        Group(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn control_groups() {
    needs_bpf!();
    let group = Group::new();
    let attack = |_: &Path, dir: &Path| {
        let start = || {
            let actor = actor!["as", ATTACKER, "attack", "cgroups", dir, &group.0];
            fs::write(group.0.join("cgroup.procs"), actor.pid().to_string()).unwrap();
            actor
        };
        (0..2).map(|_| start()).collect()
    };
    check("cgroups", || under(attack));
}

/// Four users have processes that open a file and then block in `execve`, so that every access to them blocks too.
fn processes_that_block_every_reader() {
    needs_bpf!();
    let attack = |dir: &Path, attacked: &Path| {
        let device = fuse_device(dir);
        let start = |n: u32| {
            let (user, below) = (70_000 + n % 4, attacked.join(n.to_string()));
            fs::create_dir(&below).unwrap();
            chown(&below, Some(user), Some(user)).unwrap();
            let file = below.join("x.pem");
            fs::write(&file, CERTIFICATE).unwrap();
            actor!["as", user.to_string().as_str(), "in-exec", &device, &below, &file]
        };
        (0..20).map(start).collect()
    };
    check("in-exec", || under(attack));
}
