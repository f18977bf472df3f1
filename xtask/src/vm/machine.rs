//! Runs the tests in a virtual machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cpio::Archive;
use super::kernels::Kernel;
use crate::run::{capture, find_program};

/// Programs that the tests run.
const PROGRAMS: [&str; 6] = ["true", "cat", "dash", "sleep", "openssl", "taskset"];
/// The paths of the tests and the tracer inside the machine.
const TESTS: &str = "/usr/bin/tests";
const TRACER: &str = "/usr/bin/crypto-tracer";
/// The path of this program inside the machine, for the benchmark.
const BENCH: &str = "/usr/bin/xtask";
/// The cases of the benchmark.
const CASES: &str = "getppid,stat,dropped,matching,mmap,spawn";
const MEMORY_MB: &str = "1500";

/// The program to run inside the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// The capture tests.
    Tests,
    /// The benchmark of a rung.
    Bench,
}

/// A program and the kernel to run it on.
#[derive(Debug)]
pub(super) struct GuestRun<'a> {
    pub(super) script: Script,
    pub(super) kernel: &'a Kernel,
    pub(super) append: &'a str,
    pub(super) rung: &'a str,
    /// The test program.
    pub(super) tests: &'a Path,
    /// The tracer.
    pub(super) program: &'a Path,
    pub(super) filter: &'a str,
}

/// The init process. One serial port carries the output of the tests, another one their exit status.
///
/// The tests call `pivot_root`, which fails on an initramfs. So everything moves to a tmpfs first.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tracefs t /sys/kernel/tracing; mount -t bpf b /sys/fs/bpf
mount -t securityfs sec /sys/kernel/security; mount -t cgroup2 cg /sys/fs/cgroup
mkdir -p /dev/shm; ip link set lo up
for t in ttyS1 ttyS2; do stty -F /dev/$t raw -echo -onlcr; done
[ -e /overlay.ko.xz ] && unxz /overlay.ko.xz; insmod /overlay.ko
mkdir /n; mount -t tmpfs t /n
cp -a /bin /sbin /usr /lib /lib64 /etc /var /boot /root /tests.sh /n/
mkdir /n/proc /n/sys /n/dev /n/tmp /n/run
for d in proc sys dev; do mount --move /$d /n/$d; done
cd /n; mount --move . /
exec chroot . /bin/busybox sh -c 'cd /; mount -t tmpfs t /tmp
PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root sh /tests.sh >/dev/ttyS1 2>&1 </dev/null
echo $? >/dev/ttyS2; sync; poweroff -f'
"#;

/// Mounts cgroup hierarchies of version 1 instead of version 2.
const CGROUPS_V1: &str = "umount /sys/fs/cgroup; mount -t tmpfs t /sys/fs/cgroup; cd /sys/fs/cgroup\n\
     for c in memory pids; do mkdir $c; mount -t cgroup -o $c $c $c; done; cd /\n";

impl GuestRun<'_> {
    /// Runs the program; returns its exit status and its output.
    pub(super) fn run(&self, limit_seconds: u64) -> Result<(i32, String)> {
        let work = tempfile::Builder::new().prefix("crypto-tracer-vm-").tempdir()?;
        let file = |name: &str| work.path().join(name);
        fs::write(file("initrd"), self.initramfs()?)?;
        let serial = |name: &str| format!("file:{}", file(name).display());
        let append = format!("console=ttyS0 quiet panic=-1 rdinit=/init {}", self.append);
        let child = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY_MB])
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(file("initrd"))
            .args(["-append", &append])
            .args([
                "-serial",
                &serial("console"),
                "-serial",
                &serial("out"),
                "-serial",
                &serial("status"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(file("qemu"))?)
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let ended = VirtualMachine(child).wait(Duration::from_secs(limit_seconds))?;
        let text = |name: &str| -> String {
            String::from_utf8_lossy(&fs::read(file(name)).unwrap_or_default()).into_owned()
        };
        let printed = text("out");
        if !ended {
            bail!(
                "not finished within {limit_seconds} s; the last lines:\n{}",
                last_lines(&printed)
            );
        }
        let Ok(status) = text("status").trim().parse() else {
            bail!(
                "the machine ended without an exit status:\n{}{}",
                text("qemu"),
                last_lines(&text("console"))
            );
        };
        Ok((status, printed))
    }

    fn initramfs(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        for folder in
            ["bin", "sbin", "usr/bin", "usr/lib", "usr/lib64", "etc", "var", "boot", "root"]
        {
            archive.folder(folder)?;
        }
        for folder in ["proc", "sys", "dev", "tmp", "run"] {
            archive.folder(folder)?;
        }
        archive.link("lib", "usr/lib")?;
        archive.link("lib64", "usr/lib64")?;
        let busybox = find_program("busybox").context("no busybox")?;
        archive.copy(&busybox, "bin/busybox")?;
        program(&mut archive, self.tests, TESTS)?;
        program(&mut archive, self.program, TRACER)?;
        if self.script == Script::Bench {
            program(&mut archive, &std::env::current_exe()?, BENCH)?;
        }
        for name in PROGRAMS {
            let from = find_program(name).with_context(|| format!("no program {name}"))?;
            program(&mut archive, &from, &format!("/usr/bin/{name}"))?;
        }
        let name =
            |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.copy(&self.kernel.overlay, &name(&self.kernel.overlay))?;
        archive.copy(&self.kernel.config, &format!("boot/{}", name(&self.kernel.config)))?;
        archive.file("usr/lib/ssl/openssl.cnf", 0o644, b"")?;
        archive.file("tests.sh", 0o644, self.script().as_bytes())?;
        archive.file("init", 0o755, INIT.as_bytes())?;
        archive.finish()
    }

    fn script(&self) -> String {
        // On one rung of each kernel, containers are identified by a hierarchy of version 1.
        let cgroups = if self.rung == "fexit" { CGROUPS_V1 } else { "" };
        format!(
            "{cgroups}for f in true cat sleep; do ln -sf /usr/bin/$f /bin/$f; done; ln -sf /usr/bin/dash /bin/sh\n\
             export CRYPTO_TRACER_REQUIRE_BPF=1 RUST_BACKTRACE=0 CRYPTO_TRACER_PROBE={}\n\
             export CRYPTO_TRACER_PROGRAM={TRACER} CRYPTO_TRACER_MAY_SET_CLOCK=1\n\
             {}\n",
            self.rung,
            match self.script {
                Script::Tests => {
                    format!(
                        "exec {TESTS} --color never --nocapture --test-threads=1 {}",
                        self.filter
                    )
                }
                Script::Bench => format!(
                    "exec {BENCH} bench --program {TRACER} --probe {} --only {CASES} --quick \
                     --rounds 5",
                    self.rung
                ),
            }
        )
    }
}

/// Adds a program and its shared libraries, each at its path.
fn program(archive: &mut Archive, from: &Path, to: &str) -> Result<()> {
    archive.copy(from, to)?;
    // `ldd` fails for a static program, which has no shared libraries.
    let listed = capture(Command::new("ldd").arg(from)).unwrap_or_default();
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let library = Path::new(library);
        let folder = fs::canonicalize(library.parent().unwrap_or(Path::new("/")))?;
        let place: PathBuf = folder.join(library.file_name().unwrap_or_default());
        archive.copy(library, place.to_str().context("a path that is text")?)?;
    }
    Ok(())
}

fn last_lines(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().rev().take(30).collect();
    lines.reverse();
    lines.join("\n")
}

/// A running machine, killed on drop.
struct VirtualMachine(Child);

impl VirtualMachine {
    /// Waits for the end; false if the limit expires first.
    fn wait(mut self, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if self.0.try_wait()?.is_some() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(false)
    }
}

impl Drop for VirtualMachine {
    fn drop(&mut self) {
        // No effect if the machine has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
