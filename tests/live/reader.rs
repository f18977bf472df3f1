//! What happens around the files that are looked into: paths that nobody can name whole, a reader that hangs, file
//! systems that never answer.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crypto_tracer_tests::{
    Event, Material, Tracer, actor, fuse_device, needs_bpf, output, program, run, temp_dir, until,
};

crypto_tracer_tests::tests![
    home_on_an_unreachable_mount_is_redacted,
    no_secret_reaches_a_plugin_or_a_recording,
    blocked_reader_is_replaced_and_its_opens_are_not_reported,
    only_the_user_who_blocks_readers_gets_no_heads,
    unresponsive_file_systems_delay_no_event,
];

/// `nobody` on every distribution.
const NOBODY: u32 = 65534;

/// Ends a process of ours, whatever state it is in.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn home_on_an_unreachable_mount_is_redacted() {
    needs_bpf!();
    let dir = temp_dir();
    // As `/home` is a mount of its own on many machines: a process that holds it open sees `/alice/key.pem`.
    let script =
        "mount -t tmpfs none \"$0\" && cd \"$0\" && mkdir alice && echo x >alice/key.pem &&
        umount -l \"$0\" && read go && exec 3<alice/key.pem && echo open && read end";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(dir.path());
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = Held(child);
    let pid = child.0.id();

    let redacted = Tracer::monitor(["--extended"]);
    let raw = Tracer::monitor(["--extended", "--no-redact"]);
    child.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "open\n");
    for (tracer, file) in [(redacted, "/…/key.pem"), (raw, "/alice/key.pem")] {
        let opened = |event: &Event| event.kind() == "file_open" && event.pid() == Some(pid);
        let event = tracer.wait_for("the open", opened);
        assert_eq!(event.text("file"), file);
        assert!(event.line().contains("\"unreachable\":true"), "{}", event.line());
        let ended = tracer.finish();
        let named = ended.events.iter().any(|event| event.line().contains("alice"));
        assert_eq!(named, file.contains("alice"));
    }
    // It holds the file open still.
    for (options, shown) in [(&[][..], "/…/key.pem"), (&["--no-redact"], "/alice/key.pem")] {
        let document = output(Command::new(program()).arg("snapshot").args(options)).stdout;
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        let processes = document["processes"].as_array().unwrap();
        let process = processes.iter().find(|process| process["pid"] == pid).unwrap();
        assert_eq!(process["open_crypto_files"], serde_json::json!([shown]));
    }
}

/// Runs a program that makes a key.
fn made(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = output(Command::new(program).args(arguments));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    output.stdout
}

/// Private keys and password files in every usual form. Of each, what must not be seen.
fn secrets(dir: &Path) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let openssl = |arguments: &[&str]| made("openssl", arguments);
    let key = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let rsa =
        key("rsa", &openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]));
    let curve = ["-pkeyopt", "ec_paramgen_curve:P-256"];
    let ec = key("ec", &openssl(&[&["genpkey", "-algorithm", "EC"], &curve[..]].concat()));
    let ed = key("ed", &openssl(&["genpkey", "-algorithm", "ED25519"]));
    let as_form = |file: &str, form: &str, more: &[&str]| {
        openssl(&[&["pkey", "-in", file, "-outform", form], more].concat())
    };
    let encrypted = ["-aes256", "-passout", "pass:tell-nobody"];
    let ssh = dir.join("ssh");
    let word = ["-q", "-t", "ed25519", "-N", "", "-f", ssh.to_str().unwrap()];
    made("ssh-keygen", &word);
    let text = |text: &str, secret: &str| (text.as_bytes().to_vec(), secret.as_bytes().to_vec());
    let base64 = "bm9ib2R5IG1heSBzZWUgdGhpcyBib2R5IG9mIGEga2V5IQ";
    let block = |label: &str| {
        text(
            &format!("-----BEGIN {label}-----\n\n{base64}\n=oLW2\n-----END {label}-----\n"),
            base64,
        )
    };
    // What follows the first line of PEM, and the later half of DER: what comes first there tells the algorithm.
    let body = |pem: Vec<u8>| {
        let at = |bytes: &[u8]| pem.windows(bytes.len()).position(|window| window == bytes);
        // Of the old encrypted form, headers and an empty line come before.
        let start = at(b"\n\n").map_or(at(b"\n").unwrap() + 1, |empty| empty + 2);
        let end = at(b"\n-----END ").unwrap();
        (pem.clone(), pem.get(start..end).unwrap().to_vec())
    };
    let half = |der: Vec<u8>| (der.clone(), der.get(der.len() / 2..).unwrap().to_vec());
    let forms = vec![
        ("rsa-pkcs1", body(as_form(&rsa, "PEM", &["-traditional"]))),
        ("rsa-pkcs8", body(fs::read(&rsa).unwrap())),
        ("rsa-encrypted", body(as_form(&rsa, "PEM", &encrypted))),
        ("rsa-legacy", body(as_form(&rsa, "PEM", &[&encrypted[..], &["-traditional"]].concat()))),
        ("ec-sec1", body(as_form(&ec, "PEM", &["-traditional"]))),
        ("ed25519", body(fs::read(&ed).unwrap())),
        ("openssh", body(fs::read(&ssh).unwrap())),
        ("rsa-der", half(as_form(&rsa, "DER", &["-traditional"]))),
        ("rsa-pkcs8-der", half(as_form(&rsa, "DER", &[]))),
        ("ec-sec1-der", half(as_form(&ec, "DER", &["-traditional"]))),
        ("ed25519-der", half(as_form(&ed, "DER", &[]))),
        (
            "encrypted-der",
            half(openssl(
                &[&["pkcs8", "-topk8", "-in", &rsa, "-outform", "DER"], &encrypted[1..]].concat(),
            )),
        ),
        ("pgp", block("PGP PRIVATE KEY BLOCK")),
        (
            "putty",
            text(
                &format!("PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{base64}\n"),
                base64,
            ),
        ),
        ("age", text(&format!("AGE-SECRET-KEY-1{base64}\n"), base64)),
        ("jwk", text(&format!("{{\"k\":\"{base64}\",\"kty\":\"oct\"}}"), base64)),
        (
            "shadow",
            text("root:$6$rounds$Wq0L5tZx9Yc1:19000:0:99999:7:::\n", "$6$rounds$Wq0L5tZx9Yc1"),
        ),
        ("htpasswd", text("a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "W6ph5Mm5Pz8GgiULbPgzG37mj9g=")),
        ("password", text("correct-horse-battery", "correct-horse-battery")),
    ];
    forms.into_iter().map(|(name, (file, secret))| (name, file, secret)).collect()
}

/// A plugin gets what the reader answers, and that is what a recording keeps.
fn no_secret_reaches_a_plugin_or_a_recording() {
    needs_bpf!();
    let dir = temp_dir();
    let recording = dir.path().join("run.rec");
    let secrets = secrets(dir.path());
    let certificate = &Material::get().certificate;
    // The ending for which the classifier asks for the beginning, whatever is in the file.
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(format!("{name}.pem"));
        fs::write(&path, bytes).unwrap();
        path
    };
    let tracer = Tracer::monitor(["--extended", "--record", recording.to_str().unwrap()]);
    let both = [certificate, &secrets[0].1[..]].concat();
    assert_eq!(opened(&tracer, &write("certificate-and-key", &both)), pair("certificate", "read"));
    for (name, file, _) in &secrets {
        assert_eq!(opened(&tracer, &write(name, file)).1, "read", "{name}");
    }
    tracer.finish();
    let recorded = fs::read(&recording).unwrap();
    let holds = |part: &[u8]| recorded.windows(part.len()).any(|window| window == part);
    let line = certificate.split(|&byte| byte == b'\n').nth(1).unwrap();
    assert!(holds(line), "what is public is there");
    let windows: std::collections::HashSet<&[u8]> = recorded.windows(8).collect();
    for (name, _, secret) in &secrets {
        assert!(secret.len() >= 16, "{name}");
        let seen = secret.windows(8).find(|part| windows.contains(part));
        assert_eq!(seen, None, "{name}: {:?}", seen.map(String::from_utf8_lossy));
    }
}

/// A stopped process is ended with the test.
struct Stopped(u32);

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, libc::SIGKILL);
    }
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: no memory is involved; the process is a child of a tracer of ours.
    unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) };
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// The reader is the only child of the process that makes readers, the tracer's only child.
fn readers(tracer: &Tracer) -> Vec<u32> {
    children(tracer.pid()).into_iter().flat_map(children).collect()
}

/// What is told of a file that `cat` opens.
fn opened(tracer: &Tracer, file: &Path) -> (String, String) {
    let pid = run(Command::new("cat").arg(file));
    let events = tracer.all_of(pid);
    let open = events.iter().find(|event| event.kind() == "file_open").unwrap();
    (open.text("file_type").to_owned(), open.text("head").to_owned())
}

fn pair(file_type: &str, head: &str) -> (String, String) {
    (file_type.to_owned(), head.to_owned())
}

fn blocked_reader_is_replaced_and_its_opens_are_not_reported() {
    needs_bpf!();
    let dir = temp_dir();
    let file = |name: &str| {
        let path = dir.path().join(name);
        fs::write(&path, &Material::get().certificate).unwrap();
        path
    };
    let tracer = Tracer::monitor(["--extended"]);
    assert_eq!(opened(&tracer, &file("before.pem")), pair("certificate", "read"));
    let first = readers(&tracer);
    let [reader] = first[..] else { unreachable!("one reader: {first:?}") };
    signal(reader, libc::SIGSTOP);
    let _stopped = Stopped(reader);
    assert_eq!(opened(&tracer, &file("meanwhile.pem")), pair("unknown", "late"));
    until("another reader that answers", || {
        (opened(&tracer, &file("meanwhile.pem")) == pair("certificate", "read")).then_some(())
    });
    let other = until("the one that hung to be gone", || match readers(&tracer)[..] {
        [other] => (other != reader).then_some(other),
        _ => None,
    });
    for n in 0..10 {
        assert_eq!(opened(&tracer, &file(&format!("{n}.pem"))), pair("certificate", "read"));
    }
    let ended = tracer.finish();
    assert!(ended.said.iter().any(|line| line.contains("was replaced")), "{:?}", ended.said);
    let own: Vec<_> = ended.events.iter().filter(|event| event.pid() == Some(other)).collect();
    assert!(own.is_empty(), "the tracer's own opens: {own:?}");
}

/// Whose files made readers hang twice has no beginnings read for a while; everybody else has.
fn only_the_user_who_blocks_readers_gets_no_heads() {
    needs_bpf!();
    let dir = temp_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // All are made before: to make one is an open too, root's, and what was found out by it would be remembered.
    let files =
        ["before", "first", "roots-first", "second", "roots-second", "third", "roots-third"];
    let file = |name: &str| dir.path().join(name).with_extension("pem");
    for name in files {
        fs::write(file(name), &Material::get().certificate).unwrap();
    }
    // Nobody else's files: what others do at the time would hang as well.
    let ours = format!("{}/*", dir.path().display());
    let tracer = Tracer::monitor(["--extended", "--file", &ours]);
    let opened_by = |user: u32, name: &str| {
        let pid = run(Command::new("cat").arg(file(name)).uid(user).gid(user));
        let opened = |event: &Event| event.kind() == "file_open" && event.pid() == Some(pid);
        tracer.wait_for("the open", opened).text("head").to_owned()
    };
    // One that came in time is owed no more, nor is any before it.
    let read_for = |user: u32, name: &str| {
        until("a reader that answers", || (opened_by(user, name) == "read").then_some(()));
    };
    let hung = || {
        let said = tracer.said();
        said.iter().filter(|line| line.contains("hung at a file of user 65534")).count()
    };
    read_for(NOBODY, "before");
    let mut hung_before = None;
    for (times, theirs, roots) in [(1, "first", "roots-first"), (2, "second", "roots-second")] {
        // One that was killed may take its time.
        let reader = until("one reader", || match readers(&tracer)[..] {
            [reader] => (hung_before != Some(reader)).then_some(reader),
            _ => None,
        });
        hung_before = Some(reader);
        signal(reader, libc::SIGSTOP);
        let _stopped = Stopped(reader);
        assert_eq!(opened_by(NOBODY, theirs), "late");
        // Root's file is read by another reader, once there is one.
        read_for(0, roots);
        assert_eq!(hung(), times, "{:?}", tracer.said());
    }
    assert_eq!(opened_by(NOBODY, "third"), "late");
    read_for(0, "roots-third");
    assert_eq!(hung(), 2, "{:?}", tracer.said());
    tracer.finish();
}

fn unresponsive_file_systems_delay_no_event() {
    needs_bpf!();
    let dir = temp_dir();
    let device = fuse_device(dir.path());
    let usual = dir.path().join("usual.pem");
    fs::write(&usual, &Material::get().certificate).unwrap();

    let tracer = Tracer::monitor(["--extended"]);
    let reader = readers(&tracer);
    let mut hanging = Vec::new();
    // What is mounted over a file in it can be reached through the descriptor alone.
    for (mode, name, head) in [
        ("user", "hang.pem", "remote"),
        ("overlay", "hang.pem", "remote"),
        ("root", "hang.pem", "remote"),
        ("bind", "hang.pem", "read"),
        ("through", "hang.pem", "denied"),
        ("before", "wanted.pem", "created"),
    ] {
        let below = dir.path().join(mode);
        fs::create_dir(&below).unwrap();
        std::os::unix::fs::chown(&below, Some(NOBODY), Some(NOBODY)).unwrap();
        let user = if matches!(mode, "root" | "through") { "0" } else { "65534" };
        let mut actor = actor!["as", user, "fuse", mode, &device, &below];
        actor.go();
        let pid = actor.pid();
        let event = tracer.wait_for(&format!("the open of {mode}"), |event| {
            event.pid() == Some(pid)
                && (event.kind() == "process_exit" || event.text("file").contains(name))
        });
        assert_eq!(event.text("head"), head, "{mode}: {}", event.line());
        assert_eq!(event.text("file_type"), "unknown", "{}", event.line());
        // What comes behind it is not held up: its head came in time.
        let another = dir.path().join(format!("behind-{mode}.pem"));
        fs::copy(&usual, &another).unwrap();
        assert_eq!(opened(&tracer, &another), pair("certificate", "read"), "{mode}");
        hanging.push(actor);
    }
    assert_eq!(readers(&tracer), reader, "no reader hung");
    // All of them hang still.
    let ended = tracer.finish();
    assert!(!ended.said.iter().any(|line| line.contains("reader hung")), "{:?}", ended.said);
    drop(hanging);
}
