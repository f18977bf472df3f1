//! Programs that others wrote judge and read what this program writes.

use std::fs;
use std::process::Command;

use super::documents::{fixture, run};
use crypto_tracer_tests::{python_with, temp_dir, workspace};

crypto_tracer_tests::tests![
    the_strict_validator_of_cyclonedx_accepts_exports,
    duckdb_and_clickhouse_answer_the_questions_of_the_fleet_page,
];

/// Environments are kept between runs.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

const VALIDATE: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
for version, path in zip(sys.argv[1::2], sys.argv[2::2]):
    error = JsonStrictValidator(SchemaVersion.from_version(version)).validate_str(open(path).read())
    if error:
        sys.exit(f'{path}: {error}')
";

fn the_strict_validator_of_cyclonedx_accepts_exports() {
    let packages = ["cyclonedx-python-lib[json-validation]==11.12.0"];
    let python = python_with(FOLDER, "cyclonedx.validation.json, jsonschema", &packages);
    let dir = temp_dir();
    let [web1, web2] = ["inventories/web1.json", "inventories/web2.json"].map(fixture);
    let merged = dir.path().join("all.json").display().to_string();
    assert!(run(&["inventory", "merge", &web1, &web2, "-o", &merged]).status.success());
    let mut command = Command::new(python);
    command.args(["-c", VALIDATE]);
    for (number, inventory) in [&web1, &merged].into_iter().enumerate() {
        for version in ["1.6", "1.7"] {
            let bom = dir.path().join(format!("{number}-{version}.json")).display().to_string();
            let format = format!("cyclonedx-{version}");
            let written = run(&["inventory", "export", inventory, "-f", &format, "-o", &bom]);
            assert!(written.status.success());
            command.args([version, &bom]);
        }
    }
    let judged = command.output().unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
}

fn duckdb_and_clickhouse_answer_the_questions_of_the_fleet_page() {
    let packages = ["duckdb==2.0.1", "chdb==4.4.0"];
    let python = python_with(FOLDER, "duckdb, chdb", &packages);
    let script = workspace().join("tests/fleet/check.py");
    let dir = temp_dir();
    let mut command = Command::new(python);
    command.arg(script).args(["--hosts", "20", "--days", "3"]).current_dir(dir.path());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let asked = command.output().unwrap();
    let text = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{text}{}", String::from_utf8_lossy(&asked.stderr));
    assert_eq!(text.matches(" ms ").count(), 20, "ten questions in two engines: {text}");
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "{text}");
}
