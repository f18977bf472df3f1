//! Python packages that tests use as an independent judge.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::gate::needs_program;
use crate::harness::skip;

/// Returns the Python of a virtual environment that has these packages: `module` is imported to see whether they are
/// installed. `folder`: where environments are kept between runs. Skips the test if the packages cannot be installed.
///
/// # Panics
///
/// If the environment cannot be created.
pub fn python_with(folder: &str, module: &str, packages: &[&str]) -> PathBuf {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    needs_program("python3");
    let home = PathBuf::from(folder).join("python");
    let python = home.join("bin/python");
    let run = |program: &std::path::Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !python.exists() {
        let path = home.to_string_lossy().into_owned();
        if !run("python3".as_ref(), &["-m", "venv", &path]) {
            skip("python3 cannot create a virtual environment");
        }
    }
    let import = format!("import {module}");
    if !run(&python, &["-c", &import]) {
        let install = ["-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "20"];
        let arguments: Vec<&str> = install.iter().chain(packages).copied().collect();
        if !run(&python, &arguments) {
            skip(format_args!("pip cannot install {}: is there a network?", packages.join(", ")));
        }
    }
    python
}
