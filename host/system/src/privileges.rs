//! What a process may do, as the kernel reports it.

use std::fmt::{self, Display, Formatter};

use rustix::thread::CapabilitySet;

/// Privileges of a process, read from its `/proc/PID/status`, which every user may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// Permitted capabilities.
    pub capabilities: u64,
    /// It cannot gain privileges by executing a program.
    pub no_new_privs: bool,
    /// Number of its system call filters.
    pub filters: u32,
    /// File mode creation mask, if the kernel reports it.
    pub umask: Option<u32>,
}

impl Privileges {
    /// Privileges of a process. `None`: it has ended, or `/proc` does not show it.
    pub fn of(pid: u32) -> Option<Privileges> {
        Privileges::parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    fn parse(status: &str) -> Option<Privileges> {
        let value =
            |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        Some(Privileges {
            capabilities: u64::from_str_radix(value("CapPrm:")?, 16).ok()?,
            no_new_privs: value("NoNewPrivs:")? == "1",
            // Kernels before 5.9 report only the mode, of which 2 is a filter.
            filters: match value("Seccomp_filters:").and_then(|text| text.parse().ok()) {
                Some(filters) => filters,
                None => u32::from(value("Seccomp:")? == "2"),
            },
            umask: value("Umask:").and_then(|text| u32::from_str_radix(text, 8).ok()),
        })
    }
}

impl Display for Privileges {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Privileges { capabilities, no_new_privs, filters, umask } = *self;
        let names: Vec<String> = CapabilitySet::from_bits_retain(capabilities)
            .iter_names()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        match names.as_slice() {
            [] => f.write_str("no capabilities")?,
            names => write!(f, "capabilities {}", names.join(" "))?,
        }
        f.write_str(if no_new_privs { ", no new privileges" } else { ", may gain privileges" })?;
        f.write_str(if filters > 0 { ", system calls filtered" } else { ", all system calls" })?;
        umask.map_or(Ok(()), |umask| write!(f, ", umask {umask:04o}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn privileges_of_a_process_are_listed() {
        let status = "Name:\tx\nUmask:\t0077\nCapPrm:\t0000000000080004\nNoNewPrivs:\t1\nSeccomp:\t2\n\
                      Seccomp_filters:\t3\n";
        let reader = Privileges::parse(status).unwrap();
        assert_eq!((reader.filters, reader.umask), (3, Some(0o77)));
        assert_eq!(
            reader.to_string(),
            "capabilities dac_read_search sys_ptrace, no new privileges, system calls filtered, umask 0077"
        );
        let older = "CapPrm:\t0\nNoNewPrivs:\t0\nSeccomp:\t0\n";
        let older = Privileges::parse(older).unwrap();
        assert_eq!(older.to_string(), "no capabilities, may gain privileges, all system calls");
        assert!(Privileges::of(std::process::id()).is_some());
    }

    proptest! {
        #[test]
        fn any_status_is_parsed_without_a_panic(status in "(CapPrm:|NoNewPrivs:|Seccomp:|Umask:)?\\PC{0,20}\n?") {
            let _ = Privileges::parse(&status);
        }
    }
}
