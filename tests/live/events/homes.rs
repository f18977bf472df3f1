//! Homes below symbolic links. The test uses a mount namespace, so the machine's /etc/passwd and /srv stay unchanged.

use std::fs;
use std::process::Command;

use crypto_tracer_tests::{Material, needs_bpf, output, program, temp_dir};

crypto_tracer_tests::tests![linked_home_is_redacted_as_spelled_and_as_resolved];

/// `$1`: the program. `$2`: a folder with a certificate.
///
/// The home of `alice` is below a link. The tracer reads /etc/passwd at its start, so the script waits until it is
/// ready.
const SCRIPT: &str = r#"
set -eu
mount -t tmpfs homes /srv
mkdir -p /srv/real/alice
ln -s /srv/real /srv/people
{ cat /etc/passwd; echo 'alice:x:4242:4242::/srv/people/alice:/bin/sh'; } >/srv/passwd
mount --bind /srv/passwd /etc/passwd
cp "$2/c.pem" /srv/real/alice/k.pem
cp /bin/true /srv/real/alice/tool
"$1" monitor --extended -o "$2/events" 2>"$2/errors" &
tracer=$!
tries=0
until grep -q ready: "$2/errors"; do tries=$((tries + 1)); test $tries -lt 600; sleep 0.05; done
cat /srv/people/alice/k.pem /srv/real/alice/k.pem >/dev/null
/srv/real/alice/tool /srv/people/alice/x --out=/srv/real/alice/y
tries=0
until grep -q '"process":"tool","exit_code"' "$2/events"; do
  tries=$((tries + 1)); test $tries -lt 600; sleep 0.05
done
"$1" snapshot >"$2/snapshot" 2>>"$2/errors"
kill $tracer
wait $tracer
"#;

fn linked_home_is_redacted_as_spelled_and_as_resolved() {
    needs_bpf!();
    let dir = temp_dir();
    fs::write(dir.path().join("c.pem"), &Material::get().certificate).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(program()).arg(dir.path());
    let ended = output(&mut command);
    let errors = fs::read_to_string(dir.path().join("errors")).unwrap_or_default();
    assert!(ended.status.success(), "{ended:?}: {errors}");
    let events = fs::read_to_string(dir.path().join("events")).unwrap();
    for shown in [
        r#""file":"/srv/real/USER/k.pem","file_type":"certificate""#,
        r#""cmdline":"cat /srv/people/USER/k.pem /srv/real/USER/k.pem""#,
        r#""cmdline":"/srv/real/USER/tool /srv/people/USER/x --out=/srv/real/USER/y""#,
        r#""exe":"/srv/real/USER/tool""#,
    ] {
        assert!(events.contains(shown), "{shown}: {events}");
    }
    let snapshot = fs::read_to_string(dir.path().join("snapshot")).unwrap();
    for (name, text) in [("events", &events), ("snapshot", &snapshot)] {
        let leak = text.lines().find(|line| line.contains("/alice"));
        assert_eq!(leak, None, "{name}");
    }
}
