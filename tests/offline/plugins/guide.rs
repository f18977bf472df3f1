//! Follows the author's guide exactly: writes its files, runs its commands, and compares their output.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crypto_tracer_tests::{
    Event, Tracer, needs_wasi, output, program, run, trusted_dir, why_not_bpf, workspace,
};

crypto_tracer_tests::tests![
    guide_commands_print_the_documented_output,
    guide_configurations_are_toml,
    guide_links_have_targets,
    table_of_limits_is_a_valid_configuration,
    every_failure_cause_is_documented,
];

/// A fenced block: the text after the fence, and its lines.
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

/// Returns the guide as one script, and the documented lines of output.
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
                        // `diff` exits with 1 if there is a difference.
                        (Some(command), _) if command.starts_with("diff ") => {
                            script.push_str(&format!("{command} || [ $? = 1 ]\n"));
                        }
                        (Some(command), _) => script.push_str(&format!("{command}\n")),
                        (None, true) => {}
                        (None, false) => printed.push(line.clone()),
                    }
                    if line.starts_with("$ cd ") {
                        // Needed by this test only: downloaded dependencies, and a recording.
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

fn guide_commands_print_the_documented_output() {
    needs_wasi();
    let (script, printed) = script(&guide());
    assert!(script.contains("plugin test") && script.contains("replay night.rec"), "{script}");
    let target = workspace().join("target/authoring");
    fs::create_dir_all(&target).unwrap();
    let follow = |offline: bool| {
        let dir = trusted_dir();
        let mut path = program().parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(&dir).env("PATH", path).stdin(Stdio::null());
        command.env("LOCK", workspace().join("plugins/examples/Cargo.lock"));
        command.env("RECORDING", workspace().join("tests/fixtures/recordings/hsm-slot.rec"));
        command.env("TARGET", &target).env_remove("CARGO_TARGET_DIR");
        command.env("CARGO_NET_OFFLINE", offline.to_string());
        let ran = command.output().unwrap();
        let done = ran.status.success().then_some(dir);
        (done, [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()))
    };
    let (done, text) = follow(true);
    let (done, [out, err]) = if done.is_some() { (done, text) } else { follow(false) };
    let Some(dir) = done else { panic!("{out}\n{err}") };
    for line in printed {
        let is_printed = out.lines().any(|printed| printed == line);
        assert!(is_printed, "{line:?} was not printed:\n{out}\n{err}");
    }
    let config = deployed(&dir.path().join("acme-classifier"));
    if why_not_bpf().is_none() {
        assert_type_in_stream(&config, dir.path());
    }
}

/// Writes the configuration with the plugin's path in this test and, as the guide instructs, its hash. Returns its
/// path.
fn deployed(folder: &Path) -> PathBuf {
    let plugin = folder.join("acme.wasm");
    let hash = Command::new("sha256sum").arg(&plugin).output().unwrap().stdout;
    let hash = String::from_utf8(hash).unwrap();
    let written = fs::read_to_string(folder.join("config.toml")).unwrap();
    let placed = written.replace("/etc/crypto-tracer/plugins/acme.wasm", plugin.to_str().unwrap());
    let pinned = placed.replace(&"0".repeat(64), hash.split(' ').next().unwrap());
    assert!(written != placed && placed != pinned, "{written}");
    let config = folder.join("deployed.toml");
    for (text, code, wanted) in [(placed, 2, "but 000000"), (pinned, 0, "classifier 1: acme@")] {
        fs::write(&config, text).unwrap();
        let listed =
            output(Command::new(program()).args(["plugin", "list", "--config"]).arg(&config));
        let printed = [listed.stdout, listed.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(listed.status.code(), Some(code), "{printed}");
        assert!(printed.contains(wanted), "{printed}");
    }
    config
}

/// Checks that the plugin's file type appears in a live stream.
fn assert_type_in_stream(config: &Path, folder: &Path) {
    let slot = folder.join("0.hsmslot");
    fs::write(&slot, "slot").unwrap();
    let tracer = Tracer::monitor([OsStr::new("--config"), config.as_os_str()]);
    let pid = run(Command::new("cat").arg(&slot));
    let opened = tracer.all_of(pid);
    let typed =
        |event: &&Event| event.kind() == "file_open" && event.text("file_type") == "hsm_slot";
    assert_eq!(opened.iter().filter(typed).count(), 1, "{opened:?}");
    tracer.finish();
}

/// Every configuration in the guide is valid TOML with known tables.
fn guide_configurations_are_toml() {
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

/// Returns the anchors of the headings of a page.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(|text| text.to_lowercase().replace(' ', "-").replace(['.', '`'], ""))
}

fn guide_links_have_targets() {
    let page = fs::read_to_string(workspace().join("docs/plugins.md")).unwrap();
    let headings: Vec<String> = anchors(&page).collect();
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut seen = 0;
    for target in targets {
        seen += 1;
        match target.strip_prefix('#') {
            Some(heading) => assert!(headings.iter().any(|known| known == heading), "{target}"),
            None => {
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let path = workspace().join("docs").join(file);
                assert!(path.exists(), "{target}");
                if !heading.is_empty() {
                    let text = fs::read_to_string(path).unwrap();
                    assert!(anchors(&text).any(|known| known == heading), "{target}");
                }
            }
        }
    }
    assert!(seen > 10);
}

/// The configuration accepts the names and the values of the table.
fn table_of_limits_is_a_valid_configuration() {
    let page = fs::read_to_string(workspace().join("docs/plugins.md")).unwrap();
    let table = page.split("\n## Limits\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut config = "[plugins]\n".to_owned();
    for row in table.lines().filter(|line| line.starts_with('|') && line.contains("`")) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, _, value, name, _] = columns[..] else { panic!("{row}") };
        let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else {
            continue;
        };
        let words: Vec<&str> = value.split([' ', ',']).collect();
        let value = match words[..] {
            ["1", "s"] => "1000".to_owned(),
            [number, "KiB" | "MiB", ..] => format!("\"{number}{}\"", words[1]),
            [thousands, "000", ..] => format!("{thousands}000"),
            [number, ..] => number.to_owned(),
            [] => panic!("{row}"),
        };
        config.push_str(&format!("{name} = {value}\n"));
    }
    assert!(config.lines().count() > 8, "{config}");
    let dir = trusted_dir();
    let path = dir.path().join("config.toml");
    fs::write(&path, &config).unwrap();
    let listed = output(Command::new(program()).args(["plugin", "list", "--config"]).arg(&path));
    let stderr = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert_eq!(listed.status.code(), Some(0), "{config}{stderr}");
}

fn every_failure_cause_is_documented() {
    let page = fs::read_to_string(workspace().join("docs/plugins.md")).unwrap();
    let code = fs::read_to_string(workspace().join("host/plugin/src/failure.rs")).unwrap();
    let causes = code.lines().filter_map(|line| line.trim().strip_prefix("Cause::"));
    let words = causes.filter_map(|line| line.split_once(" => \"")?.1.strip_suffix("\","));
    let words: Vec<&str> = words.collect();
    assert!(words.len() > 8, "{words:?}");
    for word in words {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
}
