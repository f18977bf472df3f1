//! Paths of homes, and paths that contain no home.

use super::*;

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
fn users_of_media_and_mailboxes_are_hidden() {
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
        assert_eq!(shown("cmdline", kept), kept, "such a directory need not name a user");
    }
    assert_eq!(shown("cmdline", "cp ../../media/alice/k.pem ."), "cp ../../media/USER/k.pem .");
}

#[test]
fn urls_and_shares_keep_their_form() {
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
fn possible_names_in_paths_without_a_start_are_hidden() {
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
