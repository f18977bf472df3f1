//! Runs every command in README.md and docs/.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crypto_tracer_tests::{needs_bpf, output, program, schema, temp_dir, workspace};

crypto_tracer_tests::tests![
    excluded_blocks_exist,
    examples_match_the_schemas,
    documented_commands_succeed,
    capabilities_are_the_same_in_all_files,
];

/// Blocks that are not run: the file, the beginning of the block (empty: all blocks of the file), and the reason.
const NOT_RUN: [(&str, &str, &str); 9] = [
    ("README.md", "cargo run --release", "builds the program that all tests run once more"),
    ("README.md", "cargo test", "runs this test"),
    (
        "README.md",
        "cargo install",
        "builds everything again, for minutes; installing.rs checks that all packages resolve",
    ),
    ("CONTRIBUTING.md", "", "changes the sources"),
    ("docs/plugins.md", "", "tests/offline/plugins/guide.rs runs these commands"),
    (
        "docs/service.md",
        "sudo systemd-sysusers",
        "needs systemd as process 1; installing.rs creates the user, and systemd checks the unit there",
    ),
    (
        "docs/service.md",
        "sudo mv /var/log/crypto-tracer/events.json",
        "needs systemd as process 1; configuration.rs renames the file and sends the signal",
    ),
    (
        "docs/container.md",
        "docker run",
        "needs a docker daemon; service.md runs with the same capabilities",
    ),
    (
        "docs/container.md",
        "sudo podman run",
        "needs podman; service.md runs with the same capabilities",
    ),
];

/// An open of a key for writing, which the recording lacks.
const KEY_WRITTEN: &str = r#"{"event_type":"file_open","timestamp":"2026-01-01T00:00:00.000000Z","pid":9,"uid":0,"process":"cp","file":"/etc/ssl/a.key","file_type":"private_key","flags":"O_WRONLY|O_CREAT"}
"#;

/// Replacement of `crypto-tracer` in the blocks. It ends streams and profiles after a second, and replaces process 1234
/// by an existing one.
const WRAPPER: &str = r#"#!/bin/bash
words=("$@")
for at in "${!words[@]}"; do [ "${words[$at]}" = 1234 ] && words[$at]=$NGINX; done
case " $1 $2 " in
  " inventory record ")
    case " $* " in *" --duration "* | *" --from "*) ;; *) words+=(--duration 1) ;; esac ;;
esac
case " $1 " in
  " monitor " | " files " | " libs " | " profile ")
    case " $* " in *" --duration "* | *" -d "*) ;; *) words+=(--duration 1) ;; esac ;;
esac
exec "$PROGRAM" "${words[@]}"
"#;

/// Runs the blocks one after the other in a mount namespace that discards changes to the system.
const DRIVER: &str = r#"
set -eu
mkdir over && mount -t tmpfs none over
for folder in etc usr/local var/log root; do
  mkdir -p "over/$folder/upper" "over/$folder/work"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=over/$folder/upper,workdir=over/$folder/work" "/$folder"
done
./nginx 1000 &
export NGINX=$! PATH="$PWD/bin:$PATH"
set +e
for block in blocks/*.sh; do
  bash -eu -o pipefail "$block" > "${block%.sh}.out" 2> "${block%.sh}.err" < /dev/null
  echo $? > "${block%.sh}.code"
done
kill $NGINX
"#;

struct Block {
    file: String,
    text: String,
}

/// Returns the paths of README.md, CONTRIBUTING.md and the pages in docs/, relative to the root.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = fs::read_dir(workspace().join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|name| name.ends_with(".md"))
        .chain(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()])
        .collect();
    pages.sort();
    pages
}

/// Returns the `sh` and `bash` blocks of a page, and the commands of its `console` blocks.
fn blocks(file: &str) -> Vec<Block> {
    let text = fs::read_to_string(workspace().join(file)).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = match kind {
            "sh" | "bash" => inside.join("\n"),
            "console" => {
                inside.iter().filter_map(|line| command_of(line)).collect::<Vec<_>>().join("\n")
            }
            _ => continue,
        };
        blocks.push(Block { file: file.to_owned(), text });
    }
    blocks
}

/// Returns the command after a prompt.
fn command_of(line: &str) -> Option<&str> {
    line.strip_prefix("$ ").or(line.strip_prefix("# "))
}

fn why_not_run(block: &Block) -> Option<&'static str> {
    let (_, _, why) = NOT_RUN
        .iter()
        .find(|(file, begin, _)| *file == block.file && block.text.starts_with(begin))?;
    Some(why)
}

fn excluded_blocks_exist() {
    let all: Vec<Block> = pages().iter().flat_map(|page| blocks(page)).collect();
    for (file, begin, why) in NOT_RUN {
        let is_block = |block: &Block| block.file == file && block.text.starts_with(begin);
        let listed = begin.is_empty() || all.iter().any(is_block);
        assert!(listed && !why.is_empty(), "{file} has no block {begin:?} any more");
    }
}

/// Creates the folder that the blocks expect: a clone with the files that they use.
fn prepare(dir: &Path) {
    let root = workspace();
    for folder in ["bin", "blocks", "target/release"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    symlink(program(), dir.join("target/release/crypto-tracer")).unwrap();
    for folder in ["dist", "docs"] {
        symlink(root.join(folder), dir.join(folder)).unwrap();
    }
    for (name, script) in [("crypto-tracer", WRAPPER), ("sudo", "#!/bin/sh\nexec \"$@\"\n")] {
        let path = dir.join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::copy("/bin/sleep", dir.join("nginx")).unwrap();
    let recording = root.join("tests/fixtures/recordings/every-event.rec");
    let events = output(Command::new(program()).arg("replay").arg(&recording));
    assert!(events.status.success());
    let mut events = String::from_utf8(events.stdout).unwrap();
    events.push_str(KEY_WRITTEN);
    schema::check_printed(&events);
    fs::write(dir.join("events.json"), events).unwrap();
    fs::copy(&recording, dir.join("night.rec")).unwrap();
    let site = root.join("tests/fixtures/plugins/site-classifier.wasm");
    fs::copy(site, dir.join("acme.wasm")).unwrap();
    let web1 = dir.join("web1.json");
    let from = ["inventory", "record", "--from"];
    let made = output(Command::new(program()).args(from).arg(&recording).arg("-o").arg(&web1));
    assert!(made.status.success());
    fs::write(dir.join("snapshot.json"), example_of("docs/commands.md", "snapshot_version"))
        .unwrap();
}

/// Returns the JSON block of a page that contains this word.
fn example_of(page: &str, word: &str) -> String {
    let text = fs::read_to_string(workspace().join(page)).unwrap();
    let mut examples = text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    examples.find(|example| example.contains(word)).unwrap().to_owned()
}

fn examples_match_the_schemas() {
    for name in ["profile", "snapshot"] {
        let example = example_of("docs/commands.md", &format!("{name}_version"));
        schema::check_document(name, &serde_json::from_str(&example).unwrap());
    }
    let example = example_of("docs/inventory.md", "inventory_version");
    schema::check_document("inventory", &serde_json::from_str(&example).unwrap());
    let example = example_of("README.md", "process_exec");
    schema::check_printed(&example);
    assert!(example.lines().count() > 3);
}

/// Runs the blocks of a page, and returns a message for each failure.
fn run(page: &str, blocks: &[Block]) -> Vec<String> {
    let dir = temp_dir();
    prepare(dir.path());
    // Other users run what the blocks install.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = |at: usize, extension: &str| -> PathBuf {
        dir.path().join(format!("blocks/{at:03}.{extension}"))
    };
    for (at, block) in blocks.iter().enumerate() {
        fs::write(path(at, "sh"), with_short_durations(&block.text)).unwrap();
    }
    let driven = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "bash", "-c", DRIVER])
        .env("PROGRAM", program())
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&driven.stderr);
    assert!(driven.status.success(), "{page}: {stderr}");
    let mut wrong = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let read = |extension| fs::read_to_string(path(at, extension)).unwrap_or_default();
        let (code, printed, stderr) = (read("code"), read("out"), read("err"));
        let has_output =
            !page.ends_with("recipes.md") || !printed.is_empty() || block.text.contains("sudo");
        if code.trim() != "0" || !has_output {
            wrong.push(format!(
                "{page}: exit code {}\n{}\nprinted {} bytes; standard error:\n{stderr}",
                code.trim(),
                block.text,
                printed.len()
            ));
        }
    }
    wrong
}

/// Replaces every duration by one second.
fn with_short_durations(text: &str) -> String {
    let mut parts = text.split("--duration ");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        short.push_str("--duration 1");
        short.push_str(rest);
    }
    short
}

fn documented_commands_succeed() {
    needs_bpf!();
    let mut ran = 0;
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for page in pages() {
            let mut blocks = blocks(&page);
            blocks.retain(|block| why_not_run(block).is_none());
            ran += blocks.len();
            if !blocks.is_empty() {
                running.push(scope.spawn(move || run(&page, &blocks)));
            }
        }
        running.into_iter().for_each(|page| wrong.extend(page.join().unwrap()));
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(ran >= 15, "found only {ran} blocks");
}

/// Returns the capabilities of the list after `begin`, as `bpf`, `perfmon`, …
fn capabilities(file: &str, begin: &str) -> Vec<String> {
    let text = fs::read_to_string(workspace().join(file)).unwrap().to_lowercase();
    let at = text.find(begin).unwrap();
    let list = text[at + begin.len()..].split(['\n', '+', '`']).next().unwrap();
    let mut words: Vec<String> = list
        .split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(|word| word.trim_start_matches("--cap-add=").trim_start_matches("cap_").to_owned())
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .collect();
    words.sort_unstable();
    words
}

fn capabilities_are_the_same_in_all_files() {
    let right = ["bpf", "dac_read_search", "perfmon", "sys_ptrace"];
    for (file, begin) in [
        ("dist/crypto-tracer.service", "ambientcapabilities="),
        ("dist/crypto-tracer.service", "capabilityboundingset="),
        ("docs/unprivileged.md", "sudo setcap "),
        ("docs/container.md", "--cap-drop=all "),
        ("docs/container.md", "--cap-add=bpf,"),
        ("host/capture/src/error.rs", "sudo setcap "),
    ] {
        let mut found = capabilities(file, begin);
        if begin.ends_with("bpf,") {
            found.push("bpf".to_owned());
            found.sort_unstable();
        }
        assert_eq!(found, right, "{file}: {begin}");
    }
}
