//! Processor time of ordinary programs without and with the tracer.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::pairs::Pairs;
use super::row::{Measured, Row};
use super::run::{Bench, usage};
use crate::run::find_program;

/// Documented limit of the overhead for traced applications.
const MOST: f64 = 1.01;
const REASON: &str = "the spread of the pairs is wider than the overhead";
const SOURCE: &str = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
                      int main(int argc, char **argv) { printf(\"%zu\\n\", strlen(argv[argc - 1])); return 0; }\n";
/// Port of the web server, which listens on the loopback device only.
const PORT: u16 = 47_443;
/// Requests of a round over one TLS connection.
const REQUESTS: u64 = 2000;

/// A compiler, git, an interpreter that loads a TLS library, and a web server.
pub(super) fn real_work(bench: &Bench) -> Result<Measured> {
    let source = bench.file("main.c")?;
    fs::write(&source, SOURCE)?;
    let object = bench.file("main.o")?;
    let (source, object) = (text(&source)?, text(&object)?);
    let root = text(&bench.root)?;
    let mut rows = Vec::new();
    for (what, count, command) in [
        ("gcc of a small file", 20, &["gcc", "-O1", "-c", source, "-o", object][..]),
        ("git status", 30, &["git", "-C", root, "status", "--short"]),
        ("python: import ssl", 20, &["python3", "-c", "import ssl, json"]),
    ] {
        let Some((program, arguments)) = command.split_first() else { continue };
        let Some(program) = system_program(program) else {
            eprintln!("{program} is not installed: its row is skipped");
            continue;
        };
        let mut pairs = Pairs::default();
        for _ in 0..bench.rounds {
            let without = run(bench, count, &program, arguments)?;
            let tracer = bench.trace(&[])?;
            let with = run(bench, count, &program, arguments)?;
            tracer.finish();
            pairs.add(without, with);
        }
        rows.push(pairs.row(format!("real work: {what}"))?.at_most(MOST).because(REASON));
    }
    rows.extend(web_server(bench)?);
    Ok(rows.into())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is text")
}

/// The system's own program: one of the same name in `PATH` may be a script that starts another one.
fn system_program(name: &str) -> Option<PathBuf> {
    let own = Path::new("/usr/bin").join(name);
    if own.is_file() { Some(own) } else { find_program(name) }
}

/// Processor time of one run of a program in nanoseconds.
fn run(bench: &Bench, count: u64, program: &Path, arguments: &[&str]) -> Result<f64> {
    let count = bench.count(count).min(count).to_string();
    let arguments: Vec<&Path> =
        [program].into_iter().chain(arguments.iter().map(Path::new)).collect();
    let call_loop =
        bench.call_loop(&["run", "--count", &count, "--batches", &count], &arguments)?;
    Ok(call_loop.end()?.cpu_ns)
}

/// A web server with TLS that sends a small file.
fn web_server(bench: &Bench) -> Result<Option<Row>> {
    let programs = ["nginx", "openssl", "curl"].map(find_program);
    let [Some(nginx), Some(openssl), Some(curl)] = programs else {
        eprintln!("nginx, openssl or curl is not installed: the row of the web server is skipped");
        return Ok(None);
    };
    let (key, certificate) = (bench.file("web.key")?, bench.file("web.crt")?);
    let status = Command::new(openssl)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "1", "-subj", "/CN=localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "openssl ended with {status}");
    let page = bench.file("index.html")?;
    fs::write(&page, "hello\n")?;
    let folder = text(page.parent().context("a file is in a folder")?)?;
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let config = bench.file("nginx.conf")?;
    let listen = format!("127.0.0.1:{PORT}");
    fs::write(
        &config,
        format!(
            "{user} daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n\
             events {{}}\nhttp {{ access_log off; keepalive_requests 1000000;\n\
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
             server {{ listen {listen} ssl; root {folder};\n\
             ssl_certificate {}; ssl_certificate_key {}; }} }}\n",
            text(&certificate)?,
            text(&key)?,
        ),
    )?;
    let server = Server::start(&nginx, &config, &listen)?;
    let mut pairs = Pairs::default();
    for _ in 0..bench.rounds {
        let without = server.requests(bench, &curl)?;
        let tracer = bench.trace(&[])?;
        let with = server.requests(bench, &curl)?;
        tracer.finish();
        pairs.add(without, with);
    }
    let row = pairs.row("real work: nginx, a request of a file over TLS")?;
    Ok(Some(row.at_most(MOST).because(REASON)))
}

/// A running web server; killed on drop.
struct Server(Child);

impl Server {
    fn start(nginx: &Path, config: &Path, listen: &str) -> Result<Server> {
        let mut command = Command::new(nginx);
        command.arg("-c").arg(config).stdin(Stdio::null()).stderr(Stdio::null());
        let server = Server(command.spawn()?);
        crypto_tracer_tests::until("the web server", || TcpStream::connect(listen).ok());
        Ok(server)
    }

    /// Processor time of the server for one request, in nanoseconds.
    fn requests(&self, bench: &Bench, curl: &Path) -> Result<f64> {
        let count = bench.count(REQUESTS);
        let before = usage(self.0.id())?.cpu_seconds;
        let url = format!("https://127.0.0.1:{PORT}/index.html?[1-{count}]");
        let status = Command::new(curl)
            .args(["--silent", "--insecure", "--fail", "--output", "/dev/null", &url])
            .stdin(Stdio::null())
            .status()?;
        ensure!(status.success(), "curl ended with {status}");
        Ok((usage(self.0.id())?.cpu_seconds - before) / count as f64 * 1e9)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
