//! `cargo xtask vm`: runs the capture tests on other kernels, on every rung of the ladder that each kernel supports.
//!
//! Debian's kernels boot under QEMU without KVM, from an initramfs that is built for each run. The results form a table of
//! case × rung × kernel; a full run writes it to `docs/kernels.md`.

mod bench;
mod cpio;
mod kept;
mod kernels;
mod machine;
mod report;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::run::{cargo, find_program, run as run_command};
use kept::ResultStore;
use kernels::Kernel;
use machine::GuestRun;
use report::Outcome;

/// Options of `vm`.
#[derive(Debug, clap::Args)]
pub(crate) struct VmOptions {
    /// Only kernels with TEXT in their name: 6.1, 6.12, 6.12-preempt-full, 6.12-rt
    #[arg(long, value_name = "TEXT")]
    kernel: Option<String>,
    /// Only this rung: lsm, fexit, tp_btf
    #[arg(long, value_name = "NAME")]
    rung: Option<String>,
    /// Only these columns: KERNEL/RUNG, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    columns: Vec<String>,
    /// Number of machines that run at the same time
    #[arg(long, default_value = "2")]
    jobs: usize,
    /// Time limit for each machine, in seconds
    #[arg(long, default_value = "1200")]
    limit: u64,
    /// Use the programs source_live and crypto-tracer in this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Write docs/kernels.md, with stored results for the columns that do not run now
    #[arg(long)]
    merge: bool,
    /// Measure the overhead of each rung on each kernel instead of testing
    #[arg(long)]
    bench: bool,
    /// Only tests with TEXT in their name
    #[arg(long, value_name = "TEXT")]
    test: Option<String>,
}

/// A column of the table: one rung on one kernel.
#[derive(Clone, Debug)]
struct Column {
    kernel: &'static str,
    append: &'static str,
    rung: &'static str,
}

/// fexit is not tested on fully preemptible kernels: its guard loses events there, so it is not a rung.
const COLUMNS: [Column; 10] = [
    Column { kernel: "6.1", append: "", rung: "lsm" },
    Column { kernel: "6.1", append: "", rung: "fexit" },
    Column { kernel: "6.1", append: "", rung: "tp_btf" },
    Column { kernel: "6.12", append: "", rung: "lsm" },
    Column { kernel: "6.12", append: "", rung: "fexit" },
    Column { kernel: "6.12", append: "", rung: "tp_btf" },
    Column { kernel: "6.12", append: "preempt=full", rung: "lsm" },
    Column { kernel: "6.12", append: "preempt=full", rung: "tp_btf" },
    Column { kernel: "6.12-rt", append: "", rung: "lsm" },
    Column { kernel: "6.12-rt", append: "", rung: "tp_btf" },
];

impl Column {
    fn name(&self) -> String {
        let append = self.append.replace('=', "-");
        let dash = if append.is_empty() { "" } else { "-" };
        format!("{}{dash}{append}/{}", self.kernel, self.rung)
    }

    fn wanted(&self, options: &VmOptions) -> bool {
        let name = self.name();
        let kernel = options.kernel.as_ref().is_none_or(|text| name.contains(text.as_str()));
        let rung = options.rung.as_ref().is_none_or(|rung| rung == self.rung);
        kernel && rung && (options.columns.is_empty() || options.columns.contains(&name))
    }
}

/// Runs the command.
pub(crate) fn run(root: &Path, options: &VmOptions) -> Result<()> {
    let columns: Vec<Column> =
        COLUMNS.into_iter().filter(|column| column.wanted(options)).collect();
    if columns.is_empty() {
        let all: Vec<_> = COLUMNS.iter().map(Column::name).collect();
        bail!("no such column; the columns are {}", all.join(", "));
    }
    install()?;
    let programs = match &options.programs {
        Some(folder) => Programs {
            tests: folder.join(TESTS),
            tracer: folder.join("crypto-tracer"),
            _folder: None,
        },
        None => build(root)?,
    };
    let kept = ResultStore::of(root);
    let mut names: Vec<_> = columns.iter().map(|column| column.kernel).collect();
    names.dedup();
    let folder = root.join("target/xtask/kernels");
    let kernels =
        names.into_iter().map(|name| Kernel::get(&folder, name)).collect::<Result<Vec<_>>>()?;
    let outcomes = all(&columns, &kernels, &programs, options, &kept);
    if options.bench {
        return bench::finish(root, &outcomes, columns.len() == COLUMNS.len());
    }
    println!("{}", report::table(&outcomes.iter().collect::<Vec<_>>()));
    let failed: Vec<_> = outcomes.iter().filter_map(Outcome::failure).collect();
    if options.test.is_none() && (options.merge || columns.len() == COLUMNS.len()) {
        report::write(root, &kept.outcomes(COLUMNS.iter().map(Column::name)))?;
    }
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n  ")) }
}

/// Runs the columns, several at the same time; the results are in the order of the columns.
fn all(
    columns: &[Column],
    kernels: &[Kernel],
    programs: &Programs,
    options: &VmOptions,
    kept: &ResultStore,
) -> Vec<Outcome> {
    let next = Mutex::new(columns.iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let Some((at, column)) = next.lock().ok().and_then(|mut next| next.next())
                    else {
                        return;
                    };
                    let outcome = one(column, kernels, programs, options, kept);
                    eprintln!("{}: {}", column.name(), outcome.summary());
                    if let Ok(mut done) = done.lock() {
                        done.push((at, outcome));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn one(
    column: &Column,
    kernels: &[Kernel],
    programs: &Programs,
    options: &VmOptions,
    kept: &ResultStore,
) -> Outcome {
    let attempt = || -> Result<(String, i32, String)> {
        let kernel = kernels
            .iter()
            .find(|kernel| kernel.name == column.kernel)
            .context("the kernel was not downloaded")?;
        let script = if options.bench { machine::Script::Bench } else { machine::Script::Tests };
        let filter = options.test.as_deref().unwrap_or_default();
        let Programs { tests, tracer: program, .. } = programs;
        let guest = GuestRun {
            script,
            kernel,
            append: column.append,
            rung: column.rung,
            tests,
            program,
            filter,
        };
        let (code, printed) = guest.run(options.limit)?;
        if options.test.is_none() && !options.bench {
            kept.keep(&column.name(), &kernel.release, code, &printed)?;
        }
        Ok((kernel.release.clone(), code, printed))
    };
    match attempt() {
        Ok((release, code, printed)) if options.bench => {
            Outcome::measured(column.name(), release, code, &printed)
        }
        Ok((release, code, printed)) => Outcome::of(column.name(), release, code, &printed),
        Err(error) => Outcome::broken(column.name(), &format!("{error:#}")),
    }
}

/// Installs the programs that a machine under QEMU needs.
fn install() -> Result<()> {
    let needed = [("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static")];
    let missing: Vec<_> =
        needed.iter().filter(|(program, _)| find_program(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    if crate::run::capture(Command::new("id").arg("-u"))? != "0" {
        bail!("as root: apt-get update && apt-get install -y {}", packages.join(" "));
    }
    run_command(Command::new("apt-get").arg("update"))?;
    run_command(
        Command::new("apt-get")
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// The programs that run inside the machines.
#[derive(Debug)]
struct Programs {
    tests: PathBuf,
    tracer: PathBuf,
    /// Holds copies, so that a concurrent build does not change them.
    _folder: Option<tempfile::TempDir>,
}

/// Builds the capture tests and the tracer.
fn build(root: &Path) -> Result<Programs> {
    // Builds all default members, like `cargo test`, so that nothing is compiled twice.
    let mut command = Command::new(cargo());
    command
        .args(["test", "--no-run", "--test", TESTS, "--message-format", "json-render-diagnostics"])
        .current_dir(root);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the build of the capture tests failed");
    }
    let messages: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let program = |kind: &str, wanted: &str| {
        let is = |message: &&serde_json::Value| {
            message.pointer("/target/name").is_some_and(|name| name == wanted)
                && message.pointer("/target/kind/0").is_some_and(|found| found == kind)
        };
        let found =
            messages.iter().filter(is).find_map(|message| message.get("executable")?.as_str());
        found
            .map(PathBuf::from)
            .with_context(|| format!("cargo did not report the program {wanted}"))
    };
    let folder = tempfile::Builder::new().prefix("crypto-tracer-vm-").tempdir()?;
    let kept = |kind: &str, name: &str| -> Result<PathBuf> {
        let copy = folder.path().join(name);
        std::fs::copy(program(kind, name)?, &copy)?;
        Ok(copy)
    };
    let (tests, tracer) = (kept("test", TESTS)?, kept("bin", "crypto-tracer")?);
    Ok(Programs { tests, tracer, _folder: Some(folder) })
}

/// The test program of the package `crypto-tracer` that needs only a kernel.
const TESTS: &str = "source_live";
