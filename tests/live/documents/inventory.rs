//! `inventory record`: which programs used which libraries and files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crypto_tracer_tests::schema::check_document;
use crypto_tracer_tests::{
    Ended, Material, Tracer, actor, is_installed, needs_bpf, needs_program, output, program, run,
    temp_dir, until,
};
use serde_json::Value;

crypto_tracer_tests::tests![
    uses_before_and_during_the_window_are_listed,
    counts_are_those_of_the_opens,
    a_replay_gives_the_same_uses,
    a_stream_gives_the_same_uses,
    the_document_is_rewritten_meanwhile,
    filters_apply_to_earlier_uses_too,
    monitor_prints_what_the_baseline_does_not_have,
    real_programs_are_recorded_completely,
];

/// Starts `inventory record` with output in `path`.
fn record(path: &Path, options: &[&str]) -> Tracer {
    let path = path.to_str().unwrap();
    let fixed = ["record", "--output", path, "--format", "json-stream"];
    Tracer::command("inventory", fixed.iter().chain(options))
}

fn read(path: &Path) -> Value {
    let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    check_document("inventory", &document);
    document
}

/// Ends the run and returns its document.
fn finish(tracer: Tracer, path: &Path) -> Value {
    tracer.finish();
    read(path)
}

/// The entry of `list` whose `field` ends with `text`.
fn entry<'a>(document: &'a Value, list: &str, field: &str, text: &str) -> &'a Value {
    let entries = document[list].as_array().unwrap();
    let is_it = |entry: &&Value| entry[field].as_str().is_some_and(|value| value.ends_with(text));
    let found: Vec<&Value> = entries.iter().filter(is_it).collect();
    let [entry] = found.as_slice() else { panic!("{} {text} in {document:#}", found.len()) };
    entry
}

/// The use of the target whose path ends with `path` by the program whose executable ends with `exe`.
fn used<'a>(document: &'a Value, exe: &str, list: &str, path: &str) -> &'a Value {
    let program = &entry(document, "programs", "exe", exe)["id"];
    let target = &entry(document, list, "path", path)["id"];
    let uses = document["uses"].as_array().unwrap();
    let is_it = |it: &&Value| it["program"] == *program && it["target"] == *target;
    uses.iter().find(is_it).unwrap_or_else(|| panic!("{exe} {path}: {document:#}"))
}

/// Copies a program under another name, so that other processes of the machine do not count.
fn copy_of(program: &str, dir: &Path, name: &str) -> PathBuf {
    let from = String::from_utf8(output(Command::new("which").arg(program)).stdout).unwrap();
    let path = dir.join(name);
    fs::copy(fs::canonicalize(from.trim()).unwrap(), &path).unwrap();
    path
}

fn uses_before_and_during_the_window_are_listed() {
    needs_bpf!();
    let dir = temp_dir();
    let key = dir.path().join("held.key");
    fs::write(&key, &Material::get().key).unwrap();
    let openssl = copy_of("openssl", dir.path(), "ct-openssl");
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 7<\"$0\"; exec \"$1\" enc -aes-128-cbc -k x"])
        .arg(&key)
        .arg(&openssl);
    let mut before =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let maps = format!("/proc/{}/maps", before.id());
    until("libcrypto", || fs::read_to_string(&maps).ok().filter(|it| it.contains("libcrypto")));
    let certificate = dir.path().join("c.pem");
    fs::write(&certificate, &Material::get().certificate).unwrap();
    let out = dir.path().join("out.json");
    let tracer = record(&out, &[]);
    run(Command::new(&openssl).args(["x509", "-noout", "-in"]).arg(&certificate));
    // On a loaded machine, the head of a single open may be late.
    for _ in 0..5 {
        fs::read(&certificate).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(before.stdin.take());
    before.wait().unwrap();
    let document = finish(tracer, &out);

    assert_eq!(document["inventory_version"], "1.0");
    let host = &document["host"];
    assert!(host["hostname"].is_string() && host["kernel"].is_string(), "{host}");
    let program = entry(&document, "programs", "exe", "/ct-openssl");
    assert_eq!((&program["name"], &program["processes"]), (&"ct-openssl".into(), &2.into()));
    assert_eq!((&program["users"][0], &program["first_seen"]), (&"root".into(), &Value::Null));
    let libcrypto = used(&document, "/ct-openssl", "libraries", "/libcrypto.so.3");
    assert_eq!((&libcrypto["count"], &libcrypto["first"]), (&1.into(), &Value::Null));
    assert_eq!(libcrypto["modes"], serde_json::json!(["load"]));
    let held = used(&document, "/ct-openssl", "files", "/held.key");
    assert_eq!((&held["count"], &held["last"]), (&0.into(), &Value::Null));
    let read = used(&document, "/ct-openssl", "files", "/c.pem");
    assert_eq!((&read["count"], &read["modes"]), (&1.into(), &serde_json::json!(["read"])));
    assert_eq!(read["first"], read["last"]);
    let file = entry(&document, "files", "path", "/c.pem");
    assert_eq!((&file["type"], &file["first_seen"]), (&"certificate".into(), &read["first"]));
    let library = entry(&document, "libraries", "path", "/libcrypto.so.3");
    let version = String::from_utf8(output(Command::new("openssl").arg("version")).stdout).unwrap();
    let version = version.split(' ').nth(1).unwrap();
    assert_eq!((&library["name"], &library["version"]), (&"libcrypto".into(), &version.into()));
    let coverage = &document["coverage"];
    assert_eq!(coverage["events_lost"], 0);
    assert!(!coverage["probes"].as_array().unwrap().is_empty());
    let window = &document["window"];
    assert!(window["from"].as_str() < read["first"].as_str());
    assert!(read["last"].as_str() < window["to"].as_str());
}

fn counts_are_those_of_the_opens() {
    needs_bpf!();
    let dir = temp_dir();
    let out = dir.path().join("out.json");
    let paths: Vec<PathBuf> =
        (1..=5).map(|number| dir.path().join(format!("counted-{number}.key"))).collect();
    let actors: Vec<_> = paths
        .iter()
        .zip(["10", "20", "30", "40", "50"])
        .map(|(path, count)| {
            fs::write(path, &Material::get().key).unwrap();
            actor!["open", count, path]
        })
        .collect();
    let tracer = record(&out, &[]);
    actors.into_iter().for_each(|actor| drop(actor.end()));
    let document = finish(tracer, &out);
    let counts: Vec<u64> = (1..=5)
        .map(|number| {
            let path = format!("/counted-{number}.key");
            used(&document, "/actor", "files", &path)["count"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(counts, [10, 20, 30, 40, 50]);
    let actor = entry(&document, "programs", "exe", "/actor");
    assert_eq!(actor["processes"], 5);
    assert_eq!(document["coverage"]["not_listed"]["events"], 0);
}

/// The uses in the window, without what only a live run knows.
fn in_window(document: &Value) -> BTreeMap<(String, String), Value> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let uses = document["uses"].as_array().unwrap().iter();
    let counted = uses.filter(|it| it["count"].as_u64() > Some(0));
    counted
        .map(|it| {
            let mut fields = it.clone();
            fields.as_object_mut().unwrap().retain(|name, _| ["count", "last"].contains(&&**name));
            ((text(&it["program"]), text(&it["target"])), fields)
        })
        .collect()
}

/// Uses some files and libraries while `tracer` runs, and waits until the last one is in `live`.
fn use_files(dir: &Path) {
    for (name, content) in
        [("a.crt", &Material::get().certificate), ("b.key", &Material::get().key)]
    {
        let path = dir.join(name);
        fs::write(&path, content).unwrap();
        run(Command::new("cat").arg(&path));
        run(Command::new("cat").arg(&path));
    }
    run(Command::new("openssl").arg("version"));
}

fn from(file: &Path, options: &[&str]) -> Value {
    let mut command = Command::new(program());
    command.args(["inventory", "record", "--format", "json-stream", "--from"]).arg(file);
    let printed = output(command.args(options));
    let said = String::from_utf8_lossy(&printed.stderr);
    assert_eq!(printed.status.code(), Some(0), "{said}");
    let document = serde_json::from_slice(&printed.stdout).unwrap();
    check_document("inventory", &document);
    document
}

fn a_replay_gives_the_same_uses() {
    needs_bpf!();
    let dir = temp_dir();
    let [out, recording] = ["out.json", "run.rec"].map(|name| dir.path().join(name));
    let tracer = record(&out, &["--record", recording.to_str().unwrap()]);
    use_files(dir.path());
    let live = finish(tracer, &out);
    let replayed = from(&recording, &[]);
    assert!(in_window(&live).len() > 4, "{live:#}");
    assert_eq!(in_window(&live), in_window(&replayed));
    let twice = from(&recording, &[]);
    let without_time = |mut document: Value| {
        document["generated_at"] = Value::Null;
        document
    };
    assert_eq!(without_time(replayed), without_time(twice));
}

fn a_stream_gives_the_same_uses() {
    needs_bpf!();
    let dir = temp_dir();
    let [events, recording] = ["events.json", "run.rec"].map(|name| dir.path().join(name));
    let options = ["--extended", "--record", recording.to_str().unwrap()];
    let tracer = Tracer::monitor(options.iter().chain(&["--output", events.to_str().unwrap()]));
    use_files(dir.path());
    tracer.finish();
    let streamed = from(&events, &[]);
    assert!(in_window(&streamed).len() > 4, "{streamed:#}");
    assert_eq!(in_window(&streamed), in_window(&from(&recording, &[])));
    let openssl = from(&events, &["--name", "openssl"]);
    assert!(openssl["programs"].as_array().unwrap().iter().all(|it| it["name"] == "openssl"));
}

fn the_document_is_rewritten_meanwhile() {
    needs_bpf!();
    let dir = temp_dir();
    let out = dir.path().join("out.json");
    let tracer = record(&out, &["--every", "1s"]);
    for name in ["first.key", "second.key"] {
        let path = dir.path().join(name);
        fs::write(&path, &Material::get().key).unwrap();
        run(Command::new("cat").arg(&path));
        until("the document with the file", || {
            let document: Value = serde_json::from_slice(&fs::read(&out).ok()?).unwrap();
            let files = document["files"].as_array()?;
            files.iter().find(|it| it["path"] == path.to_str().unwrap()).map(|_| ())
        });
    }
    let document = finish(tracer, &out);
    used(&document, "/cat", "files", "/first.key");
    let left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "temporary files remain: {left:?}");
}

fn filters_apply_to_earlier_uses_too() {
    needs_bpf!();
    let dir = temp_dir();
    let out = dir.path().join("out.json");
    let path = dir.path().join("a.key");
    fs::write(&path, &Material::get().key).unwrap();
    let cat = copy_of("cat", dir.path(), "ct-filtered");
    let tracer = record(&out, &["--name", "ct-filtered"]);
    run(Command::new("cat").arg(&path));
    run(Command::new(&cat).arg(&path));
    let document = finish(tracer, &out);
    let programs = document["programs"].as_array().unwrap();
    assert_eq!(programs.len(), 1, "{document:#}");
    assert_eq!(used(&document, "/ct-filtered", "files", "/a.key")["count"], 1);
}

fn monitor_prints_what_the_baseline_does_not_have() {
    needs_bpf!();
    let dir = temp_dir();
    let out = dir.path().join("out.json");
    let [known, new] = ["known.key", "new.key"].map(|name| dir.path().join(name));
    for path in [&known, &new] {
        fs::write(path, &Material::get().key).unwrap();
    }
    let [cat, other] = ["ct-known", "ct-other"].map(|name| copy_of("cat", dir.path(), name));
    let tracer = record(&out, &[]);
    run(Command::new(&cat).arg(&known));
    finish(tracer, &out);
    let tracer = Tracer::monitor(["--baseline", out.to_str().unwrap()]);
    run(Command::new(&cat).arg(&known));
    run(Command::new(&other).arg(&known));
    let last = run(Command::new(&cat).arg(&new));
    tracer.wait_for("the last open", |event| event.pid() == Some(last));
    let ended: Ended = tracer.finish();
    let of_test =
        |event: &&crypto_tracer_tests::Event| event.line().contains(dir.path().to_str().unwrap());
    let printed: Vec<(&str, Value)> = ended
        .events
        .iter()
        .filter(of_test)
        .map(|event| (event.kind(), serde_json::from_str(event.line()).unwrap()))
        .collect();
    let printed: Vec<_> =
        printed.iter().map(|(kind, it)| (*kind, &it["process"], &it["file"])).collect();
    let expected =
        |process: &str, path: &Path| (process.to_owned(), path.to_str().unwrap().to_owned());
    let printed: Vec<_> = printed
        .into_iter()
        .map(|(kind, process, file)| {
            assert_eq!(kind, "file_open");
            (process.as_str().unwrap().to_owned(), file.as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(printed, [expected("ct-other", &known), expected("ct-known", &new)]);
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Starts a server and waits until it accepts connections.
fn serve(command: &mut Command, port: u16) -> Server {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(command.spawn().unwrap());
    until("the server to listen", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
    server
}

/// Runs a client to its end with an empty line as its input.
fn connect(command: &mut Command) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let _ = child.stdin.take().unwrap().write_all(b"Q\n");
    let mut printed = Vec::new();
    let _ = child.stdout.take().unwrap().read_to_end(&mut printed);
    child.wait().unwrap();
}

/// Number of opens by executable and file, or of loads by executable and library.
type Counts = BTreeMap<(String, String), u64>;

/// Programs under strace, a judge that shares no code with the tracer.
#[derive(Default)]
struct Judge {
    traces: Vec<PathBuf>,
}

impl Judge {
    fn command(&mut self, dir: &Path, name: &str) -> Command {
        let trace = dir.join(format!("strace.{}", self.traces.len()));
        let mut command = Command::new("strace");
        let calls = "trace=execve,clone,clone3,fork,vfork,open,openat,openat2";
        command.args(["-f", "-y", "-qq", "-e", calls, "-e", "signal=none", "-o"]);
        command.arg(&trace).arg(name);
        self.traces.push(trace);
        command
    }

    /// Returns the opens of crypto files, and of crypto libraries.
    fn opens(&self) -> (Counts, Counts) {
        let (mut files, mut libraries) = (Counts::new(), Counts::new());
        for trace in &self.traces {
            let mut programs: BTreeMap<String, String> = BTreeMap::new();
            for line in fs::read_to_string(trace).unwrap().lines() {
                let (pid, call) = line.split_once(' ').unwrap();
                let call = call.trim_start();
                let program = programs.get(pid).cloned().unwrap_or_default();
                let result = call.rsplit(" = ").next().unwrap_or_default();
                if call.contains("execve") && result == "0" {
                    if let Some(path) = call.split('"').nth(1) {
                        let path = fs::canonicalize(path).unwrap().display().to_string();
                        programs.insert(pid.to_owned(), path);
                    }
                } else if ["clone", "fork"].iter().any(|name| call.contains(name)) {
                    programs.insert(result.to_owned(), program);
                } else if let Some((_, path)) = result.trim_end_matches('>').split_once('<') {
                    let path = unescaped(path);
                    let name = path.rsplit('/').next().unwrap();
                    let counts = match () {
                        () if is_crypto_file(name) => &mut files,
                        () if is_crypto_library(name) => &mut libraries,
                        () => continue,
                    };
                    *counts.entry((program, path.clone())).or_default() += 1;
                }
            }
        }
        (files, libraries)
    }
}

/// Decodes the octal escapes of strace.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped.filter(|_| first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_crypto_file(name: &str) -> bool {
    let suffixes = [".pem", ".crt", ".key", ".p12", ".jks", ".pub"];
    suffixes.iter().any(|suffix| name.ends_with(suffix))
        || ["id_ed25519", "cacerts"].contains(&name)
}

fn is_crypto_library(name: &str) -> bool {
    let names = ["libssl", "libcrypto", "libgnutls", "libnettle", "libhogweed", "libgcrypt"];
    names.contains(&name.split(".so").next().unwrap()) && name.contains(".so")
}

/// The same from the document: the uses by programs that the judge knows.
fn recorded(document: &Value, list: &str, programs: &[&str]) -> Counts {
    let by_id = |list: &str, field: &str| -> BTreeMap<String, String> {
        let entries = document[list].as_array().unwrap().iter();
        entries
            .filter_map(|it| Some((it["id"].as_str()?.to_owned(), it[field].as_str()?.to_owned())))
            .collect()
    };
    let (names, targets) = (by_id("programs", "exe"), by_id(list, "path"));
    let mut counts = Counts::new();
    for it in document["uses"].as_array().unwrap() {
        let program = names.get(it["program"].as_str().unwrap());
        let target = targets.get(it["target"].as_str().unwrap());
        let (Some(program), Some(target)) = (program, target) else { continue };
        let name = target.rsplit('/').next().unwrap();
        let is_judged = is_crypto_file(name) || is_crypto_library(name);
        if is_judged && programs.contains(&program.as_str()) {
            counts.insert((program.clone(), target.clone()), it["count"].as_u64().unwrap());
        }
    }
    counts
}

/// Recall and precision are 100 %: what the programs opened by the judgement of strace, and nothing else, is in the
/// inventory, as often.
fn real_programs_are_recorded_completely() {
    needs_bpf!();
    needs_program("openssl");
    needs_program("strace");
    let dir = temp_dir();
    let dir = dir.path();
    let out = dir.join("out.json");
    let mut judge = Judge::default();
    let tracer = record(&out, &[]);
    run_servers_and_clients(dir, &mut judge);
    run_tools(dir, &mut judge);
    let document = finish(tracer, &out);
    assert_eq!(document["coverage"]["events_lost"], 0, "{}", document["coverage"]);
    let (files, libraries) = judge.opens();
    let mut programs: Vec<&str> =
        files.keys().chain(libraries.keys()).map(|(program, _)| program.as_str()).collect();
    programs.sort_unstable();
    programs.dedup();
    assert!(programs.len() >= 2 && files.len() >= 5, "{programs:?} {files:#?}");
    let found = recorded(&document, "files", &programs);
    assert_eq!(found, files);
    assert_eq!(found.values().sum::<u64>(), files.values().sum::<u64>());
    let loaded = recorded(&document, "libraries", &programs);
    assert_eq!(loaded.keys().collect::<Vec<_>>(), libraries.keys().collect::<Vec<_>>());
}

/// Writes a file that only its owner can read, and returns its path.
fn private(dir: &Path, name: &str, content: &[u8]) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn run_servers_and_clients(dir: &Path, judge: &mut Judge) {
    let Material { certificate, key } = Material::get();
    let port = free_port().to_string();
    let address = format!("127.0.0.1:{port}");
    let mut server = judge.command(dir, "openssl");
    server.args(["s_server", "-quiet", "-accept", &port]);
    server.args(["-cert", &private(dir, "server.crt", certificate)]);
    server.args(["-key", &private(dir, "server.key", key)]);
    let server = serve(&mut server, port.parse().unwrap());
    let mut client = judge.command(dir, "openssl");
    client.args(["s_client", "-connect", &address]);
    connect(client.args(["-CAfile", &private(dir, "client.pem", certificate)]));
    if is_installed("gnutls-cli") {
        let mut client = judge.command(dir, "gnutls-cli");
        client.args(["--port", &port, "--x509cafile", &private(dir, "gnutls.pem", certificate)]);
        connect(client.args(["--no-ca-verification", "127.0.0.1"]));
    }
    if is_installed("curl") {
        let mut client = judge.command(dir, "curl");
        client.args(["--silent", "--max-time", "2", "--noproxy", "*"]);
        client.args(["--cacert", &private(dir, "curl.pem", certificate)]);
        connect(client.arg(format!("https://{address}/")));
    }
    drop(server);
}

fn run_tools(dir: &Path, judge: &mut Judge) {
    let Material { certificate, key } = Material::get();
    let both = [&certificate[..], &key[..]].concat();
    if Path::new("/usr/bin/python3").exists() {
        let script = "import ssl,sys\nc=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
            c.load_cert_chain(sys.argv[1])\nc.load_cert_chain(sys.argv[1])\n";
        let mut command = judge.command(dir, "/usr/bin/python3");
        run(command.args(["-c", script, &private(dir, "python.pem", &both)]));
    }
    if is_installed("ssh-keygen") {
        let path = dir.join("id_ed25519").to_str().unwrap().to_owned();
        let mut create = judge.command(dir, "ssh-keygen");
        run(create.args(["-q", "-t", "ed25519", "-N", "", "-f", &path]));
        run(judge.command(dir, "ssh-keygen").args(["-y", "-f", &path]));
        if Path::new("/usr/sbin/sshd").exists() {
            fs::create_dir_all("/run/sshd").unwrap();
            let config = private(dir, "sshd_config", format!("HostKey {path}\n").as_bytes());
            run(judge.command(dir, "/usr/sbin/sshd").args(["-t", "-f", &config]));
        }
    }
    if is_installed("keytool") {
        let path = dir.join("java.p12").to_str().unwrap().to_owned();
        let store = ["-storepass", "secret", "-keystore", &path];
        let create = ["-genkeypair", "-keyalg", "EC", "-alias", "a", "-dname", "CN=a"];
        run(judge.command(dir, "keytool").args(create).args(store));
        run(judge.command(dir, "keytool").arg("-list").args(store));
    }
    if is_installed("haproxy") {
        let bundle = private(dir, "haproxy.pem", &both);
        let times = "timeout connect 1s\n timeout client 1s\n timeout server 1s";
        let config = format!(
            "defaults\n mode tcp\n {times}\nfrontend f\n bind 127.0.0.1:{} ssl crt {bundle}\n \
             default_backend b\nbackend b\n",
            free_port()
        );
        let config = private(dir, "haproxy.cfg", config.as_bytes());
        run(judge.command(dir, "haproxy").args(["-c", "-f", &config]));
    }
    if is_installed("nginx") {
        let (crt, key) = (private(dir, "nginx.crt", certificate), private(dir, "nginx.key", key));
        let config = format!(
            "pid {0}/nginx.pid; error_log {0}/nginx.log; events {{}}\n\
             http {{ access_log off; server {{ listen 127.0.0.1:{1} ssl;\n\
             ssl_certificate {crt}; ssl_certificate_key {key}; }} }}\n",
            dir.display(),
            free_port()
        );
        let config = private(dir, "nginx.conf", config.as_bytes());
        run(judge.command(dir, "nginx").args(["-t", "-c", &config]));
    }
}
