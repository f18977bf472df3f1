//! Why the kernel side cannot run.

/// Why the kernel side cannot run; [`Error::exit_code`] is the program's answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program may not use BPF.
    #[error(
        "tracing needs the capabilities {missing}: run it with sudo, or grant them once with \
         `sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep {program}`"
    )]
    Privileges {
        /// Names of the missing capabilities.
        missing: String,
        /// Path of this program, quoted for a shell.
        program: String,
    },
    /// The program is in a user namespace of its own.
    #[error(
        "tracing needs capabilities of the whole system, and this process is in a user namespace of its own: run it \
         outside, as the system's root"
    )]
    UserNamespace,
    /// The kernel does not have what is needed.
    #[error(
        "this kernel cannot be traced: {lacks} (needed: x86-64, BTF, and BPF as in Linux 5.17)"
    )]
    Kernel {
        /// What it lacks.
        lacks: String,
    },
    /// No probe for something that was asked for could be loaded and attached.
    #[error(
        "no probe for {purpose} works here: {reasons}; `crypto-tracer doctor` shows all probes"
    )]
    Probe {
        /// What it is for.
        purpose: &'static str,
        /// Each probe that was tried, and why it does not work.
        reasons: String,
    },
    /// There is no probe of the name that was given.
    #[error(
        "there is no probe {name:?} (--probe, or open_probe in the configuration); there are: {known}"
    )]
    UnknownProbe {
        /// The name.
        name: String,
        /// Names that there are.
        known: String,
    },
    /// The BPF object or its maps could not be set up.
    #[error("the BPF programs could not be set up: {what}; `crypto-tracer doctor` shows more")]
    Setup {
        /// What failed.
        what: String,
    },
    /// An option that cannot be obeyed.
    #[error("{0}")]
    Option(String),
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::UnknownProbe { .. } | Error::Option(_) => 2,
            Error::Privileges { .. } | Error::UserNamespace => 3,
            Error::Kernel { .. } => 4,
            Error::Probe { .. } | Error::Setup { .. } => 5,
        }
    }
}

impl Error {
    /// What it means for a single probe.
    pub(super) fn refusal(&self) -> AttachRefusal {
        let (reason, remedy) = match self {
            Error::Privileges { missing, .. } => (
                format!("the capabilities {missing} are missing"),
                "run it with sudo, or grant them with setcap",
            ),
            Error::UserNamespace => (
                "this process is in a user namespace of its own".to_owned(),
                "run it outside, as the system's root",
            ),
            Error::Kernel { lacks } => (
                format!("this kernel cannot be traced: {lacks}"),
                "trace on x86-64 with CONFIG_DEBUG_INFO_BTF and BPF as in Linux 5.17, as RHEL 9.2 and later have it too",
            ),
            Error::Option(_) | Error::UnknownProbe { .. } => {
                (self.to_string(), "give another value, or none")
            }
            Error::Probe { .. } | Error::Setup { .. } => {
                return AttachRefusal::unexpected(self.to_string());
            }
        };
        AttachRefusal { reason, remedy }
    }
}

/// Why a probe does not work here, and what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AttachRefusal {
    pub(super) reason: String,
    pub(super) remedy: &'static str,
}

impl AttachRefusal {
    /// Something that should work wherever BPF does.
    pub(super) fn unexpected(reason: String) -> AttachRefusal {
        AttachRefusal { reason, remedy: "report this text with the kernel's release" }
    }

    /// With where it happened in front.
    pub(super) fn at(self, place: &str) -> AttachRefusal {
        AttachRefusal { reason: format!("{place}: {}", self.reason), ..self }
    }
}

/// An error and what caused it, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = first_line(&error.to_string());
    let mut next = error.source();
    while let Some(source) = next {
        let more = first_line(&source.to_string());
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let text = String::new;
        let privileges = Error::Privileges { missing: "CAP_BPF".into(), program: "/x".into() };
        assert!(privileges.to_string().contains("setcap"));
        assert_eq!(privileges.exit_code(), 3);
        assert_eq!(Error::Kernel { lacks: text() }.exit_code(), 4);
        assert_eq!(Error::Probe { purpose: "opens", reasons: text() }.exit_code(), 5);
        assert_eq!(Error::Setup { what: text() }.exit_code(), 5);
        assert_eq!(Error::UnknownProbe { name: text(), known: text() }.exit_code(), 2);
    }
}
