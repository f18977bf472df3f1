//! Files that common programs change, move or replace right after an open.

use std::fs;
use std::path::Path;
use std::process::Command;

use crypto_tracer_tests::{Event, Material, Tracer, needs_bpf, output, program, run, temp_dir};

crypto_tracer_tests::tests![
    file_changed_after_the_open_keeps_its_type,
    perl_in_place_edit_has_the_right_types,
    created_or_truncated_file_has_no_content,
    replay_repeats_the_types_of_changed_files,
];

/// Files in each case.
const ROUNDS: usize = 45;
/// Minimum number of heads that are read in time: on a busy machine some are late.
const MIN_IN_TIME: usize = 20;

/// A script that changes `$1`, a certificate that was just opened. `$2` is a private key. `accepted` lists the accepted
/// pairs of `file_type` and `head`.
struct Case {
    name: &'static str,
    script: &'static str,
    accepted: &'static [(&'static str, &'static str)],
}

const SAME: &[(&str, &str)] = &[("certificate", "read")];
/// Depends on which file has the path when the tracer reads it.
const EITHER: &[(&str, &str)] = &[("certificate", "read"), ("private_key", "replaced")];
/// The new file is a certificate too.
const RENEWED: &[(&str, &str)] = &[("certificate", "read"), ("certificate", "replaced")];

const CASES: [Case; 13] = [
    Case { name: "chmod", script: "cat $1; chmod 600 $1", accepted: SAME },
    Case { name: "chown", script: "cat $1; chown 65534:65534 $1", accepted: SAME },
    Case { name: "ln", script: "cat $1; ln $1 $1.link", accepted: SAME },
    Case { name: "touch -a", script: "cat $1; touch -a $1", accepted: SAME },
    Case { name: "touch -d", script: "cat $1; touch -d 2001-01-01 $1", accepted: SAME },
    Case { name: "mv", script: "cat $1; mv $1 $1.old", accepted: SAME },
    Case { name: "backup", script: "cat $1; mv $1 $1~; cp $2 $1", accepted: SAME },
    Case { name: "ln and rm", script: "cat $1; ln $1 $1.link; rm $1", accepted: SAME },
    Case { name: "mv over it", script: "cat $1; cp $2 $1.new; mv $1.new $1", accepted: EITHER },
    Case {
        name: "held open",
        script: "exec 3<$1; cp $2 $1.new; mv $1.new $1; sleep 0.3",
        accepted: SAME,
    },
    Case { name: "sed -i", script: "sed -i s/a/a/ $1", accepted: RENEWED },
    Case { name: "append", script: "cat $2 >>$1", accepted: SAME },
    Case { name: "write into it", script: "printf %s - | dd of=$1 conv=notrunc", accepted: SAME },
];

fn pair(event: &Event) -> (&str, &str) {
    (event.text("file_type"), event.text("head"))
}

/// Returns the opens of the file with this path.
fn opened<'a>(events: &'a [Event], path: &Path) -> Vec<&'a Event> {
    let path = path.to_str().unwrap();
    let is_open = |event: &&Event| event.kind() == "file_open" && event.text("file") == path;
    events.iter().filter(is_open).collect()
}

fn shell(script: &str, arguments: &[&Path]) {
    let mut command = Command::new("sh");
    run(command.args(["-c", script, "sh"]).args(arguments));
}

fn file_changed_after_the_open_keeps_its_type() {
    needs_bpf!();
    let dir = temp_dir();
    let material = Material::get();
    let path = |case: usize, round: usize| dir.path().join(format!("{case}-{round}.pem"));
    let key = dir.path().join("other.key");
    fs::write(&key, &material.key).unwrap();
    for case in 0..CASES.len() {
        (0..ROUNDS).for_each(|round| fs::write(path(case, round), &material.certificate).unwrap());
    }
    let files = format!("{}/*.pem", dir.path().display());
    let tracer = Tracer::monitor(["--extended", "--no-redact", "--file", &files]);
    for (at, case) in CASES.iter().enumerate() {
        // Five at a time: with more, heads would be late.
        for start in (0..ROUNDS).step_by(5) {
            let rounds: Vec<_> = (start..start + 5)
                .map(|round| {
                    let mut command = Command::new("sh");
                    command.args(["-c", case.script, "sh"]).arg(path(at, round)).arg(&key);
                    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
                    command.spawn().unwrap()
                })
                .collect();
            rounds
                .into_iter()
                .for_each(|mut child| assert!(child.wait().unwrap().success(), "{}", case.name));
        }
    }
    let ended = tracer.finish();
    for (at, case) in CASES.iter().enumerate() {
        let opens: Vec<_> = (0..ROUNDS)
            .map(|round| pair(opened(&ended.events, &path(at, round)).first().unwrap()))
            .collect();
        let accepted = opens.iter().filter(|open| case.accepted.contains(open)).count();
        // A late look can also fall between two commands, when the path has no file.
        let late = opens.iter().filter(|(_, head)| matches!(*head, "late" | "gone")).count();
        assert_eq!(accepted + late, ROUNDS, "{}: {opens:?}", case.name);
        assert!(accepted >= MIN_IN_TIME, "{}: {opens:?}", case.name);
    }
}

/// perl keeps the old file open until it has read it, and creates a new one with the same name.
fn perl_in_place_edit_has_the_right_types() {
    needs_bpf!();
    let dir = temp_dir();
    let path = |round: usize| dir.path().join(format!("{round}.pem"));
    (0..ROUNDS).for_each(|round| fs::write(path(round), &Material::get().certificate).unwrap());
    let tracer = Tracer::monitor(["--extended", "--no-redact"]);
    for round in 0..ROUNDS {
        run(Command::new("perl").args(["-pi", "-e", "s/a/a/"]).arg(path(round)));
    }
    let ended = tracer.finish();
    let (mut accepted, mut others) = (0, Vec::new());
    for round in 0..ROUNDS {
        let opens = opened(&ended.events, &path(round));
        // Since 5.28, perl creates a file with another name and renames it.
        let (first, made) = opens.split_first().unwrap();
        for made in made {
            assert_eq!(pair(made), ("unknown", "created"), "{}", made.line());
        }
        if RENEWED.contains(&pair(first)) { accepted += 1 } else { others.push(pair(first)) }
    }
    // After perl has closed the old file and before it writes the new one, the path has no content to read.
    assert!(accepted >= ROUNDS - 5, "{accepted} accepted, {others:?}");
}

fn created_or_truncated_file_has_no_content() {
    needs_bpf!();
    let dir = temp_dir();
    let material = Material::get();
    let at = |name: &str| dir.path().join(name);
    let (key, certificate) = (at("from.key"), at("from.crt"));
    fs::write(&key, &material.key).unwrap();
    fs::write(&certificate, &material.certificate).unwrap();
    let scripts = [
        ("redirect", "cat $2 >$1"),
        ("cp", "cp $2 $1"),
        ("install", "install -m 600 $2 $1"),
        ("tee", "cat $2 | tee $1"),
        ("dd", "dd if=$2 of=$1"),
        ("openssl", "openssl pkey -in $2 -out $1"),
        ("append", "cat $2 >>$1"),
        ("touch", "touch $1; cat $2 | dd of=$1 conv=notrunc"),
    ];
    let tracer = Tracer::monitor(["--extended", "--no-redact"]);
    for (name, script) in scripts {
        // A new file, and one with other content.
        fs::write(at(&format!("{name}-old.pem")), &material.certificate).unwrap();
        for kind in ["new", "old"] {
            shell(script, &[&at(&format!("{name}-{kind}.pem")), &key]);
        }
        shell(script, &[&at(&format!("{name}.key")), &certificate]);
        shell(script, &[&at(&format!("{name}.crt")), &key]);
    }
    let ended = tracer.finish();
    let created = ("unknown", "created");
    for (name, _) in scripts {
        let last_open = |name: String| {
            let opens = opened(&ended.events, &at(&name));
            let event = opens.last().map(|event| pair(event));
            event.unwrap_or_else(|| panic!("no open of {name}"))
        };
        let added = matches!(name, "append" | "touch");
        match name {
            // `touch` creates the file; `dd` opens the empty file, and its own writes do not count.
            "touch" => assert_eq!(last_open(format!("{name}-new.pem")), ("unknown", "read")),
            _ => assert_eq!(last_open(format!("{name}-new.pem")), created, "{name}"),
        }
        if !added {
            assert_eq!(last_open(format!("{name}-old.pem")), created, "{name}");
        }
        // For these names, the type does not depend on the content.
        assert_eq!(last_open(format!("{name}.key")), ("private_key", "not_needed"), "{name}");
        assert_eq!(last_open(format!("{name}.crt")), ("certificate", "not_needed"), "{name}");
    }
}

/// A recording contains the identity of the file whose head was read.
fn replay_repeats_the_types_of_changed_files() {
    needs_bpf!();
    let dir = temp_dir();
    let material = Material::get();
    let (key, recording) = (dir.path().join("other.key"), dir.path().join("run.rec"));
    fs::write(&key, &material.key).unwrap();
    let path = |round: usize| dir.path().join(format!("{round}.pem"));
    (0..ROUNDS).for_each(|round| fs::write(path(round), &material.certificate).unwrap());
    let files = format!("{}/*.pem", dir.path().display());
    let options = ["--extended", "--no-redact", "--file", &files];
    let tracer = Tracer::monitor(options.iter().chain(&["--record", recording.to_str().unwrap()]));
    for round in 0..ROUNDS {
        let script =
            ["cat $1; cp $2 $1.new; mv $1.new $1", "sed -i s/a/a/ $1", "cp $2 $1"][round % 3];
        shell(script, &[&path(round), &key]);
    }
    let live = tracer.finish().events;
    let heads: Vec<_> = live.iter().map(|event| event.text("head")).collect();
    assert!(heads.contains(&"replaced") && heads.contains(&"created"), "{heads:?}");
    let mut replay = Command::new(program());
    let replayed = output(replay.arg("replay").arg(&recording).args(options)).stdout;
    let replayed = String::from_utf8(replayed).unwrap();
    let replayed: Vec<&str> = replayed.lines().collect();
    let live: Vec<&str> = live.iter().map(Event::line).collect();
    assert_eq!(replayed, live);
}
