//! Stores the last test output of each column, so that a table can combine several runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::report::Outcome;
use crate::run::capture;

/// The folder of stored results.
#[derive(Debug)]
pub(super) struct ResultStore {
    folder: PathBuf,
    commit: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct StoredRun {
    commit: String,
    release: String,
    status: i32,
    printed: String,
}

impl ResultStore {
    /// The folder of this workspace.
    pub(super) fn of(root: &Path) -> ResultStore {
        let commit = ["rev-parse", "--short=10", "HEAD"];
        let commit = capture(Command::new("git").args(commit).current_dir(root));
        let commit = commit.unwrap_or_else(|_no_git| "unknown".to_owned());
        ResultStore { folder: root.join("target/xtask/vm"), commit }
    }

    fn path(&self, column: &str) -> PathBuf {
        self.folder.join(format!("{}.json", column.replace('/', "_")))
    }

    /// Stores the output of a run.
    pub(super) fn keep(
        &self,
        column: &str,
        release: &str,
        status: i32,
        printed: &str,
    ) -> Result<()> {
        let (commit, release, printed) = (self.commit.clone(), release.into(), printed.into());
        let run = serde_json::to_vec(&StoredRun { commit, release, status, printed })?;
        fs::create_dir_all(&self.folder)?;
        let path = self.path(column);
        fs::write(&path, run).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The stored outcome of each of these columns.
    pub(super) fn outcomes(&self, columns: impl Iterator<Item = String>) -> Vec<Outcome> {
        let outcome = |column: String| {
            let kept = self.outcome(&column);
            kept.unwrap_or_else(|error| Outcome::broken(column, &format!("{error:#}")))
        };
        columns.map(outcome).collect()
    }

    /// The stored outcome of a column.
    fn outcome(&self, column: &str) -> Result<Outcome> {
        let path = self.path(column);
        let run = fs::read(&path).with_context(|| format!("{column} has not run yet"))?;
        let StoredRun { commit, release, status, printed } =
            serde_json::from_slice(&run).with_context(|| path.display().to_string())?;
        let release = format!("{release} (run at commit {commit})");
        Ok(Outcome::of(column.to_owned(), release, status, &printed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_run_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let kept = ResultStore { folder: folder.path().to_owned(), commit: "abc".into() };
        assert!(kept.outcome("6.1/lsm").is_err());
        kept.keep("6.1/lsm", "6.1.0", 0, "test a::one ... ok").unwrap();
        let outcome = kept.outcome("6.1/lsm").unwrap();
        assert_eq!(outcome.failure(), None);
        assert_eq!(outcome.release, "6.1.0 (run at commit abc)");
    }
}
