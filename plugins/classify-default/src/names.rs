//! Rules for the names of files and libraries, and the interest. Uses no bindings, so native tests can run it.

use super::rules::{ByName, Kind};

/// Suffixes of file names to report.
pub const SUFFIXES: &[(&str, ByName)] = &[
    (".pem", ByName::LookInside),
    (".crt", ByName::Is(Kind::Certificate)),
    (".cer", ByName::Is(Kind::Certificate)),
    (".cert", ByName::Is(Kind::Certificate)),
    (".key", ByName::Is(Kind::PrivateKey)),
    (".p12", ByName::Is(Kind::Keystore)),
    (".pfx", ByName::Is(Kind::Keystore)),
    (".pkcs12", ByName::Is(Kind::Keystore)),
    (".jks", ByName::Is(Kind::Keystore)),
    (".jceks", ByName::Is(Kind::Keystore)),
    (".bks", ByName::Is(Kind::Keystore)),
    (".bcfks", ByName::Is(Kind::Keystore)),
    (".keystore", ByName::Is(Kind::Keystore)),
    (".truststore", ByName::Is(Kind::Keystore)),
    (".der", ByName::NoOpinion),
    (".csr", ByName::NoOpinion),
    (".crl", ByName::NoOpinion),
    (".p7b", ByName::NoOpinion),
    (".p7c", ByName::NoOpinion),
    (".p8", ByName::NoOpinion),
    (".pub", ByName::NoOpinion),
    (".asc", ByName::NoOpinion),
    (".gpg", ByName::NoOpinion),
    (".kdb", ByName::NoOpinion),
    (".kdbx", ByName::NoOpinion),
    (".ppk", ByName::NoOpinion),
    (".pvk", ByName::NoOpinion),
    (".keytab", ByName::NoOpinion),
];

/// Whole file names to report: Java's trust stores, and the databases of NSS in both formats.
pub const NAMES: &[&str] =
    &["cacerts", "jssecacerts", "cert9.db", "key4.db", "cert8.db", "key3.db"];

/// Prefixes of file names to report: private keys of SSH, of users and hosts.
pub const PREFIXES: &[&str] = &["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_xmss", HOST_KEY];

/// Prefix of the names of a host's SSH keys.
const HOST_KEY: &str = "ssh_host_";

/// Libraries to report: the documented ones first. A site needs room for its own, so this list stays below 48.
pub const LIBRARIES: &[&str] = &[
    "libssl",
    "libcrypto",
    "libgnutls",
    "libsodium",
    "libnss3",
    "libmbedtls",
    "libgcrypt",
    "libnettle",
    "libhogweed",
    "libwolfssl",
    "libbotan",
    "libmbedcrypto",
    "libmbedx509",
    // The name of libmbedcrypto since Mbed TLS 4.
    "libtfpsacrypto",
    "libcryptopp",
    "liboqs",
    // LibreSSL, BoringSSL's shared build, AWS-LC and its users.
    "libtls",
    "libboringssl",
    "libaws-lc",
    "libs2n",
    "libamazonCorrettoCryptoProvider",
    // NSS loads the last five by dlopen.
    "libssl3",
    "libsmime3",
    "libnssutil3",
    "libsoftokn3",
    "libfreebl3",
    "libfreeblpriv3",
    "libnssckbi",
    "libnssdbm3",
    // Kerberos, Java, the kernel's crypto interface, Azure Linux.
    "libk5crypto",
    "libsunec",
    "libj2pkcs11",
    "libkcapi",
    "libsymcrypt",
    // Hardware tokens and their emulations.
    "libp11",
    "libtss2",
    "libtpm2_pkcs11",
    "libsofthsm2",
    "libykcs11",
    "opensc-pkcs11",
    "libica",
    "libqat",
    // OpenSSL's validated provider.
    "fips",
    // Libraries for a single purpose.
    "libtomcrypt",
    "libargon2",
    "libsecp256k1",
];

/// Classifies by the file name, the part after the last slash of `path`.
pub fn by_name(path: &str) -> ByName {
    let name = path.rsplit('/').next().unwrap_or(path);
    if NAMES.contains(&name) {
        return ByName::Is(Kind::Keystore);
    }
    let suffix = name.rfind('.').and_then(|dot| name.get(dot..)).unwrap_or_default();
    if let Some((_, known)) = SUFFIXES.iter().find(|(known, _)| known.eq_ignore_ascii_case(suffix))
    {
        return *known;
    }
    if is_ssh_key(name) { ByName::Is(Kind::PrivateKey) } else { ByName::NoOpinion }
}

/// Whether this is a name of an SSH private key, or of a copy of one.
fn is_ssh_key(name: &str) -> bool {
    let end = match name.strip_prefix(HOST_KEY) {
        // `ssh_host_key` was the key of protocol version 1.
        Some(kind) => kind
            .find("_key")
            .map(|at| at + "_key".len())
            .or(kind.starts_with("key").then_some(3))
            .and_then(|at| kind.get(at..)),
        None => PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)),
    };
    // A letter continues the word, as in `id_rsautil`.
    let goes_on = |c: char| c.is_ascii_alphabetic() || !c.is_ascii();
    end.is_some_and(|end| !end.starts_with(goes_on) && !is_public(end))
}

/// Whether a part of a key's name marks the public key, as in `.pub.bak` and `-cert.pub~`.
fn is_public(end: &str) -> bool {
    end.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word.eq_ignore_ascii_case("pub") || word.eq_ignore_ascii_case("public"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_suffix() {
        for (path, kind) in [
            ("/etc/ssl/certs/ca-certificates.crt", Kind::Certificate),
            ("/etc/ssl/certs/server.cer", Kind::Certificate),
            ("/etc/ssl/certs/server.cert", Kind::Certificate),
            ("/etc/ssl/private/server.key", Kind::PrivateKey),
            ("/etc/ssl/keystore.p12", Kind::Keystore),
            ("/home/USER/identity.pfx", Kind::Keystore),
            ("/a.pkcs12", Kind::Keystore),
            ("/opt/app/keystore.jks", Kind::Keystore),
            ("/opt/app/.keystore", Kind::Keystore),
            ("/opt/app/kafka.client.truststore", Kind::Keystore),
            ("/a.JCEKS", Kind::Keystore),
            ("/a.bks", Kind::Keystore),
            ("/a.bcfks", Kind::Keystore),
            ("/SERVER.CRT", Kind::Certificate),
            ("/server.KeY", Kind::PrivateKey),
            ("/a.pem.key", Kind::PrivateKey),
        ] {
            assert_eq!(by_name(path), ByName::Is(kind), "{path}");
        }
        assert_eq!(by_name("/x.pem"), ByName::LookInside);
        assert_eq!(by_name("/x.PEM"), ByName::LookInside);
    }

    #[test]
    fn keystores_by_name() {
        for path in [
            "/etc/ssl/certs/java/cacerts",
            "/usr/lib/jvm/java-17/lib/security/jssecacerts",
            "/home/USER/.pki/nssdb/cert9.db",
            "/home/USER/.pki/nssdb/key4.db",
            "/home/USER/.mozilla/firefox/x.default/cert8.db",
            "/etc/pki/nssdb/key3.db",
        ] {
            assert_eq!(by_name(path), ByName::Is(Kind::Keystore), "{path}");
        }
        for path in ["/CACERTS", "/cacerts.txt", "/xcacerts", "/cert9.db-journal", "/key4.dbx"] {
            assert_eq!(by_name(path), ByName::NoOpinion, "{path}");
        }
    }

    #[test]
    fn ssh_private_keys_by_name() {
        for path in [
            "/home/USER/.ssh/id_rsa",
            "/home/USER/.ssh/id_rsa_work",
            "/home/USER/.ssh/id_rsa-work",
            "/home/USER/.ssh/id_rsa.old",
            "/home/USER/.ssh/id_rsa~",
            "/home/USER/.ssh/id_rsa2",
            "/home/USER/.ssh/id_rsa (1)",
            "/home/USER/.ssh/id_rsa.example.com",
            "/home/USER/.ssh/id_dsa",
            "/home/USER/.ssh/id_ecdsa_sk_rk_login",
            "/home/USER/.ssh/id_ed25519_github",
            "/home/USER/.ssh/id_ed25519_sk",
            "/home/USER/.ssh/id_xmss",
            // Only whole words mark a public key.
            "/home/USER/.ssh/id_ed25519_pubsub",
            "/etc/ssh/ssh_host_ecdsa_key",
            "/etc/ssh/ssh_host_ed25519_key",
            "/etc/ssh/ssh_host_mldsa44_key",
            "/etc/ssh/ssh_host_rsa_key.rpmsave",
            "/etc/ssh/ssh_host_key",
            // The suffix decides.
            "/home/USER/.ssh/id_rsa.key",
        ] {
            assert_eq!(by_name(path), ByName::Is(Kind::PrivateKey), "{path}");
        }
        assert_eq!(by_name("/home/USER/.ssh/id_rsa.pem"), ByName::LookInside);
        assert_eq!(by_name("/home/USER/.ssh/id_rsa.crt"), ByName::Is(Kind::Certificate));
    }

    #[test]
    fn names_similar_to_ssh_private_keys() {
        for path in [
            "/home/USER/.ssh/id_rsa.pub",
            "/home/USER/.ssh/id_rsa.PUB",
            "/home/USER/.ssh/id_rsa_work.pub",
            "/home/USER/.ssh/id_rsa.pub.bak",
            "/home/USER/.ssh/id_rsa.pub~",
            "/home/USER/.ssh/id_rsa_public",
            "/home/USER/.ssh/id_ed25519-cert.pub",
            "/home/USER/.ssh/id_ed25519-cert.pub.old",
            "/home/USER/.ssh/id_rsa.ppk",
            "/home/USER/.ssh/id_rsa.gpg",
            "/home/USER/.ssh/ID_RSA",
            "/usr/include/id_rsautil",
            "/etc/ssh/ssh_host_rsa_key.pub",
            "/etc/ssh/ssh_host_rsa_key-cert.pub",
            "/etc/ssh/ssh_host_keys",
            "/etc/ssh/ssh_host_rsa_keyring",
            "/etc/ssh/ssh_host_notes",
            "/etc/ssh/ssh_host_",
        ] {
            assert_eq!(by_name(path), ByName::NoOpinion, "{path}");
        }
    }

    #[test]
    fn names_without_opinion() {
        for path in [
            "/etc/ld.so.cache",
            "/a.crt/x",
            "/x.der",
            "/x.csr",
            "/x.kdbx",
            "/x.ppk",
            "/x.pvk",
            "/etc/krb5.keytab",
            "/crt",
            "/x.crt~",
            "/x.crt ",
            "/",
            "",
            "…",
            "/é.ké",
        ] {
            assert_eq!(by_name(path), ByName::NoOpinion, "{path}");
        }
    }

    #[test]
    fn the_interest_is_within_the_limits_and_leaves_room_for_a_site() {
        assert!(SUFFIXES.len() <= 48 && NAMES.len() <= 128);
        assert!(PREFIXES.len() <= 8 && LIBRARIES.len() <= 48);
        assert!(SUFFIXES.iter().all(|(suffix, _)| (3..=15).contains(&suffix.len())));
        assert!(NAMES.iter().all(|name| (1..=31).contains(&name.len())));
        assert!(PREFIXES.iter().all(|prefix| (3..=15).contains(&prefix.len())));
        assert!(LIBRARIES.iter().all(|name| (3..=31).contains(&name.len())));
    }
}
