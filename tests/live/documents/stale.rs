//! Stale libraries and files: what a living process uses, but whose path is another file by now.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crypto_tracer_tests::{
    Material, Tracer, needs_bpf, needs_program, needs_root, output, program, run, temp_dir, until,
};
use serde_json::Value;

crypto_tracer_tests::tests![
    a_replaced_certificate_is_stale_until_the_reload,
    a_rewritten_certificate_is_stale_until_the_reload,
    a_swapped_volume_is_stale_until_the_reload,
    a_certificate_in_a_mount_namespace_is_compared_there,
    what_changes_no_content_makes_nothing_stale,
    a_file_that_cannot_be_looked_at_is_unknown,
    a_profile_has_stale_files_and_libraries,
    a_snapshot_has_stale_libraries,
    openssl_and_nginx_are_stale_until_they_start_again,
    the_start_of_many_programs_makes_nothing_stale,
];

/// A server in Python that loads its certificate at the start and on each line of its input, as others do on SIGHUP.
struct Server {
    child: Child,
    input: ChildStdin,
    printed: BufReader<ChildStdout>,
}

const SCRIPT: &str = "
import ssl, sys
while True:
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(sys.argv[1])
    print('loaded', flush=True)
    if not sys.stdin.readline():
        break
";

impl Server {
    fn start(certificate: &Path) -> Server {
        Server::start_by(&mut Command::new("python3"), certificate)
    }

    /// `command` runs Python.
    fn start_by(command: &mut Command, certificate: &Path) -> Server {
        command.args(["-c", SCRIPT]).arg(certificate);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let mut server = Server { child, input, printed };
        server.wait_until_loaded();
        server
    }

    fn wait_until_loaded(&mut self) {
        let mut line = String::new();
        self.printed.read_line(&mut line).unwrap();
        assert_eq!(line, "loaded\n");
    }

    fn reload(&mut self) {
        self.input.write_all(b"\n").unwrap();
        self.wait_until_loaded();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate with its key.
fn both() -> Vec<u8> {
    let Material { certificate, key } = Material::get();
    [&certificate[..], &key[..]].concat()
}

/// Replaces a file by rename.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, path).unwrap();
}

/// An inventory that is rewritten each second.
struct Inventory {
    tracer: Tracer,
    path: PathBuf,
}

impl Inventory {
    fn start(dir: &Path) -> Inventory {
        let path = dir.join("inventory.json");
        let fixed = ["record", "--every", "1s", "--format", "json-stream", "--output"];
        let tracer =
            Tracer::command("inventory", fixed.into_iter().chain([path.to_str().unwrap()]));
        Inventory { tracer, path }
    }

    fn read(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    /// The uses of files whose path ends with `end`; `None` if there are none yet.
    fn uses(document: &Value, list: &str, end: &str) -> Option<Vec<Value>> {
        let targets = document[list].as_array()?.iter();
        let targets: Vec<&Value> = targets
            .filter(|it| it["path"].as_str().is_some_and(|path| path.ends_with(end)))
            .map(|it| &it["id"])
            .collect();
        let uses = document["uses"].as_array()?.iter();
        let uses: Vec<Value> =
            uses.filter(|it| targets.contains(&&it["target"])).cloned().collect();
        (!uses.is_empty()).then_some(uses)
    }

    /// Waits until the use of the file has this reason for being stale; `None`: it is not stale.
    fn wait_for(&self, end: &str, reason: Option<&str>) {
        self.wait_for_in("files", end, reason);
    }

    fn wait_for_in(&self, list: &str, end: &str, reason: Option<&str>) {
        let what = format!("{end} to be {reason:?}");
        until(&what, || {
            let document = self.read()?;
            let uses = Inventory::uses(&document, list, end)?;
            let is_it = |it: &Value| it["stale"]["reason"].as_str() == reason;
            uses.iter().any(is_it).then_some(())
        });
    }

    fn finish(self) -> Value {
        self.tracer.finish();
        serde_json::from_slice(&fs::read(&self.path).unwrap()).unwrap()
    }
}

fn a_replaced_certificate_is_stale_until_the_reload() {
    needs_bpf!();
    needs_program("python3");
    let dir = temp_dir();
    let path = dir.path().join("renamed.pem");
    fs::write(&path, both()).unwrap();
    let inventory = Inventory::start(dir.path());
    let mut server = Server::start(&path);
    inventory.wait_for("/renamed.pem", None);
    replace(&path, &both());
    inventory.wait_for("/renamed.pem", Some("replaced"));
    server.reload();
    inventory.wait_for("/renamed.pem", None);
    fs::remove_file(&path).unwrap();
    inventory.wait_for("/renamed.pem", Some("deleted"));
    drop(server);
    inventory.wait_for("/renamed.pem", None);
}

fn a_rewritten_certificate_is_stale_until_the_reload() {
    needs_bpf!();
    needs_program("python3");
    let dir = temp_dir();
    let path = dir.path().join("rewritten.pem");
    fs::write(&path, both()).unwrap();
    let inventory = Inventory::start(dir.path());
    let mut server = Server::start(&path);
    inventory.wait_for("/rewritten.pem", None);
    // As many bytes: only the content differs.
    let Material { certificate, key } = Material::get();
    fs::write(&path, [&key[..], &certificate[..]].concat()).unwrap();
    inventory.wait_for("/rewritten.pem", Some("modified"));
    server.reload();
    let document = until("the reload", || {
        let document = inventory.read()?;
        let uses = Inventory::uses(&document, "files", "/rewritten.pem")?;
        // The one that wrote it does not use its content.
        uses.iter().all(|it| it["stale"].is_null()).then_some(document)
    });
    assert_eq!(document["inventory_version"], "1.0");
}

fn a_swapped_volume_is_stale_until_the_reload() {
    needs_bpf!();
    needs_program("python3");
    let dir = temp_dir();
    let volume = dir.path().join("volume");
    let publish = |version: &str| {
        fs::create_dir_all(volume.join(version)).unwrap();
        fs::write(volume.join(version).join("swapped.pem"), both()).unwrap();
        symlink(version, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    publish("..2026_01_31_08_00_00.1");
    symlink("..data/swapped.pem", volume.join("swapped.pem")).unwrap();
    let inventory = Inventory::start(dir.path());
    let mut server = Server::start(&volume.join("swapped.pem"));
    inventory.wait_for("..2026_01_31_08_00_00.1/swapped.pem", None);
    publish("..2026_01_31_09_00_00.2");
    fs::remove_dir_all(volume.join("..2026_01_31_08_00_00.1")).unwrap();
    inventory.wait_for("..2026_01_31_08_00_00.1/swapped.pem", Some("replaced"));
    server.reload();
    inventory.wait_for("..2026_01_31_09_00_00.2/swapped.pem", None);
}

/// The path is another file outside of the container.
fn a_certificate_in_a_mount_namespace_is_compared_there() {
    needs_bpf!();
    needs_program("python3");
    let dir = temp_dir();
    let [inside, mounted] = ["inside", "mounted"].map(|name| dir.path().join(name));
    for dir in [&inside, &mounted] {
        fs::create_dir(dir).unwrap();
    }
    fs::write(inside.join("namespace.pem"), both()).unwrap();
    let inventory = Inventory::start(dir.path());
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$0\" \"$1\"; shift; exec python3 \"$@\"";
    command.args(["--mount", "sh", "-c", script]).arg(&inside).arg(&mounted);
    let mut server = Server::start_by(&mut command, &mounted.join("namespace.pem"));
    inventory.wait_for("/namespace.pem", None);
    replace(&inside.join("namespace.pem"), &both());
    inventory.wait_for("/namespace.pem", Some("replaced"));
    server.reload();
    inventory.wait_for("/namespace.pem", None);
    assert!(!mounted.join("namespace.pem").exists(), "it is visible in the namespace only");
}

fn what_changes_no_content_makes_nothing_stale() {
    needs_bpf!();
    needs_program("python3");
    let dir = temp_dir();
    let path = dir.path().join("touched.pem");
    fs::write(&path, both()).unwrap();
    let inventory = Inventory::start(dir.path());
    let _server = Server::start(&path);
    inventory.wait_for("/touched.pem", None);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&path, Some(1), Some(1)).unwrap();
    fs::hard_link(&path, dir.path().join("link.pem")).unwrap();
    run(Command::new("touch").arg(&path));
    let document = inventory.finish();
    let uses = Inventory::uses(&document, "files", "/touched.pem").unwrap();
    assert!(uses.iter().all(|it| it["stale"].is_null()), "{uses:#?}");
}

/// The path leads through a symbolic link now, which the reader does not follow.
fn a_file_that_cannot_be_looked_at_is_unknown() {
    needs_bpf!();
    needs_program("python3");
    let dir = temp_dir();
    let real = dir.path().join("real");
    fs::create_dir(&real).unwrap();
    fs::write(real.join("hidden.pem"), both()).unwrap();
    let inventory = Inventory::start(dir.path());
    let _server = Server::start(&real.join("hidden.pem"));
    inventory.wait_for("/hidden.pem", None);
    fs::rename(&real, dir.path().join("moved")).unwrap();
    symlink("moved", &real).unwrap();
    inventory.wait_for("/hidden.pem", Some("unknown"));
}

/// Copies a library, and starts a process that has the copy mapped.
fn with_library(dir: &Path) -> (PathBuf, Server) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps
        .lines()
        .find_map(|line| line.split(' ').next_back().filter(|it| it.contains("libc.so")));
    let folder = Path::new(libc.unwrap()).parent().unwrap();
    let library = dir.join("libcrypto.so.3");
    fs::copy(fs::canonicalize(folder.join("libcrypto.so.3")).unwrap(), &library).unwrap();
    let script = "import ctypes, sys\nctypes.CDLL(sys.argv[1])\nprint('loaded', flush=True)\n\
        sys.stdin.readline()\n";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(&library).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = child.stdin.take().unwrap();
    let printed = BufReader::new(child.stdout.take().unwrap());
    let mut server = Server { child, input, printed };
    server.wait_until_loaded();
    (library, server)
}

fn a_profile_has_stale_files_and_libraries() {
    needs_bpf!();
    needs_program("python3");
    let dir = temp_dir();
    let (library, server) = with_library(dir.path());
    let pid = server.child.id().to_string();
    let out = dir.path().join("profile.json");
    let options = ["--pid", &pid, "--duration", "10m", "--output", out.to_str().unwrap()];
    let tracer = Tracer::command("profile", options);
    replace(&library, b"another library");
    tracer.finish();
    let document: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    let libraries = document["libraries"].as_array().unwrap();
    let is_it = |it: &&Value| it["path"] == library.to_str().unwrap();
    let stale = &libraries.iter().find(is_it).unwrap()["stale"];
    assert_eq!(stale["reason"], "replaced", "{document:#}");
    assert!(stale["since"].is_string());
    let others = libraries.iter().filter(|it| !is_it(it));
    assert!(others.clone().count() > 0);
    others.for_each(|it| assert!(it.get("stale").is_none(), "{it}"));
}

fn a_snapshot_has_stale_libraries() {
    needs_root();
    needs_program("python3");
    let dir = temp_dir();
    let (library, server) = with_library(dir.path());
    let stale = || {
        let printed = output(Command::new(program()).args(["snapshot", "--format", "json-stream"]));
        let document: Value = serde_json::from_slice(&printed.stdout).unwrap();
        let processes = document["processes"].as_array().unwrap();
        let is_it = |it: &&Value| it["pid"] == server.child.id();
        processes.iter().find(is_it).unwrap().get("stale").cloned()
    };
    assert_eq!(stale(), None);
    replace(&library, b"another library");
    let found = stale().unwrap();
    let [found] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!(found["library"], library.to_str().unwrap());
    assert_eq!(found["reason"], "replaced");
    fs::remove_file(&library).unwrap();
    assert_eq!(stale().unwrap()[0]["reason"], "deleted");
}

/// Servers that read their certificate once.
fn openssl_and_nginx_are_stale_until_they_start_again() {
    needs_bpf!();
    let dir = temp_dir();
    let port = || {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let files = ["openssl.pem", "nginx.pem"].map(|name| dir.path().join(name));
    for path in &files {
        fs::write(path, both()).unwrap();
    }
    let [openssl_pem, nginx_pem] = &files;
    let inventory = Inventory::start(dir.path());
    let address = port().to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(["s_server", "-quiet", "-accept", &address, "-cert"]).arg(openssl_pem);
    openssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut openssl = openssl.spawn().unwrap();
    let has_nginx = crypto_tracer_tests::is_installed("nginx");
    let config = dir.path().join("nginx.conf");
    let nginx = |arguments: &[&str]| {
        let status = Command::new("nginx").arg("-c").arg(&config).args(arguments).status().unwrap();
        assert!(status.success());
    };
    if has_nginx {
        let text = format!(
            "pid {0}/nginx.pid; error_log {0}/nginx.log; user root; events {{}}\n\
             http {{ access_log off; server {{ listen 127.0.0.1:{1} ssl;\n\
             ssl_certificate {2}; ssl_certificate_key {2}; }} }}\n",
            dir.path().display(),
            port(),
            nginx_pem.display()
        );
        fs::write(&config, text).unwrap();
        nginx(&[]);
    }
    inventory.wait_for("/openssl.pem", None);
    replace(openssl_pem, &both());
    replace(nginx_pem, &both());
    inventory.wait_for("/openssl.pem", Some("replaced"));
    if has_nginx {
        inventory.wait_for("/nginx.pem", Some("replaced"));
        nginx(&["-s", "reload"]);
        inventory.wait_for("/nginx.pem", None);
        nginx(&["-s", "quit"]);
    }
    openssl.kill().unwrap();
    openssl.wait().unwrap();
    inventory.wait_for("/openssl.pem", None);
}

fn the_start_of_many_programs_makes_nothing_stale() {
    needs_bpf!();
    let dir = temp_dir();
    let path = dir.path().join("shared.pem");
    fs::write(&path, both()).unwrap();
    let inventory = Inventory::start(dir.path());
    let mut running: Vec<Child> = Vec::new();
    for _ in 0..50 {
        let mut command = Command::new("sh");
        command
            .args(["-c", "cat \"$0\" >/dev/null; exec openssl enc -aes-128-cbc -k x"])
            .arg(&path);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        running.push(command.spawn().unwrap());
        run(Command::new("openssl").args(["x509", "-noout", "-in"]).arg(&path));
    }
    for child in &running {
        let maps = format!("/proc/{}/maps", child.id());
        until("libcrypto", || fs::read_to_string(&maps).ok().filter(|it| it.contains("libcrypto")));
    }
    let document = inventory.finish();
    for mut child in running {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    let uses = document["uses"].as_array().unwrap();
    let stale: Vec<&Value> = uses.iter().filter(|it| !it["stale"].is_null()).collect();
    assert!(uses.len() >= 4 && stale.is_empty(), "{stale:#?}");
}
