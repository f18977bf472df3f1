//! Libraries: told when their code is mapped.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crypto_tracer::source::Kinds;
use crypto_tracer_common::record::kind;

use super::{sys, world};

fn map(at: &Path, prot: i32) {
    let file = sys::open(at, 0).unwrap();
    let fd = file.as_raw_fd();
    // SAFETY: a new mapping that nobody uses; it stays until the process ends.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, libc::MAP_PRIVATE, fd, 0) };
    assert_ne!(page, libc::MAP_FAILED);
}

#[test]
fn code_that_is_mapped_is_told_and_reading_is_not() {
    let interest = world::interest();
    let kinds = Kinds { load: true, ..Kinds::NONE };
    let Some(mut world) = world::start(&world::options(&interest, kinds)) else { return };
    let (_keep, dir) = world::directory();
    let long = format!("libssl.so.{}", "9".repeat(200));
    let wanted = [
        "libssl",
        "libssl.so",
        "libssl.so.3",
        "libssl-3.so",
        "libcrypto.so.1.1",
        "libaws-lc.so",
        "libaws-lc-2.so",
        &long,
    ];
    let others =
        ["libssl3.so", "libssl_x.so", "xlibssl.so", "libss", "LIBSSL.so", "libaws.so", "x.pem"];
    for name in wanted.iter().chain(&others) {
        let at = dir.join(name);
        fs::write(&at, [0; 4096]).unwrap();
        map(&at, libc::PROT_READ);
        map(&at, libc::PROT_READ | libc::PROT_EXEC);
    }
    let me = std::process::id();
    let got = world.records(wanted.len(), |record| record.header.tgid == me);
    let names: Vec<String> = got.iter().map(|record| record.text()).collect();
    let expected: Vec<String> =
        wanted.iter().map(|name| dir.join(name).display().to_string()).collect();
    assert_eq!(names, expected);
    for (record, name) in got.iter().zip(wanted) {
        assert_eq!(record.header.kind, kind::LIB_LOAD);
        assert_eq!(record.header.inode, fs::metadata(dir.join(name)).unwrap().ino());
        assert_eq!(record.header.detail, 0);
    }
}

#[test]
fn a_real_program_loads_its_libraries() {
    let interest = world::interest();
    let kinds = Kinds { load: true, ..Kinds::NONE };
    let Some(mut world) = world::start(&world::options(&interest, kinds)) else { return };
    let Ok(mut child) = std::process::Command::new("openssl").arg("version").spawn() else {
        println!("not tried: there is no openssl here");
        return;
    };
    child.wait().unwrap();
    let got = world.records(2, |record| record.header.tgid == child.id());
    let mut names: Vec<String> = got
        .iter()
        .map(|record| Path::new(std::ffi::OsStr::from_bytes(&record.path)).to_path_buf())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["libcrypto.so.3", "libssl.so.3"]);
}
