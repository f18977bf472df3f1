//! The program under test.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use crate::schema;
use crate::wait::until;

/// Returns the root of the workspace.
pub fn workspace() -> PathBuf {
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let mut above = crate_dir.ancestors().skip(1);
    let root = above.find(|folder| folder.join("Cargo.lock").exists());
    root.map_or(crate_dir.clone(), Path::to_path_buf)
}

/// Returns the path of the program. The first call builds the program with the profile of the tests.
///
/// `CRYPTO_TRACER_PROGRAM` selects a program that is already built.
///
/// # Panics
///
/// If the program cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("CRYPTO_TRACER_PROGRAM") {
        Some(program) => PathBuf::from(program),
        None => build(),
    })
}

/// Builds with `--bin` from the root instead of `--package`: the latter selects other features for shared crates than
/// `cargo test` does, and would compile wasmtime a second time.
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
    assert!(output.status.success(), "the build of the program failed");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .find(|path| path.file_name().is_some_and(|name| name == "crypto-tracer"))
        .expect("cargo prints the path of the program")
}

/// Runs a command to its end and returns its output.
///
/// # Panics
///
/// If the command cannot be started, or does not end within [`crate::DEADLINE`] (it is then killed), or prints an event
/// that does not match its schema.
pub fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Executing a file that was just written fails while a child that another test forked still has it open.
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

/// Replays a recording without any capability, even if the test has all, and returns the exit code, the events, and the
/// text of standard error.
///
/// # Panics
///
/// If the output is not valid UTF-8.
pub fn replay<S: AsRef<OsStr>>(
    recording: &Path,
    options: impl IntoIterator<Item = S>,
) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command.arg("replay").arg(recording).args(options);
    let bare = || {
        for capability in 0..64 {
            // SAFETY: the call accesses no memory. It fails if the process does not have the capability.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        Ok(())
    };
    // SAFETY: the closure makes only system calls between fork and exec.
    unsafe { command.pre_exec(bare) };
    let Output { status, stdout, stderr } = output(&mut command);
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A child that is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both calls have no effect on a process that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
