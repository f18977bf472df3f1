//! Names of files and libraries in real opens and loads: which are reported, and with which type or name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crypto_tracer_tests::{Tracer, needs_bpf, output, program, run, temp_dir, workspace};

crypto_tracer_tests::tests![
    files_are_reported_by_their_names,
    libraries_are_reported_by_their_names,
    classifier_for_contract_0_1_0_runs_with_the_bundled_one,
];

/// File names and their type; None: the file is not reported.
const FILES: &[(&str, Option<&str>)] = &[
    ("a.cert", Some("certificate")),
    ("A.CERT", Some("certificate")),
    ("a.CrT", Some("certificate")),
    ("a.key", Some("private_key")),
    ("id_rsa", Some("private_key")),
    ("id_rsa_work", Some("private_key")),
    ("id_rsa.old", Some("private_key")),
    ("id_rsa-2026", Some("private_key")),
    // The kernel matches only the prefix; the classifier finds that a letter continues the word.
    ("id_rsa\u{e9}", Some("unknown")),
    ("id_dsa_legacy", Some("private_key")),
    ("id_ecdsa_sk", Some("private_key")),
    ("id_ed25519_github", Some("private_key")),
    ("id_ed25519_a-name-that-needs-more-memory-than-a-dentry-has", Some("private_key")),
    ("ssh_host_rsa_key", Some("private_key")),
    ("ssh_host_mldsa44_key", Some("private_key")),
    ("a.pkcs12", Some("keystore")),
    ("a.bcfks", Some("keystore")),
    ("a.jceks", Some("keystore")),
    ("a.BKS", Some("keystore")),
    ("kafka.truststore", Some("keystore")),
    ("cacerts", Some("keystore")),
    ("cert9.db", Some("keystore")),
    ("key4.db", Some("keystore")),
    ("a.ppk", Some("unknown")),
    ("a.pvk", Some("unknown")),
    ("krb5.keytab", Some("unknown")),
    ("a.KDBX", Some("unknown")),
    ("id_rsa.pub", Some("unknown")),
    ("id_rsa.pub.bak", Some("unknown")),
    ("ssh_host_rsa_key.pub", Some("unknown")),
    ("ssh_host_rsa_key-cert.pub", Some("unknown")),
    ("id_rsautil", Some("unknown")),
    ("id_rs", None),
    ("ID_RSA", None),
    ("xid_rsa", None),
    ("my_id_rsa_work", None),
    ("id_file", None),
    ("ssh_host", None),
    ("ssh_config", None),
    ("CACERTS", None),
    ("cacerts.txt", None),
    ("cert9.db-journal", None),
    ("pem", None),
];

fn files_are_reported_by_their_names() {
    needs_bpf!();
    let dir = temp_dir();
    for (name, _) in FILES {
        fs::write(dir.path().join(name), "content").unwrap();
    }
    let tracer = Tracer::command("files", ["--no-redact"]);
    let mut command = Command::new("cat");
    command.args(FILES.iter().map(|(name, _)| name)).current_dir(&dir);
    let pid = run(&mut command);
    // `files` does not report the exit of a process, so the test waits for the open of a last file.
    fs::write(dir.path().join("last.key"), "").unwrap();
    let last = run(Command::new("cat").arg("last.key").current_dir(&dir));
    tracer.wait_for("the last file", |event| event.pid() == Some(last));
    let ended = tracer.finish();
    let mut found = BTreeMap::new();
    for event in ended.events.iter().filter(|event| event.pid() == Some(pid)) {
        let path = Path::new(event.text("file"));
        assert_eq!(path.parent(), Some(dir.path()));
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let twice = found.insert(name, event.text("file_type").to_owned());
        assert_eq!(twice, None, "{path:?}: reported twice");
    }
    for (name, file_type) in FILES {
        assert_eq!(found.get(*name).map(String::as_str), *file_type, "{name}");
    }
}

/// File names of libraries and their `library_name`; None: the library is not reported.
const LIBRARIES: &[(&str, Option<&str>)] = &[
    ("libcrypto-fb8d5b21.so.3", Some("libcrypto")),
    ("libssl-3e69114b.so.1.1.1k", Some("libssl")),
    ("libgnutls-deb0.so.28", Some("libgnutls")),
    ("libgcrypt-f40039e1-0352e75f.so.20", Some("libgcrypt")),
    ("libbotan-2-abcdef01.so.19", Some("libbotan")),
    ("libbotan-2.so.19", Some("libbotan")),
    ("libaws-lc-a1b2c3d4.so", Some("libaws-lc")),
    ("libcrypto-awslc.so", Some("libcrypto-awslc")),
    ("libgnutls-openssl.so.27", Some("libgnutls-openssl")),
    ("libtss2-esys.so.0", Some("libtss2-esys")),
    ("libfreeblpriv3.so", Some("libfreeblpriv3")),
    ("libsoftokn3.so", Some("libsoftokn3")),
    ("libnssckbi.so", Some("libnssckbi")),
    ("libnssdbm3.so", Some("libnssdbm3")),
    ("libamazonCorrettoCryptoProvider.so", Some("libamazonCorrettoCryptoProvider")),
    ("opensc-pkcs11.so", Some("opensc-pkcs11")),
    ("fips.so", Some("fips")),
    ("libtls.so.28", Some("libtls")),
    ("libfreebl.so", None),
    ("libsslx.so", None),
    ("libcrypto_fb8d5b21.so", None),
    ("legacy.so", None),
    ("libnss_files.so.2", None),
];

fn libraries_are_reported_by_their_names() {
    needs_bpf!();
    let dir = temp_dir();
    let source = "#include <dlfcn.h>\n#include <stdio.h>\nint main(int count, char **names) {\n\
         for (int n = 1; n < count; n++)\n\
         if (!dlopen(names[n], RTLD_NOW)) { puts(dlerror()); return 1; }\nreturn 0; }";
    fs::write(dir.path().join("program.c"), source).unwrap();
    fs::write(dir.path().join("library.c"), "int answer(void) { return 42; }").unwrap();
    for words in ["-shared -fPIC -o library library.c", "-o program program.c -ldl"] {
        let status = Command::new("cc").args(words.split(' ')).current_dir(&dir).status();
        assert!(status.unwrap().success());
    }
    for (name, _) in LIBRARIES {
        fs::copy(dir.path().join("library"), dir.path().join(name)).unwrap();
    }
    let tracer = Tracer::monitor(["--no-redact"]);
    let mut command = Command::new(dir.path().join("program"));
    command.args(LIBRARIES.iter().map(|(name, _)| format!("./{name}"))).current_dir(&dir);
    let pid = run(&mut command);
    let events = tracer.all_of(pid);
    tracer.finish();
    let loads = events.iter().filter(|event| event.kind() == "lib_load");
    let reported: Vec<_> = loads
        .map(|event| {
            let path = Path::new(event.text("library"));
            (path.file_name().unwrap().to_str().unwrap(), event.text("library_name"))
        })
        .collect();
    let wanted: Vec<_> = LIBRARIES.iter().filter_map(|&(file, name)| Some((file, name?))).collect();
    assert_eq!(reported, wanted);
}

/// A plugin for 0.1.0 cannot add prefixes. It runs together with a plugin for the current contract.
fn classifier_for_contract_0_1_0_runs_with_the_bundled_one() {
    let old = workspace().join("tests/fixtures/plugins/0.1.0/classify-default.wasm");
    let checked = output(Command::new(program()).args(["plugin", "check"]).arg(&old));
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(text.contains("contract      0.1.0 (this program has 0.1.1)\n"), "{text}");
    assert!(!text.contains("file-prefix") && !text.contains("files beginning with"), "{text}");
    let new = workspace().join("artifacts/classify-default.wasm");
    let checked = output(Command::new(program()).args(["plugin", "check"]).arg(&new));
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(text.contains("interest.file-prefix"), "{text}");
    let begins = "files beginning with id_dsa id_ecdsa id_ed25519 id_rsa id_xmss ssh_host_\n";
    assert!(text.contains(begins), "{text}");
}
