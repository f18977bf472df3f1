//! `doctor`: what this kernel and these privileges allow. Nothing in it is about a process or a file of anybody.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Document, text_of};
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_event::{Timestamp, schema};

/// What this kernel and these privileges allow.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "crypto-tracer: what doctor says", deny_unknown_fields)]
pub struct DoctorReport {
    /// Version of the document's shape.
    pub doctor_version: &'static str,
    /// When it was made, UTC.
    #[schemars(schema_with = "schema::timestamp")]
    pub generated_at: String,
    /// Version of the program.
    pub program_version: &'static str,
    /// Whether `monitor` would run.
    pub ready: bool,
    /// How `monitor` would end otherwise; 0: it would run.
    pub exit_code: u8,
    /// Why it would not run.
    pub reason: Option<String>,
    /// What it would not see.
    pub cannot_see: Vec<String>,
    /// The kernel.
    pub kernel: KernelReport,
    /// What a run makes use of.
    pub capabilities: Vec<CapabilityReport>,
    /// Whose processes are told.
    pub pid_namespace: PidNamespace,
    /// Sizes and bounds of a run.
    pub limits: RunLimits,
    /// Every probe for every purpose, best first.
    pub probes: Vec<ProbeReport>,
}

/// The kernel.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct KernelReport {
    /// Its release.
    pub release: String,
    /// When it is preempted: `chosen`, `full`, or `unknown`.
    pub preemption: &'static str,
    /// Size in bytes of its type information; null: it has none.
    pub btf_bytes: Option<u64>,
    /// `none`, `integrity` or `confidentiality`; null: it does not tell.
    pub lockdown: Option<String>,
    /// The active security modules; null: it does not tell.
    pub security_modules: Option<Vec<String>>,
}

/// A capability.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct CapabilityReport {
    /// Its name.
    pub name: &'static str,
    /// Whether the program has it.
    pub held: bool,
    /// What it is needed for.
    pub needed_for: &'static str,
}

/// The pid namespace that the program is in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct PidNamespace {
    /// It is the first one: it has every process.
    pub initial: bool,
    /// What is not told otherwise.
    pub note: Option<&'static str>,
}

/// Sizes and bounds of a run.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct RunLimits {
    /// Size of the ring buffer in bytes.
    pub ring_bytes: u32,
    /// Bytes of a path that are kept: its end.
    pub path_bytes: usize,
    /// Bytes of a command line that are kept: its beginning.
    pub cmdline_bytes: usize,
    /// Suffixes that all classifiers together may want.
    pub suffixes: usize,
    /// File names that all classifiers together may want.
    pub file_names: usize,
    /// Beginnings of file names that all classifiers together may want.
    pub file_prefixes: usize,
    /// Libraries that all classifiers together may want.
    pub libraries: usize,
    /// Processes that are remembered.
    pub processes: usize,
    /// Descendants that `--follow-children` follows at a time.
    pub followed: u32,
}

/// Programs that do one thing together.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct ProbeReport {
    /// What it is for.
    pub purpose: &'static str,
    /// Its name; for opens and library loads, `--probe` takes it.
    pub name: &'static str,
    /// It was attached, and what it told of this process was true.
    pub works: bool,
    /// A run would use it.
    pub chosen: bool,
    /// Why it does not work, or what speaks against it.
    pub reason: Option<String>,
    /// What would help.
    pub remedy: Option<&'static str>,
    /// What it cannot see.
    pub cannot_see: Vec<String>,
    /// What it costs others.
    pub costs: Option<&'static str>,
    /// Where its programs are attached.
    pub hooks: Vec<String>,
    /// Its programs.
    pub programs: Vec<ProgramReport>,
}

/// A BPF program.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct ProgramReport {
    /// Its name.
    pub name: &'static str,
    /// Instructions that the kernel's verifier looked at, of a million that it may; null: it does not tell.
    pub verified_instructions: Option<u32>,
}

impl DoctorReport {
    /// When it was made, as documents have it.
    pub fn made(at: Timestamp) -> String {
        text_of(at)
    }
}

/// Writes `name  text`, the names in a column.
fn entry(text: &mut String, name: &str, value: &str) {
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
        for unseen in &self.cannot_see {
            let _ = writeln!(text, "  it cannot see {}", printable(unseen));
        }
        text.push('\n');
        self.surroundings(&mut text);
        let mut purpose = "";
        for probe in &self.probes {
            if probe.purpose != purpose {
                purpose = probe.purpose;
                let _ = writeln!(text, "\nProbes for {purpose}:");
            }
            probe.tell(&mut text);
        }
        text
    }
}

impl DoctorReport {
    fn surroundings(&self, text: &mut String) {
        let DoctorReport { kernel, limits, .. } = self;
        entry(text, "program", &format!("crypto-tracer {}", self.program_version));
        entry(text, "kernel", &kernel.release);
        entry(
            text,
            "preemption",
            match kernel.preemption {
                "chosen" => "at places that the kernel chose",
                "full" => "nearly everywhere",
                _ => "the kernel does not tell",
            },
        );
        let btf = kernel.btf_bytes.map_or_else(|| "none".into(), |bytes| format!("{bytes} bytes"));
        entry(text, "BTF", &btf);
        let untold = "the kernel does not tell (is securityfs mounted?)";
        entry(text, "lockdown", kernel.lockdown.as_deref().unwrap_or(untold));
        let modules = kernel.security_modules.as_ref().map(|modules| modules.join(", "));
        entry(text, "security modules", modules.as_deref().unwrap_or(untold));
        for capability in &self.capabilities {
            let held = if capability.held { "held" } else { "MISSING" };
            entry(text, capability.name, &format!("{held} ({})", capability.needed_for));
        }
        entry(text, "pid namespace", self.pid_namespace.note.unwrap_or("the first: all processes"));
        entry(text, "ring", &format!("{} bytes", limits.ring_bytes));
        let bounds = format!(
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
        entry(text, "limits", &bounds);
    }
}

impl ProbeReport {
    fn tell(&self, text: &mut String) {
        let state = match (self.works, self.chosen) {
            (true, true) => "works, chosen",
            (true, false) => "works",
            (false, _) => "does not work",
        };
        let _ = writeln!(text, "  {:<8}{state} ({})", self.name, self.hooks.join(", "));
        let mut more = |name: &str, value: &str| {
            let _ = writeln!(text, "          {name}: {}", printable(value));
        };
        if let Some(reason) = &self.reason {
            more(if self.works { "against it" } else { "why" }, reason);
        }
        if let Some(remedy) = self.remedy {
            more("remedy", remedy);
        }
        for unseen in &self.cannot_see {
            more("cannot see", unseen);
        }
        if let Some(costs) = self.costs {
            more("costs", costs);
        }
        for program in &self.programs {
            if let Some(count) = program.verified_instructions {
                more(
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
            generated_at: DoctorReport::made(Timestamp(0)),
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
    fn the_text_says_what_the_document_says() {
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
