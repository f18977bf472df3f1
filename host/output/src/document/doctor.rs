//! The document of `doctor`: what this kernel and these privileges allow. It contains no data of users' processes or
//! files.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Document, text_of};
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_event::{Timestamp, schema};

/// What this kernel and these privileges allow.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "crypto-tracer: doctor report", deny_unknown_fields)]
pub struct DoctorReport {
    /// Version of this format.
    pub doctor_version: &'static str,
    /// Time of the report, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    pub generated_at: String,
    /// Version of the program.
    pub program_version: &'static str,
    /// Whether `monitor` would run.
    pub ready: bool,
    /// Exit code of `monitor` if it would not run; 0 if it would.
    pub exit_code: u8,
    /// Reason why it would not run; null if it would.
    pub reason: Option<String>,
    /// Accesses that it would not observe.
    pub cannot_see: Vec<String>,
    /// The kernel.
    pub kernel: KernelReport,
    /// Capabilities that a run uses.
    pub capabilities: Vec<CapabilityReport>,
    /// Restrictions of a run's processes after the start.
    pub confinement: ConfinementReport,
    /// The pid namespace, whose processes are reported.
    pub pid_namespace: PidNamespace,
    /// Sizes and limits of a run.
    pub limits: RunLimits,
    /// Every probe for every purpose, best first.
    pub probes: Vec<ProbeReport>,
}

/// The kernel.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct KernelReport {
    /// Release of the kernel.
    pub release: String,
    /// Preemption model: `chosen` (at places that the kernel chose), `full` or `unknown`.
    pub preemption: &'static str,
    /// Size of the BTF type information in bytes; null if there is none.
    pub btf_bytes: Option<u64>,
    /// Lockdown mode: `none`, `integrity` or `confidentiality`; null if unknown.
    pub lockdown: Option<String>,
    /// Active security modules; null if unknown.
    pub security_modules: Option<Vec<String>>,
}

/// A capability.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct CapabilityReport {
    /// Name of the capability.
    pub name: &'static str,
    /// Whether the program has it.
    pub held: bool,
    /// Purpose of the capability.
    pub needed_for: &'static str,
}

/// Restrictions of a run's processes after the start. No process gains privileges, or can be inspected by its user.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct ConfinementReport {
    /// Whether the kernel restricts the system calls of a process (seccomp).
    pub seccomp: bool,
    /// Version of Landlock, which restricts where the main process may write; null if the kernel has none.
    pub landlock: Option<u32>,
    /// The processes of a run.
    pub processes: Vec<ConfinedProcess>,
}

/// A process of a run after the start.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct ConfinedProcess {
    /// `main`, `reader` (also its spawner) or `opener`.
    pub process: &'static str,
    /// Capabilities that it may keep.
    pub capabilities: Vec<&'static str>,
    /// Number of system calls that it may make.
    pub system_calls: usize,
    /// What it may write.
    pub writes: &'static str,
}

/// The pid namespace of the program.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct PidNamespace {
    /// Whether it is the initial namespace, which contains every process.
    pub initial: bool,
    /// Processes that are not reported in another namespace.
    pub note: Option<&'static str>,
}

/// Sizes and limits of a run.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct RunLimits {
    /// Size of the ring buffer in bytes.
    pub ring_bytes: u32,
    /// Maximum length of a path in bytes. The beginning of a longer path is removed.
    pub path_bytes: usize,
    /// Maximum length of a command line in bytes. The end of a longer command line is removed.
    pub cmdline_bytes: usize,
    /// Maximum number of suffixes of all classifiers together.
    pub suffixes: usize,
    /// Maximum number of file names of all classifiers together.
    pub file_names: usize,
    /// Maximum number of file name prefixes of all classifiers together.
    pub file_prefixes: usize,
    /// Maximum number of libraries of all classifiers together.
    pub libraries: usize,
    /// Maximum number of processes that a run remembers.
    pub processes: usize,
    /// Maximum number of descendants that `--follow-children` follows at a time.
    pub followed: u32,
}

/// A set of BPF programs that together serve one purpose.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct ProbeReport {
    /// Purpose of the probe.
    pub purpose: &'static str,
    /// Name of the probe; for opens and library loads, the value of `--probe`.
    pub name: &'static str,
    /// Whether it attached and passed its self test.
    pub works: bool,
    /// Whether a run would use it.
    pub chosen: bool,
    /// Reason why it does not work or is not preferred.
    pub reason: Option<String>,
    /// Remedy for the reason.
    pub remedy: Option<&'static str>,
    /// Accesses that it cannot observe.
    pub cannot_see: Vec<String>,
    /// Cost for other processes.
    pub costs: Option<&'static str>,
    /// Kernel functions, tracepoints or hooks that it is attached to.
    pub hooks: Vec<String>,
    /// BPF programs of the probe.
    pub programs: Vec<ProgramReport>,
}

/// A BPF program.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct ProgramReport {
    /// Name of the program.
    pub name: &'static str,
    /// Instructions that the kernel's verifier processed, of at most one million; null if unknown.
    pub verified_instructions: Option<u32>,
}

impl DoctorReport {
    /// Formats a time for `generated_at`.
    pub fn format_time(at: Timestamp) -> String {
        text_of(at)
    }
}

/// Appends a line with `name` in the first column.
fn push_entry(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<20} {}", printable(value));
}

impl Document for DoctorReport {
    fn summary(&self) -> String {
        let mut text = String::new();
        match &self.reason {
            None => text.push_str("monitor would run.\n"),
            Some(reason) => {
                let _ = writeln!(
                    text,
                    "monitor would not run (exit code {}): {}",
                    self.exit_code,
                    printable(reason)
                );
            }
        }
        for blind_spot in &self.cannot_see {
            let _ = writeln!(text, "  it cannot see {}", printable(blind_spot));
        }
        text.push('\n');
        self.push_environment(&mut text);
        let mut purpose = "";
        for probe in &self.probes {
            if probe.purpose != purpose {
                purpose = probe.purpose;
                let _ = writeln!(text, "\nProbes for {purpose}:");
            }
            probe.push_to(&mut text);
        }
        text
    }
}

impl DoctorReport {
    fn push_environment(&self, text: &mut String) {
        let DoctorReport { kernel, limits, .. } = self;
        push_entry(text, "program", &format!("crypto-tracer {}", self.program_version));
        push_entry(text, "kernel", &kernel.release);
        push_entry(
            text,
            "preemption",
            match kernel.preemption {
                "chosen" => "at places that the kernel chose",
                "full" => "nearly everywhere",
                _ => "not reported by the kernel",
            },
        );
        let btf = kernel.btf_bytes.map_or_else(|| "none".into(), |bytes| format!("{bytes} bytes"));
        push_entry(text, "BTF", &btf);
        let unknown = "not reported by the kernel (is securityfs mounted?)";
        push_entry(text, "lockdown", kernel.lockdown.as_deref().unwrap_or(unknown));
        let modules = kernel.security_modules.as_ref().map(|modules| modules.join(", "));
        push_entry(text, "security modules", modules.as_deref().unwrap_or(unknown));
        for capability in &self.capabilities {
            let held = if capability.held { "held" } else { "MISSING" };
            push_entry(text, capability.name, &format!("{held} ({})", capability.needed_for));
        }
        let ConfinementReport { seccomp, landlock, processes } = &self.confinement;
        push_entry(text, "system call filters", if *seccomp { "yes" } else { "MISSING (seccomp)" });
        let landlock =
            landlock.map_or_else(|| "MISSING".into(), |version| format!("version {version}"));
        push_entry(text, "Landlock", &landlock);
        for process in processes {
            let ConfinedProcess { process, capabilities, system_calls, writes } = process;
            let capabilities = match capabilities.as_slice() {
                [] => "no capabilities".to_owned(),
                names => names.join(" "),
            };
            let value = format!("{capabilities}; {system_calls} system calls; writes {writes}");
            push_entry(text, &format!("process {process}"), &value);
        }
        push_entry(
            text,
            "pid namespace",
            self.pid_namespace.note.unwrap_or("the first: all processes"),
        );
        push_entry(text, "ring", &format!("{} bytes", limits.ring_bytes));
        let values = format!(
            "{} bytes of a path, {} of a command line; {} suffixes, {} file names, {} file prefixes, \
             {} libraries; {} processes remembered, {} followed",
            limits.path_bytes,
            limits.cmdline_bytes,
            limits.suffixes,
            limits.file_names,
            limits.file_prefixes,
            limits.libraries,
            limits.processes,
            limits.followed,
        );
        push_entry(text, "limits", &values);
    }
}

impl ProbeReport {
    fn push_to(&self, text: &mut String) {
        let state = match (self.works, self.chosen) {
            (true, true) => "works, chosen",
            (true, false) => "works",
            (false, _) => "does not work",
        };
        let _ = writeln!(text, "  {:<8}{state} ({})", self.name, self.hooks.join(", "));
        let mut detail = |name: &str, value: &str| {
            let _ = writeln!(text, "          {name}: {}", printable(value));
        };
        if let Some(reason) = &self.reason {
            detail(if self.works { "against it" } else { "why" }, reason);
        }
        if let Some(remedy) = self.remedy {
            detail("remedy", remedy);
        }
        for blind_spot in &self.cannot_see {
            detail("cannot see", blind_spot);
        }
        if let Some(costs) = self.costs {
            detail("costs", costs);
        }
        for program in &self.programs {
            if let Some(count) = program.verified_instructions {
                detail(
                    program.name,
                    &format!("{} verified, of 1000000", counted(count, "instruction")),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> DoctorReport {
        let probe = ProbeReport {
            purpose: "opens",
            name: "lsm",
            works: false,
            chosen: false,
            reason: Some("not \u{1b}[31mpermitted".into()),
            remedy: Some("boot with it"),
            cannot_see: vec!["this".into()],
            costs: None,
            hooks: vec!["lsm file_open".into()],
            programs: vec![ProgramReport { name: "file_open", verified_instructions: Some(7) }],
        };
        DoctorReport {
            doctor_version: "1.0",
            generated_at: DoctorReport::format_time(Timestamp(0)),
            program_version: "0.0.0",
            ready: false,
            exit_code: 5,
            reason: Some("no probe".into()),
            cannot_see: Vec::new(),
            kernel: KernelReport {
                release: "6.1.0".into(),
                preemption: "chosen",
                btf_bytes: None,
                lockdown: None,
                security_modules: Some(vec!["lockdown".into(), "bpf".into()]),
            },
            capabilities: vec![CapabilityReport {
                name: "CAP_BPF",
                held: false,
                needed_for: "all",
            }],
            confinement: ConfinementReport {
                seccomp: false,
                landlock: Some(7),
                processes: vec![ConfinedProcess {
                    process: "reader",
                    capabilities: vec!["CAP_SYS_PTRACE"],
                    system_calls: 9,
                    writes: "nothing",
                }],
            },
            pid_namespace: PidNamespace { initial: true, note: None },
            limits: RunLimits {
                ring_bytes: 8 << 20,
                path_bytes: 4096,
                cmdline_bytes: 4096,
                suffixes: 64,
                file_names: 256,
                file_prefixes: 16,
                libraries: 64,
                processes: 16_384,
                followed: 32_768,
            },
            probes: vec![probe],
        }
    }

    #[test]
    fn the_summary_has_the_values_of_the_document() {
        let text = document().summary();
        for part in [
            "monitor would not run (exit code 5): no probe",
            "BTF                  none",
            "\nProbes for opens:\n",
            "at places that the kernel chose",
            "security modules     lockdown, bpf",
            "CAP_BPF              MISSING (all)",
            "lsm     does not work (lsm file_open)",
            "remedy: boot with it",
            "cannot see: this",
            "file_open: 7 instructions verified",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
        let mut full = document();
        full.kernel.preemption = "full";
        assert!(full.summary().contains("nearly everywhere"));
        assert_eq!(full.generated_at, "1970-01-01T00:00:00.000000Z");
    }
}
