//! Library names from file names, and container ids from cgroup paths.

/// Returns the name of a library without its version and without the words of a packager: up to `.so`, or to a `-` or
/// `.` in front of a digit or of a packager's word ([`is_inserted`]).
///
/// `libssl.so.1.1`, `libssl-3.so` and `libssl-3e69114b.so.1.1.1k` give `libssl`; `libnss3.so` gives `libnss3`.
pub fn library_name(file_name: &[u8]) -> &[u8] {
    let ends = |at: &usize| {
        let rest = file_name.split_at(*at).1;
        let versioned = |rest: &[u8]| rest.first().is_some_and(u8::is_ascii_digit);
        match rest.strip_prefix(b".") {
            Some(rest) => {
                rest == b"so" || rest.starts_with(b"so.") || versioned(rest) || is_inserted(rest)
            }
            None => {
                rest.strip_prefix(b"-").is_some_and(|rest| versioned(rest) || is_inserted(rest))
            }
        }
    };
    let end = (1..file_name.len()).find(ends).unwrap_or(file_name.len());
    file_name.split_at(end).0
}

/// Returns whether all words up to the next `.` were inserted by a packager between the name and the version, so that one
/// process can load two builds of a library: a hash of 8 to 64 hexadecimal digits (auditwheel, delvewheel), Debian's
/// `deb0`, or a number.
fn is_inserted(rest: &[u8]) -> bool {
    rest.split(|&byte| byte == b'.').next().unwrap_or_default().split(|&byte| byte == b'-').all(
        |word| {
            let is_hash = (8..=64).contains(&word.len()) && word.iter().all(u8::is_ascii_hexdigit);
            let is_debian = word.strip_prefix(b"deb").is_some_and(is_number);
            is_hash || is_debian || is_number(word)
        },
    )
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// Returns the container id in a cgroup path: 64 hexadecimal digits, alone or with the prefixes and suffixes of docker,
/// containerd, CRI-O and podman. `conmon`, the monitor of podman and CRI-O, runs on the host.
pub fn container(cgroup: &str) -> Option<&str> {
    const LEN: usize = 64;
    cgroup.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        if part.split('-').any(|word| word == "conmon") {
            return None;
        }
        let part = part.rsplit(['-', ':']).next().unwrap_or(part);
        (part.len() == LEN && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
            .then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_names_have_no_version() {
        for (file_name, name) in [
            ("libssl.so.1.1", "libssl"),
            ("libssl.so.3", "libssl"),
            ("libssl-3.so", "libssl"),
            ("libssl.so", "libssl"),
            ("libssl", "libssl"),
            ("libnss3.so", "libnss3"),
            ("libcrypto.so.1.1", "libcrypto"),
            ("libmbedtls.so.14", "libmbedtls"),
            ("libbotan-2.so.19", "libbotan"),
            ("libaws-lc.so", "libaws-lc"),
            ("libgnutls.30.dylib", "libgnutls"),
            ("libcrypto.sox", "libcrypto.sox"),
            (".so", ".so"),
            ("", ""),
        ] {
            assert_eq!(library_name(file_name.as_bytes()), name.as_bytes(), "{file_name}");
        }
    }

    #[test]
    fn library_names_have_no_words_of_a_packager() {
        let md5 = "0123456789abcdef0123456789abcdef";
        for (file_name, name) in [
            ("libcrypto-fb8d5b21.so.3".to_owned(), "libcrypto"),
            ("libssl-3e69114b.so.1.1.1k".to_owned(), "libssl"),
            ("libssl-deadbeef.so".to_owned(), "libssl"),
            ("libcrypto-12345678.so.3".to_owned(), "libcrypto"),
            ("libgnutls-deb0.so.28".to_owned(), "libgnutls"),
            ("libgnutls-deb0.so.26.22.4".to_owned(), "libgnutls"),
            ("libaws-lc-a1b2c3d4.so".to_owned(), "libaws-lc"),
            ("libnss3-f00dfeed.so".to_owned(), "libnss3"),
            ("libbotan-2-abcdef01.so.19".to_owned(), "libbotan"),
            ("libtss2-esys-abcdef01.so.0".to_owned(), "libtss2-esys"),
            ("libgcrypt-f40039e1-0352e75f.so.20".to_owned(), "libgcrypt"),
            ("libcrypto-fb8d5b21".to_owned(), "libcrypto"),
            ("libsodium.fb8d5b21.so.23".to_owned(), "libsodium"),
            ("libcrypto-FB8D5B21.so.3".to_owned(), "libcrypto"),
            (format!("libmbedtls-{md5}.so"), "libmbedtls"),
            (format!("libsodium-f{}.so", "0".repeat(63)), "libsodium"),
        ] {
            assert_eq!(library_name(file_name.as_bytes()), name.as_bytes(), "{file_name}");
        }
    }

    #[test]
    fn library_names_keep_the_words_of_a_name() {
        for (file_name, name) in [
            ("libtss2-esys.so.0", "libtss2-esys"),
            ("libgnutls-dane.so.0", "libgnutls-dane"),
            ("libgnutls-openssl.so.27", "libgnutls-openssl"),
            ("libcrypto-awslc.so", "libcrypto-awslc"),
            ("libp11-kit.so.0", "libp11-kit"),
            ("libpkcs11-helper.so.1", "libpkcs11-helper"),
            ("opensc-pkcs11.so", "opensc-pkcs11"),
            ("libica-cex.so.4", "libica-cex"),
            ("libfreeblpriv3.so", "libfreeblpriv3"),
            // A hash has at least eight hexadecimal digits and no other letters.
            ("libssl-abcdef0.so", "libssl-abcdef0"),
            ("libssl-deadbeeg.so", "libssl-deadbeeg"),
            ("libssl-deb.so", "libssl-deb"),
            ("libssl-debug.so", "libssl-debug"),
            // The name continues after a word of hexadecimal digits.
            ("libssl-deadbeef-legacy.so", "libssl-deadbeef-legacy"),
            ("-deadbeef.so", "-deadbeef"),
        ] {
            assert_eq!(library_name(file_name.as_bytes()), name.as_bytes(), "{file_name}");
        }
    }

    #[test]
    fn container_ids_of_container_runtimes() {
        let id = "0123456789abcdef".repeat(4);
        for cgroup in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("/kubepods/besteffort/pod12/{id}"),
            format!("/kubepods.slice/crio-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope/container"),
            format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{id}"),
            // Cgroup version 1: containerd, CRI-O and podman with the cgroupfs driver, docker with another parent.
            format!("/kubepods/burstable/pod1-2-3/crio-{id}"),
            format!("/default/{id}"),
            format!("/libpod_parent/libpod-{id}"),
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope"),
            format!("/actions_job/{id}"),
            // A nested container.
            format!("/docker/{}/docker/{id}", "f".repeat(64)),
        ] {
            assert_eq!(container(&cgroup), Some(id.as_str()), "{cgroup}");
        }
        let monitors = [
            format!("/machine.slice/libpod-conmon-{id}.scope"),
            format!("/crio-conmon-{id}.scope"),
        ];
        let others = ["/", "/user.slice/user-0.slice/session-1.scope", "/docker/0123"];
        for cgroup in others.into_iter().chain(monitors.iter().map(String::as_str)) {
            assert_eq!(container(cgroup), None, "{cgroup}");
        }
    }
}
