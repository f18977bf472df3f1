//! What names tell: the library that a file is, the container that a control group is.

/// The name of a library without its version: up to `.so`, or to a `-` or `.` in front of a digit.
///
/// `libssl.so.1.1` and `libssl-3.so` give `libssl`; `libnss3.so` gives `libnss3`.
pub fn library_name(file_name: &[u8]) -> &[u8] {
    let ends = |at: &usize| {
        let rest = file_name.split_at(*at).1;
        let versioned = |rest: &[u8]| rest.first().is_some_and(u8::is_ascii_digit);
        match rest.strip_prefix(b".") {
            Some(rest) => rest == b"so" || rest.starts_with(b"so.") || versioned(rest),
            None => rest.strip_prefix(b"-").is_some_and(versioned),
        }
    };
    let end = (1..file_name.len()).find(ends).unwrap_or(file_name.len());
    file_name.split_at(end).0
}

/// The container id in a cgroup path: 64 hexadecimal digits, alone or between the words of docker, containerd,
/// CRI-O and podman. `conmon` is podman's and CRI-O's watcher: it runs on the host.
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
    fn library_names_lose_their_version() {
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
    fn container_ids_of_the_runtimes() {
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
            // Version 1: containerd, CRI-O and podman with their own driver, docker below another parent.
            format!("/kubepods/burstable/pod1-2-3/crio-{id}"),
            format!("/default/{id}"),
            format!("/libpod_parent/libpod-{id}"),
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope"),
            format!("/actions_job/{id}"),
            // A container in a container: the inner one.
            format!("/docker/{}/docker/{id}", "f".repeat(64)),
        ] {
            assert_eq!(container(&cgroup), Some(id.as_str()), "{cgroup}");
        }
        let watchers = [
            format!("/machine.slice/libpod-conmon-{id}.scope"),
            format!("/crio-conmon-{id}.scope"),
        ];
        let others = ["/", "/user.slice/user-0.slice/session-1.scope", "/docker/0123"];
        for cgroup in others.into_iter().chain(watchers.iter().map(String::as_str)) {
            assert_eq!(container(cgroup), None, "{cgroup}");
        }
    }
}
