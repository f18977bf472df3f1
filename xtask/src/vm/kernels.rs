//! Downloads Debian's kernel packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{capture, run};

/// A kernel on this machine's disk.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The name in the table.
    pub(super) name: &'static str,
    /// The release, as in `uname -r`.
    pub(super) release: String,
    pub(super) image: PathBuf,
    pub(super) config: PathBuf,
    /// The overlayfs module.
    pub(super) overlay: PathBuf,
}

impl Kernel {
    /// The kernel in `folder`, or the newest one of this kind that apt offers.
    pub(super) fn get(folder: &Path, name: &'static str) -> Result<Kernel> {
        let folder = folder.join(name);
        if let Ok(kernel) = Kernel::find(&folder, name) {
            return Ok(kernel);
        }
        let package = newest(pattern(name)?)?;
        fs::create_dir_all(&folder)?;
        run(Command::new("apt-get").args(["download", &package]).current_dir(&folder))?;
        let is_package = |path: &PathBuf| path.extension().is_some_and(|end| end == "deb");
        let file =
            list(&folder)?.into_iter().find(is_package).context("apt-get downloaded no package")?;
        run(Command::new("dpkg").arg("-x").arg(&file).arg(&folder))?;
        fs::remove_file(file)?;
        Kernel::find(&folder, name)
    }

    fn find(folder: &Path, name: &'static str) -> Result<Kernel> {
        let boot = folder.join("boot");
        let image = list(&boot)?
            .into_iter()
            .find(|path| file_name(path).starts_with("vmlinuz-"))
            .with_context(|| format!("no kernel in {}", boot.display()))?;
        let release = file_name(&image).trim_start_matches("vmlinuz-").to_owned();
        let modules = ["lib/modules", "usr/lib/modules"].map(|lib| folder.join(lib));
        let overlay = modules
            .iter()
            .flat_map(|lib| list(&lib.join(&release).join("kernel/fs/overlayfs")))
            .flatten()
            .find(|path| file_name(path).starts_with("overlay.ko"))
            .context("the package has no overlayfs module")?;
        Ok(Kernel { name, config: boot.join(format!("config-{release}")), release, image, overlay })
    }
}

fn pattern(name: &str) -> Result<&'static str> {
    Ok(match name {
        "6.1" => "^linux-image-6\\.1\\.[0-9].*-cloud-amd64-unsigned$",
        "6.12" => "^linux-image-6\\.12\\..*-cloud-amd64-unsigned$",
        "6.12-rt" => "^linux-image-6\\.12\\..*-rt-amd64-unsigned$",
        _ => bail!("unknown kernel {name}"),
    })
}

fn newest(pattern: &str) -> Result<String> {
    let search = || capture(Command::new("apt-cache").args(["search", "--names-only", pattern]));
    let mut found = search()?;
    if found.is_empty() {
        // A new machine has no package lists.
        run(Command::new("apt-get").arg("update"))?;
        found = search()?;
    }
    found
        .lines()
        .filter_map(|line| line.split(' ').next())
        .max_by_key(|name| numbers(name))
        .map(str::to_owned)
        .with_context(|| format!("apt offers no package {pattern}"))
}

/// The numbers in a name, to compare versions.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_compared_numerically() {
        let older = "linux-image-6.1.0-9-cloud-amd64-unsigned";
        assert!(numbers(older) < numbers("linux-image-6.1.0-47-cloud-amd64-unsigned"));
        assert!(numbers("linux-image-6.12.9+deb12-x") < numbers("linux-image-6.12.107+deb12-x"));
    }
}
