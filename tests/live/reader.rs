//! Reading of heads: unreachable paths, secrets in files, a blocked reader, file systems that never answer.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::documents::unresponsive::blocked_in_exec;
use crypto_tracer_tests::{
    Event, Material, NOBODY_UID, Tracer, actor, fuse_device, needs_bpf, output, program, run, skip,
    temp_dir, until,
};

crypto_tracer_tests::tests![
    home_on_an_unreachable_mount_is_redacted,
    no_secret_reaches_a_plugin_or_a_recording,
    blocked_reader_is_replaced_and_its_opens_are_not_reported,
    only_the_user_who_blocks_readers_gets_no_heads,
    end_of_the_reader_and_of_the_spawner_is_reported_once,
    unresponsive_file_systems_delay_no_event,
];

/// A child that is killed when the value is dropped.
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
    // `/home` is a separate mount on many machines. After it is unmounted, the path of an open file is
    // `/alice/key.pem`.
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
    // The process still has the file open.
    for (options, shown) in [(&[][..], "/…/key.pem"), (&["--no-redact"], "/alice/key.pem")] {
        let document = output(Command::new(program()).arg("snapshot").args(options)).stdout;
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        let processes = document["processes"].as_array().unwrap();
        let process = processes.iter().find(|process| process["pid"] == pid).unwrap();
        assert_eq!(process["open_crypto_files"], serde_json::json!([shown]));
    }
}

/// Runs a program that generates a key, and returns its output.
fn generate(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = output(Command::new(program).args(arguments));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    output.stdout
}

/// Returns private keys and password files in all common formats: name, content, and the part that must stay secret.
fn secrets(dir: &Path) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let openssl = |arguments: &[&str]| generate("openssl", arguments);
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
    let encrypted = ["-aes256", "-passout", "pass:not-a-secret"];
    let ssh = dir.join("ssh");
    let word = ["-q", "-t", "ed25519", "-N", "", "-f", ssh.to_str().unwrap()];
    generate("ssh-keygen", &word);
    let text = |text: &str, secret: &str| (text.as_bytes().to_vec(), secret.as_bytes().to_vec());
    let base64 = "bm9ib2R5IG1heSBzZWUgdGhpcyBib2R5IG9mIGEga2V5IQ";
    let block = |label: &str| {
        text(
            &format!("-----BEGIN {label}-----\n\n{base64}\n=oLW2\n-----END {label}-----\n"),
            base64,
        )
    };
    // The secret of PEM is its body. The secret of DER is its second half, because the first half names the algorithm.
    let body = |pem: Vec<u8>| {
        let at = |bytes: &[u8]| pem.windows(bytes.len()).position(|window| window == bytes);
        // In the traditional encrypted format, headers and an empty line precede the body.
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

/// A recording contains the heads as plugins get them.
fn no_secret_reaches_a_plugin_or_a_recording() {
    needs_bpf!();
    let dir = temp_dir();
    let recording = dir.path().join("run.rec");
    let secrets = secrets(dir.path());
    let certificate = &Material::get().certificate;
    // The classifier reads the head of every `.pem` file, whatever its content.
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(format!("{name}.pem"));
        fs::write(&path, bytes).unwrap();
        path
    };
    let tracer = Tracer::monitor(["--extended", "--record", recording.to_str().unwrap()]);
    let both = [certificate, &secrets[0].1[..]].concat();
    assert_eq!(
        open_with_cat(&tracer, &write("certificate-and-key", &both)),
        pair("certificate", "read")
    );
    for (name, file, _) in &secrets {
        assert_eq!(open_with_cat(&tracer, &write(name, file)).1, "read", "{name}");
    }
    tracer.finish();
    let recorded = fs::read(&recording).unwrap();
    let holds = |part: &[u8]| recorded.windows(part.len()).any(|window| window == part);
    let line = certificate.split(|&byte| byte == b'\n').nth(1).unwrap();
    assert!(holds(line), "the certificate is not in the recording");
    let windows: std::collections::HashSet<&[u8]> = recorded.windows(8).collect();
    for (name, _, secret) in &secrets {
        assert!(secret.len() >= 16, "{name}");
        let seen = secret.windows(8).find(|part| windows.contains(part));
        assert_eq!(seen, None, "{name}: {:?}", seen.map(String::from_utf8_lossy));
    }
}

/// A stopped process that is killed when the value is dropped.
struct Stopped(u32);

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, libc::SIGKILL);
    }
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) };
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Returns the reader processes. The spawner is the tracer's only child, and the reader is the spawner's only child.
fn readers(tracer: &Tracer) -> Vec<u32> {
    children(tracer.pid()).into_iter().flat_map(children).collect()
}

/// Opens a file with `cat` and returns its `file_type` and `head`.
fn open_with_cat(tracer: &Tracer, file: &Path) -> (String, String) {
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
    assert_eq!(open_with_cat(&tracer, &file("before.pem")), pair("certificate", "read"));
    let first = readers(&tracer);
    let [reader] = first[..] else { unreachable!("one reader: {first:?}") };
    signal(reader, libc::SIGSTOP);
    let _stopped = Stopped(reader);
    assert_eq!(open_with_cat(&tracer, &file("meanwhile.pem")), pair("unknown", "late"));
    until("a new reader that answers", || {
        (open_with_cat(&tracer, &file("meanwhile.pem")) == pair("certificate", "read"))
            .then_some(())
    });
    let other = until("the end of the blocked reader", || match readers(&tracer)[..] {
        [other] => (other != reader).then_some(other),
        _ => None,
    });
    for n in 0..10 {
        assert_eq!(open_with_cat(&tracer, &file(&format!("{n}.pem"))), pair("certificate", "read"));
    }
    let ended = tracer.finish();
    assert!(ended.said.iter().any(|line| line.contains("was replaced")), "{:?}", ended.said);
    let own: Vec<_> = ended.events.iter().filter(|event| event.pid() == Some(other)).collect();
    assert!(own.is_empty(), "opens of the tracer's own reader: {own:?}");
}

/// After a user's processes have blocked two threads of the reader for a second, no heads are read for this user for a
/// while. Other users are not affected, and the reader goes on.
fn only_the_user_who_blocks_readers_gets_no_heads() {
    needs_bpf!();
    let dir = temp_dir();
    let device = fuse_device(dir.path());
    // All files are created before the start: root's open at the creation would put a verdict into the cache.
    let file = |name: String| {
        let path = dir.path().join(name).with_extension("pem");
        fs::write(&path, &Material::get().certificate).unwrap();
        path
    };
    let many = |user: &str| (0..200).map(|n| file(format!("{user}-{n}"))).collect::<Vec<_>>();
    let (theirs, roots, blocking) = (many("user"), many("root"), many("blocking"));
    // Only the files of this test: opens of other processes would block too.
    let glob = format!("{}/*", dir.path().display());
    let tracer = Tracer::monitor(["--extended", "--file", &glob]);
    let head = |pid: u32| {
        let opened = |event: &Event| event.kind() == "file_open" && event.pid() == Some(pid);
        tracer.wait_for("the open", opened).text("head").to_owned()
    };
    let opened_by =
        |user: u32, path: &Path| head(run(Command::new("cat").arg(path).uid(user).gid(user)));
    assert_eq!(opened_by(NOBODY_UID, &theirs[0]), "read");
    // The tracer inspects the processes only when they are already in `execve`.
    tracer.signal(libc::SIGSTOP);
    let actors =
        [0, 1].map(|n| blocked_in_exec(&device, &dir.path().join(n.to_string()), &blocking[n]));
    tracer.signal(libc::SIGCONT);
    let heads = [head(actors[0].1), head(actors[1].1)];
    if heads.iter().any(|head| head != "late") {
        skip("on this kernel, a process in execve does not block accesses to it");
    }
    let mut next = theirs.iter().zip(&roots).skip(1);
    until("no heads for this user", || {
        let (theirs, roots) = next.next().unwrap();
        assert_eq!(opened_by(0, roots), "read");
        (opened_by(NOBODY_UID, theirs) == "late").then_some(())
    });
    assert_eq!(opened_by(0, &roots[199]), "read");
    let said = tracer.finish().said;
    assert!(!said.iter().any(|line| line.contains("was replaced")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("user 65534")), "{said:?}");
}

/// No user is blamed, and the message is not repeated with each event.
fn end_of_the_reader_and_of_the_spawner_is_reported_once() {
    needs_bpf!();
    let dir = temp_dir();
    let mut files = (0..).map(|n| {
        let path = dir.path().join(format!("{n}.pem"));
        fs::write(&path, &Material::get().certificate).unwrap();
        path
    });
    let mut next = || files.next().unwrap();
    let tracer = Tracer::monitor(["--extended"]);
    assert_eq!(open_with_cat(&tracer, &next()), pair("certificate", "read"));
    let [spawner] = children(tracer.pid())[..] else { unreachable!("one spawner") };
    let [reader] = readers(&tracer)[..] else { unreachable!("one reader") };
    let said = |text: &str| tracer.said().iter().filter(|line| line.contains(text)).count();
    signal(reader, libc::SIGKILL);
    until("a new reader", || {
        (open_with_cat(&tracer, &next()) == pair("certificate", "read")).then_some(())
    });
    assert_eq!(said("the reader process ended and was replaced"), 1, "{:?}", tracer.said());
    let [reader] = readers(&tracer)[..] else { unreachable!("one reader") };
    signal(spawner, libc::SIGKILL);
    signal(reader, libc::SIGKILL);
    until("the report", || {
        open_with_cat(&tracer, &next());
        (said("no more file heads are read") > 0).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(open_with_cat(&tracer, &next()), pair("unknown", "late"));
    }
    assert_eq!(said("no more file heads are read"), 1, "{:?}", tracer.said());
    assert_eq!(said("was replaced"), 1, "{:?}", tracer.said());
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
    let mut actors = Vec::new();
    // A file that is mounted over a file of such a file system can be reached only through the descriptor.
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
        std::os::unix::fs::chown(&below, Some(NOBODY_UID), Some(NOBODY_UID)).unwrap();
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
        // The head of a later file is read in time.
        let another = dir.path().join(format!("after-{mode}.pem"));
        fs::copy(&usual, &another).unwrap();
        assert_eq!(open_with_cat(&tracer, &another), pair("certificate", "read"), "{mode}");
        actors.push(actor);
    }
    assert_eq!(readers(&tracer), reader, "a reader was replaced");
    // All actors are still running.
    let ended = tracer.finish();
    assert!(
        !ended.said.iter().any(|line| line.contains("reader process blocked")),
        "{:?}",
        ended.said
    );
    drop(actors);
}
