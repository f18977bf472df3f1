//! The program under test.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use crate::schema;
use crate::wait::until;

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let mut above = crate_dir.ancestors().skip(1);
    let root = above.find(|folder| folder.join("Cargo.lock").exists());
    root.map_or(crate_dir.clone(), Path::to_path_buf)
}

/// Where the program is; the first call builds it, in the profile that the tests are built in.
///
/// `CRYPTO_TRACER_PROGRAM` names one that is built already.
///
/// # Panics
///
/// When it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("CRYPTO_TRACER_PROGRAM") {
        Some(program) => PathBuf::from(program),
        None => build(),
    })
}

/// Builds by `--bin` from the root, not by `--package`: the latter would choose other features for shared crates than
/// `cargo test` did, and compile wasmtime a second time.
fn build() -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["build", "--bin", "crypto-tracer", "--message-format", "json-render-diagnostics"])
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().expect("cargo can be run");
    assert!(output.status.success(), "the program does not build");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .find(|path| path.file_name().is_some_and(|name| name == "crypto-tracer"))
        .expect("cargo names the program that it built")
}

/// Runs a command to its end and returns what it printed.
///
/// # Panics
///
/// When it cannot be run, or does not end within [`crate::DEADLINE`]: then it is killed. When it prints an event that is
/// not what its schema says.
pub fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A file that was just written cannot be executed while a child that another test forks still has it open.
    let child = until("a program that can be executed", || match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => None,
        spawned => Some(spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"))),
    });
    let mut child = Killed(child);
    let all = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            bytes
        })
    };
    let stdout = all(child.0.stdout.take().map(|pipe| Box::new(pipe) as Box<_>));
    let stderr = all(child.0.stderr.take().map(|pipe| Box::new(pipe) as Box<_>));
    let status = until(&format!("the end of {command:?}"), || child.0.try_wait().ok().flatten());
    let join = |reader: std::thread::JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    let (stdout, stderr) = (join(stdout), join(stderr));
    schema::check_printed(&String::from_utf8_lossy(&stdout));
    Output { status, stdout, stderr }
}

/// Replays a recording without any capability, also when the test has all: the exit code, the events, and what was said.
///
/// # Panics
///
/// When one of them is no text.
pub fn replay<S: AsRef<OsStr>>(
    recording: &Path,
    options: impl IntoIterator<Item = S>,
) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command.arg("replay").arg(recording).args(options);
    let bare = || {
        for capability in 0..64 {
            // SAFETY: no memory is involved. It fails where there is nothing to take away.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        Ok(())
    };
    // SAFETY: between fork and exec it does nothing but system calls.
    unsafe { command.pre_exec(bare) };
    let Output { status, stdout, stderr } = output(&mut command);
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Ended already: both do nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
