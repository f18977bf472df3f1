//! Errors of the kernel side.

use crate::arch;

/// Reason why the kernel side cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This process lacks capabilities.
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
    /// This process is not in the initial user namespace.
    #[error(
        "tracing needs capabilities in the initial user namespace, but this process is in a user namespace of its own: \
         run it outside, as the host's root"
    )]
    UserNamespace,
    /// The kernel lacks a required feature.
    #[error(
        "this kernel cannot be traced: {lacks} (required: {processor}, BTF and the BPF features of Linux 5.17)",
        processor = arch::NAME
    )]
    Kernel {
        /// The missing feature.
        lacks: String,
    },
    /// No probe for a requested kind of event works.
    #[error(
        "no probe for {purpose} works here: {reasons}; `crypto-tracer doctor` shows all probes"
    )]
    Probe {
        /// The kind of event.
        purpose: &'static str,
        /// Each probe that was tried, with the reason why it does not work.
        reasons: String,
    },
    /// The requested probe does not exist.
    #[error(
        "unknown probe {name:?} (--probe, or open_probe in the configuration); available: {known}"
    )]
    UnknownProbe {
        /// The requested name.
        name: String,
        /// The available names.
        known: String,
    },
    /// The BPF object or its maps cannot be set up.
    #[error("cannot set up the BPF programs: {what}; `crypto-tracer doctor` shows more")]
    Setup {
        /// The step that failed, and the cause.
        what: String,
    },
    /// An option is invalid.
    #[error("{0}")]
    Option(String),
}

impl Error {
    /// Returns the documented exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::UnknownProbe { .. } | Error::Option(_) => 2,
            Error::Privileges { .. } | Error::UserNamespace => 3,
            Error::Kernel { .. } => 4,
            Error::Probe { .. } | Error::Setup { .. } => 5,
        }
    }

    /// Returns the error as a reason why a single probe does not work.
    pub(super) fn refusal(&self) -> AttachRefusal {
        let (reason, remedy) = match self {
            Error::Privileges { missing, .. } => (
                format!("the capabilities {missing} are missing"),
                "run it with sudo, or grant them with setcap",
            ),
            Error::UserNamespace => (
                "this process is in a user namespace of its own".to_owned(),
                "run it outside, as the host's root",
            ),
            Error::Kernel { lacks } => {
                (format!("this kernel cannot be traced: {lacks}"), arch::KERNEL_REMEDY)
            }
            Error::Option(_) | Error::UnknownProbe { .. } => {
                (self.to_string(), "use another value, or omit the option")
            }
            Error::Probe { .. } | Error::Setup { .. } => {
                return AttachRefusal::unexpected(self.to_string());
            }
        };
        AttachRefusal { reason, remedy }
    }
}

/// Reason why a probe does not work here, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AttachRefusal {
    pub(super) reason: String,
    pub(super) remedy: &'static str,
}

impl AttachRefusal {
    /// A failure of something that works wherever BPF does.
    pub(super) fn unexpected(reason: String) -> AttachRefusal {
        AttachRefusal { reason, remedy: "report this text and the kernel release" }
    }

    /// Prefixes the reason with the hook.
    pub(super) fn at(self, hook: &str) -> AttachRefusal {
        AttachRefusal { reason: format!("{hook}: {}", self.reason), ..self }
    }
}

/// Formats an error and its sources on one line, without repetition.
pub(super) fn error_chain(error: &dyn std::error::Error) -> String {
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
