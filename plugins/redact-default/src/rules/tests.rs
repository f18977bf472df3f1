//! Tests of every rule, and of texts that no rule may change.

use super::*;
use proptest::prelude::*;

fn homes() -> Homes {
    configure(r#"{"homes": ["/srv/people"], "users": ["/data/teams/carol", "/nas/dave/"]}"#)
        .unwrap()
}

fn shown(field: &str, value: &str) -> String {
    redact(&homes(), field, value, &[]).unwrap_or_else(|| value.to_owned())
}

fn command(arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    redact(&homes(), "cmdline", &arguments.join(" "), &arguments)
        .unwrap_or_else(|| arguments.join(" "))
}

#[test]
fn homes_in_paths_are_hidden() {
    for (given, expected) in [
        ("/home/alice/key.pem", "/home/USER/key.pem"),
        ("/home/bob/cert.pem", "/home/USER/cert.pem"),
        ("/root/secret.key", "/home/ROOT/secret.key"),
        ("/home/alice", "/home/USER"),
        ("/home/alice/", "/home/USER/"),
        ("/root", "/home/ROOT"),
        ("/root/", "/home/ROOT/"),
        ("//home//./alice/x", "/home/USER/x"),
        ("/etc/../root/x", "/home/ROOT/x"),
        ("/home/alice/../bob/x", "/home/USER/x"),
        ("/../home/alice", "/home/USER"),
        ("/home/alice/backup/home/bob/x", "/home/USER/backup/home/USER/x"),
        ("/home/alice/..", "/home"),
        ("/home/alice/../../etc/x", "/etc/x"),
        ("/home/Jane Doe/my key.pem", "/home/USER/my key.pem"),
        ("/home/a:b=c\"d'\n/x", "/home/USER/x"),
        ("/srv/people/alice/x", "/srv/people/USER/x"),
        ("/data/teams/carol/x", "/data/teams/USER/x"),
        ("/nas/dave", "/nas/USER"),
        ("/var/home/alice/x.pem", "/var/home/USER/x.pem"),
        ("/mnt/backup/home/alice/x.pem", "/mnt/backup/home/USER/x.pem"),
        ("/proc/7/root/home/alice/x.pem", "/proc/7/root/home/USER/x.pem"),
        ("/proc/self/root/home/alice", "/proc/self/root/home/USER"),
        ("/proc/self/root/root/x", "/proc/self/root/home/ROOT/x"),
        ("/proc/7/task/8/root/nas/dave", "/proc/7/task/8/root/nas/USER"),
    ] {
        for field in ["file", "library", "exe"] {
            assert_eq!(shown(field, given), expected, "{field} {given}");
        }
    }
}

/// `/home` is a link to `/data/users`, which is a link to `/nas/u`. Root's home is a link to `/var/roothome`.
fn linked() -> Homes {
    configure(
        r#"{"homes": ["/data/users", "/nas/u/", "/usr/home"],
            "users": ["/data/teams/carol", "/data/teams/carol/dave", "/home/corp/erin", "/srv/Jane Doe", "/nas/bin"],
            "roots": ["/var/roothome", "/sysroot//r/root"]}"#,
    )
    .unwrap()
}

#[test]
fn homes_with_symbolic_links_are_hidden() {
    for (given, expected) in [
        ("/data/users/alice/k.pem", "/data/users/USER/k.pem"),
        ("/data/users/alice", "/data/users/USER"),
        ("/data/users/alice/", "/data/users/USER/"),
        ("/data//users/./alice/k.pem", "/data/users/USER/k.pem"),
        ("/data/x/../users/alice/k.pem", "/data/users/USER/k.pem"),
        ("/data/users", "/data/users"),
        ("/data/users2/alice/k.pem", "/data/users2/alice/k.pem"),
        ("/nas/u/alice/k.pem", "/nas/u/USER/k.pem"),
        ("/usr/home/alice/k.pem", "/usr/home/USER/k.pem"),
        ("/nas/u/usr/k.pem", "/nas/u/USER/k.pem"),
        ("/nas/u/home/alice/k.pem", "/nas/u/USER/alice/k.pem"),
        ("/data/users/Jane Doe/k.pem", "/data/users/USER/k.pem"),
        ("/srv/Jane Doe/k.pem", "/srv/USER/k.pem"),
        ("/nas/bin/k.pem", "/nas/USER/k.pem"),
        ("/data/teams/carol/x", "/data/teams/USER/x"),
        ("/data/teams/carol/dave/x", "/data/teams/USER/USER/x"),
        ("/home/corp/erin/x", "/home/USER/USER/x"),
        ("/home/corp/x", "/home/USER/x"),
        ("/var/roothome/k.pem", "/home/ROOT/k.pem"),
        ("/var/roothome", "/home/ROOT"),
        ("/var/roothome/", "/home/ROOT/"),
        ("/var/./roothome//x/../k.pem", "/home/ROOT/k.pem"),
        ("/var/roothome2/k.pem", "/var/roothome2/k.pem"),
        ("/var/k.pem", "/var/k.pem"),
        ("/sysroot/r/root/k.pem", "/home/ROOT/k.pem"),
        ("/proc/7/root/var/roothome/k.pem", "/proc/7/root/home/ROOT/k.pem"),
        ("/proc/7/root/data/users/alice/k.pem", "/proc/7/root/data/users/USER/k.pem"),
        ("…/users/alice/k.pem", "…/…/USER/k.pem"),
        ("…/alice/k.pem", "…/…/k.pem"),
        ("…/u/alice/k.pem", "…/…/USER/k.pem"),
        ("…/roothome/k.pem", "…/USER/k.pem"),
    ] {
        for field in ["file", "library", "exe"] {
            let shown = redact(&linked(), field, given, &[]);
            assert_eq!(shown.as_deref().unwrap_or(given), expected, "{field}");
        }
    }
}

#[test]
fn homes_with_symbolic_links_are_hidden_in_texts() {
    for (given, expected) in [
        ("--key=/data/users/alice/k.pem", "--key=/data/users/USER/k.pem"),
        ("-I/nas/u/alice/include", "-I/nas/u/USER/include"),
        ("x:/data/users/alice:/var/roothome/y", "x:/data/users/USER:/home/ROOT/y"),
        ("cat /data/users/Jane Doe/k.pem", "cat /data/users/USER/k.pem"),
        ("cat /data/users/{alice,bob}/k.pem", "cat /data/users/USER/k.pem"),
        ("'/data/users/alice/k.pem'", "'/data/users/USER/k.pem'"),
        ("../../data/users/alice/k.pem", "../../data/users/USER/k.pem"),
        ("../../var/roothome/k.pem", "../../home/ROOT/k.pem"),
        ("scp h:/data/users/alice/k.pem", "scp h:/data/users/USER/k.pem"),
        ("file:///data/users/alice/k.pem", "file:///data/users/USER/k.pem"),
        ("file:///var/roothome/k.pem", "file:///home/ROOT/k.pem"),
        ("file%3A%2F%2F%2Fdata%2Fusers%2Falice", "file:///data/users/USER"),
        ("@/data/users/alice/k.pem", "@/data/users/USER/k.pem"),
        ("[/data/users/alice/a, /nas/u/bob/b]", "[/data/users/USER/a, /nas/u/USER/b]"),
    ] {
        for (field, arguments) in
            [("cmdline", vec![given.to_owned()]), ("labels.x", vec![]), ("new-field", vec![])]
        {
            let shown = redact(&linked(), field, given, &arguments);
            assert_eq!(shown.as_deref().unwrap_or(given), expected, "{field}");
        }
    }
}

#[test]
fn media_and_mailboxes_name_users() {
    for (given, expected) in [
        ("/media/alice/STICK/k.pem", "/media/USER/STICK/k.pem"),
        ("/media/alice", "/media/USER"),
        ("/media/alice/", "/media/USER/"),
        ("/media", "/media"),
        ("/media/", "/media/"),
        ("/run/media/alice/STICK/k.pem", "/run/media/USER/STICK/k.pem"),
        ("/run/media/x/../alice/k.pem", "/run/media/USER/k.pem"),
        ("/run/media", "/run/media"),
        ("/run/k.pem", "/run/k.pem"),
        ("/var/mail/alice", "/var/mail/USER"),
        ("/var/mail/root", "/var/mail/USER"),
        ("/var/mail//alice.pem", "/var/mail/USER"),
        ("/var/spool/mail/alice/k.pem", "/var/spool/mail/USER/k.pem"),
        ("/var/spool/cron/alice", "/var/spool/cron/alice"),
        ("/var/mailman/x.pem", "/var/mailman/x.pem"),
        ("/srv/media/alice/x.pem", "/srv/media/alice/x.pem"),
        ("/media/Jane Doe/STICK/k.pem", "/media/USER/STICK/k.pem"),
        ("/media/USER/STICK/k.pem", "/media/USER/STICK/k.pem"),
        ("/proc/9/root/run/media/alice/k.pem", "/proc/9/root/run/media/USER/k.pem"),
    ] {
        for field in ["file", "library", "exe", "labels.x"] {
            assert_eq!(shown(field, given), expected, "{field}");
        }
        assert_eq!(command(&[given]), expected);
    }
    for kept in ["media/logo/a.png", "run/media/a/b", "var/mail/alice", "src/media/a/b"] {
        assert_eq!(shown("cmdline", kept), kept, "anybody's directories are called so");
    }
    assert_eq!(shown("cmdline", "cp ../../media/alice/k.pem ."), "cp ../../media/USER/k.pem .");
}

#[test]
fn a_url_and_a_share_keep_their_shape() {
    for kept in [
        "//srv/share",
        "//srv/share/",
        "//srv//share/./x",
        "//srv/share/x/../y",
        "mount -t cifs //srv/share /mnt",
        "mount -t cifs //srv/alice$/x /mnt",
        "--share=//srv/share/x",
        "https://example.org/x/../y",
        "https://example.org:8443/x/../y",
        "https://example.org/a//b?next=/x/../y",
        "ftp://example.org/x/../y",
        "sftp://me@example.org/x/../y",
        "ssh://me@example.org:22/x/./y",
        "s3://bucket/a//b/../c",
        "smb://srv/share/../x",
        "file:///etc/ssl/../x.pem",
        "https://example.org/home/page/x",
        "https://example.org:80/home/page/x",
        "git+https://example.org/a/../b",
        "sh -c 'curl https://example.org/x/../y > z'",
        "//",
        "///",
    ] {
        assert_eq!(shown("cmdline", kept), kept);
        assert_eq!(shown("labels.x", kept), kept);
    }
    for (given, expected) in [
        ("//home/alice/x", "//home/USER/x"),
        ("//home//./alice/../bob/x", "//home//./USER/../USER/x"),
        ("//root/x", "//home/ROOT/x"),
        ("//srv/../home/alice/x", "//srv/../home/USER/x"),
        ("//srv/home/alice/x", "//srv/home/USER/x"),
        ("smb://srv/home/alice/x", "smb://srv/home/USER/x"),
        ("sftp://alice@srv/home/alice/../x", "sftp://alice@srv/home/USER/../USER"),
        ("ssh://srv:22/home/alice/x", "ssh://srv:22/home/USER/x"),
        ("file:///home/alice/../bob/x", "file:///home/USER/../USER/x"),
        ("file:///root/../x", "file:///home/ROOT/../x"),
        ("https://h/?f=/home/alice/x/../y", "https://h/?f=/home/USER/x/../y"),
        ("a,https://h/x,/home/alice/y", "a,https://h/x,/home/USER/y"),
        ("https://h/x /home/alice/y/../z", "https://h/x /home/USER/z"),
    ] {
        assert_eq!(shown("cmdline", given), expected);
    }
}

#[test]
fn names_of_programs_and_machines_are_kept() {
    for field in ["process", "cgroup", "hostname"] {
        for kept in ["alice", "/home/alice", "password=x", "/user.slice/user-1000.slice", ""] {
            assert_eq!(redact(&linked(), field, kept, &[]), None, "{field}");
        }
    }
}

#[test]
fn a_path_without_its_start_hides_possible_names() {
    for (given, expected) in [
        ("…/alice/a/b.pem", "…/…/a/b.pem"),
        ("…/people/alice/b.pem", "…/…/USER/b.pem"),
        ("…/teams/carol/b.pem", "…/…/USER/b.pem"),
        ("…/b.pem", "…/b.pem"),
        ("…/home/alice/b.pem", "…/home/USER/b.pem"),
        ("…/backup/home/alice/b.pem", "…/…/home/USER/b.pem"),
        ("…/srv/people/alice/b.pem", "…/srv/people/USER/b.pem"),
        ("…/data/teams/carol/b.pem", "…/data/teams/USER/b.pem"),
        ("…/root/b.pem", "…/…/b.pem"),
    ] {
        assert_eq!(shown("file", given), expected, "{given}");
    }
}

#[test]
fn system_paths_are_kept() {
    for kept in [
        "/etc/ssl/certs/ca.crt",
        "/usr/lib/libssl.so",
        "/var/lib/ssl/cert.pem",
        "/rootfs/x",
        "/root2/x",
        "/proc/1/root/etc/x",
        "/home",
        "/homes/a/b",
        "/home/USER/x",
        "/home/ROOT/x",
        "/etc/nginx/home/ssl/server.crt",
        "/var/home/server.crt",
        "/srv/people",
        "/data/teams/other/x",
        "/",
        "",
    ] {
        for field in ["file", "library", "exe", "cmdline", "labels.x"] {
            assert_eq!(shown(field, kept), kept, "{field}");
        }
    }
}

#[test]
fn homes_in_command_lines_are_hidden() {
    for (given, expected) in [
        (&["cat", "/home/alice/x"][..], "cat /home/USER/x"),
        (&["cat", "/etc//ssl/../ssl/./x"], "cat /etc/ssl/x"),
        (&["cat", "../../home/alice/x"], "cat ../../home/USER/x"),
        (&["cat", "a/../../home/alice/x"], "cat ../home/USER/x"),
        (&["cat", "../../root/x"], "cat ../../home/ROOT/x"),
        (&["cat", "home/alice/x"], "cat home/USER/x"),
        (&["cat", "home/alice/../../etc/x"], "cat etc/x"),
        (&["sh", "-c", "cat /home/alice/../../etc/x"], "sh -c cat /etc/x"),
        (&["cat", "src/home/page/x"], "cat src/home/page/x"),
        (
            &["cc", "-I/home/alice/include", "-L/root/lib"],
            "cc -I/home/USER/include -L/home/ROOT/lib",
        ),
        (&["x", "--in=/home/alice/x"], "x --in=/home/USER/x"),
        (&["dd", "if=/home/alice/x"], "dd if=/home/USER/x"),
        (
            &["env", "PATH=/home/a/bin:/home/b/bin:/usr/bin"],
            "env PATH=/home/USER/bin:/home/USER/bin:/usr/bin",
        ),
        (
            &["sh", "-c", "cat '/home/alice/x' >/home/bob/y"],
            "sh -c cat '/home/USER/x' >/home/USER/y",
        ),
        (&["sh", "-c", "cd /home/alice && ls /etc/x"], "sh -c cd /home/USER && ls /etc/x"),
        (&["sh", "-c", "ls /home/alice /home/bob"], "sh -c ls /home/USER /home/USER"),
        (&["cat", "/home/Jane Doe/x"], "cat /home/USER/x"),
        (&["cat", "~alice/x", "~/y", "~root"], "cat ~USER/x ~/y ~ROOT"),
        (&["scp", "alice@host:/home/alice/x"], "scp alice@host:/home/USER/x"),
        (&["x", "file:///home/alice/x"], "x file:///home/USER/x"),
        (&["x", "file%3A%2F%2F%2Fhome%2Falice%2Fx"], "x file:///home/USER/x"),
        (&["x", "{\"a\":\"\\/home\\/alice\\/x\"}"], "x {\"a\":\"/home/USER/x\"}"),
        (&["curl", "-d", "@/home/alice/x"], "curl -d @/home/USER/x"),
        (
            &["mount", "type=bind,source=/home/alice,target=/x"],
            "mount type=bind,source=/home/USER,target=/x",
        ),
        (&["/home/alice/bin/tool", "-x"], "/home/USER/bin/tool -x"),
        (&["sed", "s//x/g"], "sed s//x/g"),
        (&["curl", "https://example.org//a/../b"], "curl https://example.org//a/../b"),
        (&["git", "show", "HEAD~1", "a~b"], "git show HEAD~1 a~b"),
    ] {
        assert_eq!(command(given), expected);
    }
}

/// Arguments and their redacted form.
const WITH_SECRETS: &[(&[&str], &str)] = &[
    (
        &["openssl", "rsa", "-in", "/root/k.pem", "-passin", "pass:x"],
        "openssl rsa -in /home/ROOT/k.pem -passin pass:***",
    ),
    (
        &["openssl", "enc", "-k", "hunter2", "-pass", "pass:a b"],
        "openssl enc -k *** -pass pass:***",
    ),
    (
        &["openssl", "s_client", "-key", "k.pem", "-psk", "aabb"],
        "openssl s_client -key k.pem -psk ***",
    ),
    (
        &["openssl", "rsa", "-passin", "env:PW", "-passout", "file:/root/pw"],
        "openssl rsa -passin env:PW -passout file:/home/ROOT/pw",
    ),
    (
        &["tool", "--password", "hunter2", "--out=/home/bob/o"],
        "tool --password *** --out=/home/USER/o",
    ),
    (&["tool", "--password", "-hunter2!"], "tool --password ***"),
    (&["tool", "--password", "--verbose", "x"], "tool --password --verbose x"),
    (&["tool", "--token=abc"], "tool --token=***"),
    (&["tool", "--db-password=a=b c"], "tool --db-password=***"),
    (
        &["tool", "--client-secret", "x", "--api_key", "y", "--apiKey=z"],
        "tool --client-secret *** --api_key *** --apiKey=***",
    ),
    (
        &["keytool", "-storepass", "changeit", "-keypass", "x"],
        "keytool -storepass *** -keypass ***",
    ),
    (
        &["java", "-Djavax.net.ssl.keyStorePassword=changeit"],
        "java -Djavax.net.ssl.keyStorePassword=***",
    ),
    (
        &["env", "DB_PASSWORD=x y", "PWD=/etc", "GITHUB_TOKEN=z"],
        "env DB_PASSWORD=*** PWD=/etc GITHUB_TOKEN=***",
    ),
    (&["docker", "run", "-e", "MYSQL_ROOT_PASSWORD=x"], "docker run -e MYSQL_ROOT_PASSWORD=***"),
    (&["mysql", "-u", "root", "-phunter2", "db"], "mysql -u root -p*** db"),
    (&["mysql", "-p", "db"], "mysql -p db"),
    (&["sudo", "sshpass", "-p", "x", "ssh", "host"], "sudo sshpass -p *** ssh host"),
    (&["ssh", "-p", "2222", "host"], "ssh -p 2222 host"),
    (&["cp", "-pr", "a", "b"], "cp -pr a b"),
    (&["curl", "-u", "me:x", "https://h/"], "curl -u me:*** https://h/"),
    (&["curl", "-H", "Authorization: Bearer x y"], "curl -H Authorization: ***"),
    (&["curl", "-H", "X-Api-Key: x", "-H", "Accept: a"], "curl -H X-Api-Key: *** -H Accept: a"),
    (&["curl", "https://u:p@host/x"], "curl https://u:***@host/x"),
    (&["curl", "https://u:p@ss/w@host/x"], "curl https://u:***@host/x"),
    (&["git", "clone", "https://tokentoken@host/x"], "git clone https://***@host/x"),
    (&["git", "clone", "ssh://git@host/x"], "git clone ssh://git@host/x"),
    (&["curl", "https://h:8443/x?a=b&token=c&d=e"], "curl https://h:8443/x?a=b&token=***&d=e"),
    (&["psql", "host=h password='a b' user=u"], "psql host=h password=*** user=u"),
    (
        &["curl", "-d", "{\"user\":\"u\",\"password\":\"x\"}"],
        "curl -d {\"user\":\"u\",\"password\":***}",
    ),
    (&["curl", "-d", "{\"password\": \"x y\", \"a\": 1}"], "curl -d {\"password\": ***, \"a\": 1}"),
    (
        &["sh", "-c", "mysql -psecret; PASSWORD=x y --token 'a b' c"],
        "sh -c mysql -p***; PASSWORD=*** y --token '***' c",
    ),
    (&["echo", "ghp_0123456789abcdefghij"], "echo ***"),
    (&["echo", "-----BEGIN RSA PRIVATE KEY-----\nMII"], "echo ***"),
    (&["ansible", "--ask-pass", "host"], "ansible --ask-pass host"),
    (&["docker", "login", "--password-stdin", "host"], "docker login --password-stdin host"),
    (&["docker", "run", "-v", "/etc/secret:/mnt/x"], "docker run -v /etc/secret:/mnt/x"),
    (&["openssl", "version"], "openssl version"),
    (&["docker", "run", "-p", "8080:80", "image"], "docker run -p 8080:80 image"),
    (&["docker", "login", "-u", "me", "-p", "x", "host"], "docker login -u me -p *** host"),
    (&["curl", "--user=me:x", "-ume:y", "h"], "curl --user=me:*** -ume:*** h"),
    (&["wget", "-b", "https://h/"], "wget -b https://h/"),
    (&["xfreerdp", "/u:me", "/p:x", "/v:h"], "xfreerdp /u:me /p:*** /v:h"),
    (
        &["nmcli", "dev", "wifi", "connect", "ap", "password", "x"],
        "nmcli dev wifi connect ap password ***",
    ),
    (&["ldapsearch", "-s", "base", "-w", "x"], "ldapsearch -s base -w ***"),
    (
        &["git", "-c", "http.extraHeader=Authorization: Basic dTpw eA", "fetch"],
        "git -c http.extraHeader=Authorization: *** fetch",
    ),
    (
        &["sh", "-c", "curl -H 'Cookie: a=b; c=d' -H \"authorization: Bearer x\" h"],
        "sh -c curl -H 'Cookie: ***' -H \"authorization: ***\" h",
    ),
    (&["curl", "-HAuthorization: Bearer x y"], "curl -HAuthorization: ***"),
    (
        &["sh", "-c", "x 'Cookie: a b' 'Authorization: c d' 'Set-Cookie: e'"],
        "sh -c x 'Cookie: ***' 'Authorization: ***' 'Set-Cookie: ***'",
    ),
];

#[test]
fn secrets_in_command_lines_are_masked() {
    for (given, expected) in WITH_SECRETS {
        assert_eq!(command(given), *expected);
    }
}

#[test]
fn names_with_shell_expansions_are_hidden() {
    for (given, expected) in [
        ("cat /home/{alice,bob}/key.pem", "cat /home/USER/key.pem"),
        ("cat /home/{alice/a,bob/b}", "cat /home/USER"),
        ("cat /home/\"alice\"/key.pem", "cat /home/USER/key.pem"),
        ("cat /home/[ab]lice/key.pem", "cat /home/USER/key.pem"),
        ("cat /home/*ice/key.pem", "cat /home/USER/key.pem"),
        ("cat /home/\\alice/key.pem", "cat /home/USER/key.pem"),
        ("ls /home/* /srv/people/", "ls /home/* /srv/people/"),
        ("ls \"/home/\" /x", "ls \"/home/\" /x"),
        ("/home/Jane Doe", "/home/USER"),
        ("/home/alice && ls", "/home/USER && ls"),
        ("ls /proc/self/root/home/alice", "ls /proc/self/root/home/USER"),
    ] {
        assert_eq!(command(&["sh", "-c", given]), format!("sh -c {expected}"));
    }
}

#[test]
fn secrets_of_programs_named_in_arguments_are_masked() {
    for (given, expected) in [
        (
            &["git", "clone", "https://alice:s3cret@host/openssl/openssl"][..],
            "git clone https://alice:***@host/openssl/openssl",
        ),
        (
            &["curl", "https://example.com/login", "-u", "alice:s3cret"],
            "curl https://example.com/login -u alice:***",
        ),
        (&["curl", "-o", "net", "-u", "alice:s3cret"], "curl -o net -u alice:***"),
        (&["curl", "-su", "alice:s3cret"], "curl -su alice:***"),
        (&["ssh-keygen", "-N", "s3cret", "-f", "key"], "ssh-keygen -N *** -f key"),
        (&["pkcs11-tool", "--login", "--pin", "s3cret"], "pkcs11-tool --login --pin ***"),
        (&["isql", "Server=x;Uid=y;Pwd=s3cret"], "isql Server=x;Uid=y;Pwd=***"),
        (&["openssl", "x", "pkcs11:id=a;pin-value=s3cret"], "openssl x pkcs11:id=a;pin-value=***"),
        (&["env", "PWD=/srv/x", "OLDPWD=/srv"], "env PWD=/srv/x OLDPWD=/srv"),
    ] {
        assert_eq!(command(given), expected);
    }
}

#[test]
fn labels_are_redacted_as_texts() {
    assert_eq!(shown("labels.owner", "of /home/alice/x"), "of /home/USER/x");
    assert_eq!(shown("labels.how", "password=x"), "password=***");
    assert_eq!(shown("new-field", "/home/alice"), "/home/USER");
}

#[test]
fn the_configuration_is_validated() {
    assert!(configure("{}").is_ok());
    for bad in [
        "",
        "[]",
        "{",
        r#"{"home": []}"#,
        r#"{"homes": "/srv"}"#,
        r#"{"homes": [1]}"#,
        r#"{"homes": ["srv"]}"#,
        r#"{"users": ["/"]}"#,
        r#"{"users": ["/.."]}"#,
        r#"{"roots": ["/"]}"#,
        r#"{"roots": ["root"]}"#,
    ] {
        assert!(configure(bad).is_err(), "{bad}");
    }
}

/// A name that occurs in no other test.
fn name() -> impl Strategy<Value = String> {
    "zq[a-z0-9_.-]{3,12}"
}

proptest! {
    #[test]
    fn a_name_never_comes_out_of_a_path(
        name in "zq[^/\0]{0,12}",
        parent in prop::sample::select(vec!["/home", "//home/.", "/x/../home", "/srv/people", "/../home"]),
        rest in "(/[^/\0]{0,8}){0,4}",
    ) {
        let out = shown("file", &format!("{parent}/{name}{rest}"));
        // `..` behind the name leads out of it.
        prop_assert!(!out.contains(&name) || rest.contains(&name), "{out}");
    }

    #[test]
    fn a_name_never_comes_out_of_a_home_behind_a_link(
        name in "zq[^/\0]{0,12}",
        parent in prop::sample::select(vec![
            "/data/users", "/nas/u", "/usr/home", "/media", "/run/media", "/var/mail", "/var/spool/mail", "/home/corp/erin/../..",
        ]),
        spelled in prop::sample::select(vec!["/", "//", "/./", "/x/../"]),
        rest in "(/[a-y. ]{0,8}){0,4}",
    ) {
        let path = format!("{parent}{spelled}{name}{rest}");
        let out = redact(&linked(), "file", &path, &[]).unwrap_or(path);
        prop_assert!(!out.contains(&name), "{out}");
    }

    #[test]
    fn a_share_without_a_home_stays(
        path in "(/[a-y.]{0,5}){1,5}",
        before in prop::sample::select(vec!["", "--x=", "mount ", "smb:", "file:", "https:"]),
    ) {
        prop_assume!(!["home", "root", "media", "run", "var"].iter().any(|name| path.contains(name)));
        let text = format!("{before}/{path}");
        prop_assume!(!before.is_empty() || text.starts_with("//"));
        let out = shown("cmdline", &text);
        prop_assert_eq!(out, text);
    }

    #[test]
    fn a_name_never_comes_out_of_a_command_line(
        name in name(),
        before in prop::sample::select(vec![
            "", "-I", "--x=", "A=", "a b ", "'", "\"", "x:", "x,y=", "@", "file://", "(", ">", "-", "a;", "$X", "${X}", "`",
        ]),
        parent in prop::sample::select(vec!["/home/", "//home//", "/etc/../home/", "../../home/", "/srv/people/", "home/"]),
        rest in prop::sample::select(vec!["", "/", "/x y", "/x:/y", " z", "' x", "\"", ",b=/c", ";ls", "\n", ")", "/../q"]),
    ) {
        prop_assume!(!(parent == "home/" && before.starts_with(['-', '$']) && !before.ends_with('=')));
        let out = command(&["tool", &format!("{before}{parent}{name}{rest}"), "end"]);
        prop_assert!(!out.contains(&name), "{out}");
    }

    #[test]
    fn a_secret_never_comes_out_of_a_command_line(
        secret in "zq[A-Za-z0-9!#$%^*+._/-]{4,12}",
        shape in 0..10usize,
        option in prop::sample::select(vec!["password", "db-password", "token", "api-key", "client_secret", "passphrase", "storepass"]),
    ) {
        let joined = |text: String| text;
        let arguments = match shape {
            0 => vec![joined(format!("--{option}")), secret.clone()],
            1 => vec![format!("--{option}={secret}")],
            2 => vec![format!("-{option}"), secret.clone()],
            3 => vec![format!("{}={secret}", option.to_uppercase())],
            4 => vec![format!("sh -c 'tool --{option} {secret}'")],
            5 => vec!["-passin".to_owned(), format!("pass:{secret}")],
            6 => vec![format!("a=b&{option}={secret}&c=d")],
            7 => vec![format!("export {option}={secret} x")],
            8 => vec![format!("{{\"{option}\":\"{secret}\"}}")],
            _ => vec![format!("{option}: {secret}")],
        };
        let mut all = vec!["tool"];
        all.extend(arguments.iter().map(String::as_str));
        let out = command(&all);
        prop_assert!(!out.contains(&secret), "{out}");
    }

    #[test]
    fn once_is_enough(path in "(/(home|root|zq|\\.\\.|\\.|srv|people|data|teams|carol|…|x)){0,7}/?") {
        for text in [path.clone(), format!("…{path}")] {
            let once = shown("file", &text);
            prop_assert_eq!(shown("file", &once), once);
        }
    }

    #[test]
    fn no_text_makes_it_panic(
        field in prop::sample::select(vec!["file", "cmdline", "labels.x"]),
        text in "\\PC{0,60}|[-~/:=@%'\" a-z.…\\\\\n]{0,40}",
        arguments in prop::collection::vec("[-~/:=@%'\" a-z.…\\\\\n]{0,20}|\\PC{0,10}|--password|mysql", 0..5),
    ) {
        let _ = redact(&homes(), field, &text, &arguments);
    }
}
