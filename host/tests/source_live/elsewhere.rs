//! Other programs: a 32-bit program, a program in a container, and a program with the name of a certificate.

use std::ffi::CStr;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crypto_tracer_common::record::{flag, kind};
use crypto_tracer_event::EventKinds;
use crypto_tracer_tests::not_tried;

use super::processes::{ROLE, self_command};
use super::{loads, routes, sys, world};

crypto_tracer_tests::tests! {
    a_32_bit_program,
    execve_is_not_an_open,
    in_a_container;
    roles: container_role
}

/// Assembles an i386 program that opens this file for reading and exits with 0 on success.
fn program_of_32_bits(file: &Path) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let mut code = vec![0xb8, 5, 0, 0, 0, 0xbb]; // eax: open; ebx:
    let name_address = BASE + HEADERS + 29;
    code.extend(name_address.to_le_bytes());
    code.extend([0x31, 0xc9, 0x31, 0xd2, 0xcd, 0x80]); // ecx, edx: 0; int 0x80
    code.extend([0xc1, 0xe8, 31, 0x89, 0xc3]); // ebx: the sign of the result
    code.extend([0xb8, 1, 0, 0, 0, 0xcd, 0x80, 0x90]); // exit
    assert_eq!(code.len(), 29);
    code.extend(sys::path(file).as_bytes_with_nul());
    let size = HEADERS + code.len() as u32;
    let mut program = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    program.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes()));
    program.extend([1, BASE + HEADERS, 52, 0, 0_u32].iter().flat_map(|word| word.to_le_bytes()));
    program.extend([52_u16, 32, 1, 40, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    let segment = [1, 0, BASE, BASE, size, size, 5, 0x1000_u32];
    program.extend(segment.iter().flat_map(|word| word.to_le_bytes()));
    program.extend(code);
    program
}

fn a_32_bit_program() {
    const ROUTE: &str = "32-bit program";
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, EventKinds::ALL));
    let (_keep, dir) = world::directory();
    fs::write(dir.join("x.pem"), "").unwrap();
    let program = dir.join("program");
    fs::write(&program, program_of_32_bits(&dir.join("x.pem"))).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let mut child = match Command::new(&program).spawn() {
        Ok(child) => child,
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            routes::skip(ROUTE, "this kernel does not run 32-bit programs");
        }
        Err(error) => panic!("{error}"),
    };
    assert!(child.wait().unwrap().success());
    let got = world.records(4, |record| record.header.tgid == child.id());
    let kinds: Vec<u16> = got.iter().map(|record| record.header.kind).collect();
    let all = [kind::PROCESS_FORK, kind::PROCESS_EXEC, kind::FILE_OPEN, kind::PROCESS_EXIT];
    assert_eq!(kinds, all);
    assert_eq!(got[2].text(), dir.join("x.pem").display().to_string());
    routes::ok(ROUTE);
}

fn execve_is_not_an_open() {
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, EventKinds::ALL));
    let (_keep, dir) = world::directory();
    let program = dir.join("program.pem");
    fs::copy("/bin/cat", &program).unwrap();
    let mut child =
        Command::new(&program).arg(&program).stdout(std::process::Stdio::null()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let of_child = |record: &world::Record| record.header.tgid == child.id();
    world.records(4, of_child);
    // The program's own read is reported, but not the opens of the program and its interpreter by execve.
    let opens =
        world.records(1, |record| of_child(record) && record.header.kind == kind::FILE_OPEN);
    assert_eq!(opens.len(), 1, "{opens:?}");
    routes::ok("execve's own open: not reported");
}

/// Writes to a file without allocation, for use between fork and exec.
fn write(file: &CStr, text: &[u8]) -> std::io::Result<()> {
    let file = sys::openat(libc::AT_FDCWD, file, libc::O_WRONLY)?;
    // SAFETY: the kernel reads the bytes.
    match unsafe { libc::write(file.as_raw_fd(), text.as_ptr().cast(), text.len()) } {
        written if written >= 0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Sets up mount, PID and user namespaces and another root, as a container runtime does.
fn in_a_container() {
    let interest = world::interest();
    let mut world = world::start(&world::options(&interest, EventKinds::ALL));
    let (_keep, dir) = world::directory();
    let mut command = self_command("elsewhere::container_role", dir.to_str().unwrap());
    // SAFETY: the closure only makes system calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            if libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // Without a mapped user ID, exec would drop the capabilities in the new namespace.
            write(c"/proc/self/uid_map", b"0 0 1")?;
            write(c"/proc/self/setgroups", b"deny")?;
            write(c"/proc/self/gid_map", b"0 0 1")?;
            // The next child is PID 1 of the new PID namespace.
            let child = libc::fork();
            if child > 0 {
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                libc::_exit((status >> 8) & 0xff);
            }
            Ok(())
        });
    }
    let mut outer = match command.spawn() {
        Ok(outer) => outer,
        Err(error) => {
            for route in ["container (mount, pid and user namespaces)", "library in a container"] {
                routes::not_tried(route, format_args!("no user namespaces here ({error})"));
            }
            not_tried(format_args!("no user namespaces here ({error})"));
        }
    };
    assert!(outer.wait().unwrap().success(), "the process in the container failed");
    let inside = |record: &world::Record| record.header.ppid == outer.id();
    let is =
        |wanted: u16| move |record: &world::Record| inside(record) && record.header.kind == wanted;
    let opens = world.records(1, is(kind::FILE_OPEN));
    assert_eq!(opens.len(), 1, "{opens:?}");
    assert_eq!(opens[0].text(), "/etc/inside.pem");
    assert_ne!(opens[0].header.flags & flag::FOREIGN_USER_NS, 0);
    assert_ne!(opens[0].header.tgid, 1, "the PID in the tracer's namespace, not the container's");
    let own = fs::metadata("/proc/self/ns/mnt").unwrap();
    assert_ne!(u64::from(opens[0].header.mount_ns), std::os::unix::fs::MetadataExt::ino(&own));
    routes::ok("container (mount, pid and user namespaces)");
    let loads: Vec<_> = world.records(1, is(kind::LIB_LOAD));
    let texts: Vec<String> = loads.iter().map(|record| record.text()).collect();
    assert_eq!(texts.iter().filter(|text| *text == "/lib/libssl.so.3").count(), 1, "{texts:?}");
    routes::ok("library in a container");
}

/// Not a test: the process in the container.
fn container_role() {
    let Ok(dir) = std::env::var(ROLE) else { return };
    let dir = Path::new(&dir);
    assert_eq!(std::process::id(), 1);
    sys::mount("", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "").unwrap();
    sys::tmpfs(dir);
    for name in ["etc", "lib", "old"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    fs::write(dir.join("etc/temporary"), "").unwrap();
    fs::rename(dir.join("etc/temporary"), dir.join("etc/inside.pem")).unwrap();
    fs::write(dir.join("lib/libssl.so.3"), [0; 4096]).unwrap();
    std::env::set_current_dir(dir).unwrap();
    let args = [c".".as_ptr() as usize, c"old".as_ptr() as usize, 0, 0, 0];
    if sys::call(libc::SYS_pivot_root, args).is_err() {
        sys::call(libc::SYS_chroot, [c".".as_ptr() as usize, 0, 0, 0, 0]).unwrap();
    }
    std::env::set_current_dir("/").unwrap();
    drop(sys::open("/etc/inside.pem", 0).unwrap());
    loads::map(Path::new("/lib/libssl.so.3"), libc::PROT_READ | libc::PROT_EXEC);
}
