//! The author's guide, followed to the letter: its files written, its commands run, its output compared.
#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crypto_tracer_tests::{program, temp_dir, why_not_wasi, workspace};

/// A fenced block: what stands behind the fence, and its lines.
struct Block {
    info: String,
    lines: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some(Block { info: info.to_owned(), lines: Vec::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    blocks
}

fn guide() -> Vec<Block> {
    blocks(&fs::read_to_string(workspace().join("docs/plugins.md")).unwrap())
}

/// The guide as one script, and the lines that it says are printed.
fn script(blocks: &[Block]) -> (String, Vec<String>) {
    let mut script = "set -eux\n".to_owned();
    let mut printed = Vec::new();
    for Block { info, lines } in blocks {
        match info.split_once(' ') {
            Some((_, file)) => {
                let text = lines.join("\n");
                script.push_str(&format!("cat > {file} <<'END OF FILE'\n{text}\nEND OF FILE\n"));
            }
            None if info == "console" => {
                for line in lines {
                    match (line.strip_prefix("$ "), line.starts_with("# ")) {
                        (Some(command), _) => script.push_str(&format!("{command}\n")),
                        (None, true) => {}
                        (None, false) => printed.push(line.clone()),
                    }
                    if line.starts_with("$ cd ") {
                        // What only this test needs: crates that are here already, and a recording.
                        script.push_str("cp \"$LOCK\" Cargo.lock\ncp \"$RECORDING\" night.rec\n");
                        script.push_str("ln -s \"$TARGET\" target\n");
                    }
                }
            }
            None => {}
        }
    }
    (script, printed)
}

#[test]
fn whoever_follows_the_guide_gets_there() {
    if let Some(why) = why_not_wasi() {
        #[expect(clippy::print_stderr, reason = "whoever runs the test should know")]
        return eprintln!("skipped: {why}");
    }
    let (script, printed) = script(&guide());
    assert!(script.contains("plugin test") && script.contains("replay night.rec"), "{script}");
    let target = workspace().join("target/authoring");
    fs::create_dir_all(&target).unwrap();
    let run = |offline: bool| {
        let dir = temp_dir();
        let mut path = program().parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(&dir).env("PATH", path).stdin(Stdio::null());
        command.env("LOCK", workspace().join("plugins/examples/Cargo.lock"));
        command.env("RECORDING", workspace().join("tests/fixtures/recordings/every-event.rec"));
        command.env("TARGET", &target).env_remove("CARGO_TARGET_DIR");
        command.env("CARGO_NET_OFFLINE", offline.to_string());
        let ran = command.output().unwrap();
        let config = dir.path().join("acme-classifier");
        let checked = ran.status.success().then(|| check_configuration(&config));
        (checked, [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()))
    };
    let (done, text) = run(true);
    let (done, [out, err]) = if done.is_some() { (done, text) } else { run(false) };
    assert!(done.is_some(), "{out}\n{err}");
    for line in printed {
        assert!(
            out.lines().any(|printed| printed == line),
            "{line:?} was not printed:\n{out}\n{err}"
        );
    }
}

/// With the hash that the guide has its reader fill in, and the path where the plugin is here.
fn check_configuration(folder: &Path) {
    let plugin = folder.join("acme.wasm");
    let hash = Command::new("sha256sum").arg(&plugin).output().unwrap().stdout;
    let hash = String::from_utf8(hash).unwrap();
    let written = fs::read_to_string(folder.join("config.toml")).unwrap();
    let filled = written
        .replace("/etc/crypto-tracer/plugins/acme.wasm", plugin.to_str().unwrap())
        .replace(&"0".repeat(64), hash.split(' ').next().unwrap());
    assert_ne!(written, filled);
    for (text, loads) in [(filled, true), (written, false)] {
        let config = folder.join("filled.toml");
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program());
        command.args(["plugin", "list", "--config"]).arg(&config);
        // As an ordinary user where we are root: root's tracer obeys nothing below /tmp.
        as_nobody(&mut command, folder);
        let listed = command.output().unwrap();
        let [out, err] =
            [listed.stdout, listed.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(listed.status.success(), loads, "{out}{err}");
        assert_eq!(out.contains("classifier 1: acme@"), loads, "{out}{err}");
    }
}

fn as_nobody(command: &mut Command, folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    // SAFETY: it has no preconditions and touches no memory.
    if unsafe { libc::geteuid() } == 0 {
        let parent = folder.parent().unwrap();
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// Every table of the configuration that the guide shows is one.
#[test]
fn every_configuration_of_the_guide_is_toml() {
    let tables: Vec<String> = guide()
        .iter()
        .filter(|block| block.info.split(' ').next() == Some("toml"))
        .map(|block| block.lines.join("\n"))
        .collect();
    assert!(tables.len() > 5);
    for table in tables {
        let read: toml::Table = toml::from_str(&table).unwrap();
        let known = ["classifier", "redactor", "filter"];
        assert!(read.keys().all(|key| known.contains(&key.as_str())), "{table}");
    }
}

/// A file whose name stands in a heading of the guide, or in a link.
#[test]
fn every_link_leads_somewhere() {
    let page = fs::read_to_string(workspace().join("docs/plugins.md")).unwrap();
    let headings: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|text| text.to_lowercase().replace(' ', "-").replace('.', ""))
        .collect();
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut seen = 0;
    for target in targets {
        seen += 1;
        match target.strip_prefix('#') {
            Some(heading) => assert!(headings.iter().any(|known| known == heading), "{target}"),
            None => assert!(workspace().join("docs").join(target).exists(), "{target}"),
        }
    }
    assert!(seen > 10);
}
