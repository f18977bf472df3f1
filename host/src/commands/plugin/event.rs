//! An event of cases.json, with the documented fields that a filter can read.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crypto_tracer_event::{
    Ancestor, Arguments, ClassifiedEvent, Comm, EnrichedEvent, EnrichedWhat, FileType, HeadOutcome,
    KernelPath, Label, OpenFlags, OpenedFile, ProcessFacts, ProcessKey, Timestamp, Verdict,
};
use crypto_tracer_system::boot::TICK_NS;

/// Fields of every event.
const COMMON: [&str; 13] = [
    "event_type",
    "timestamp",
    "pid",
    "tid",
    "ppid",
    "uid",
    "process",
    "exe",
    "start",
    "mount_ns",
    "container",
    "ancestors",
    "labels",
];

/// The fields of an event.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    /// The value of a field. None: it is missing or null.
    fn optional<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let value = self.0.get(name).filter(|value| !value.is_null());
        value.map(|value| T::deserialize(value)).transpose().with_context(|| format!("`{name}`"))
    }

    fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.optional(name)?.ok_or_else(|| anyhow!("this event needs `{name}`"))
    }

    fn check(&self, specific: &[&str]) -> Result<()> {
        let is_unknown =
            |name: &&String| !COMMON.contains(&name.as_str()) && !specific.contains(&name.as_str());
        match self.0.keys().find(is_unknown) {
            Some(name) => bail!(
                "unknown field `{name}`: this event has {}, {}",
                COMMON.join(", "),
                specific.join(", ")
            ),
            None => Ok(()),
        }
    }
}

/// Reads an event.
pub(super) fn event(written: &Map<String, Value>) -> Result<ClassifiedEvent> {
    let fields = Fields(written);
    let kind: String = fields.required("event_type").context("`event`")?;
    let (what, verdict) = what(&kind, &fields).context("`event`")?;
    let event = EnrichedEvent { timestamp: timestamp(&fields)?, process: process(&fields)?, what };
    let labels = labels(&fields)?;
    Ok(match verdict {
        Some(verdict) => ClassifiedEvent {
            event,
            verdict: Some(Verdict { labels, ..verdict }),
            labels: Vec::new(),
            assets: None,
        },
        None => ClassifiedEvent { event, verdict: None, labels, assets: None },
    })
}

fn what(kind: &str, fields: &Fields<'_>) -> Result<(EnrichedWhat, Option<Verdict>)> {
    Ok(match kind {
        "file_open" => {
            fields.check(&["file", "file_type", "flags", "inode"])?;
            let flags = fields.optional::<String>("flags")?.map_or(Ok(0), |text| flags(&text))?;
            let file = file("file", fields)?;
            (EnrichedWhat::FileOpen { file, flags }, Some(verdict(fields.optional("file_type")?)))
        }
        "lib_load" => {
            fields.check(&["library", "library_name", "inode"])?;
            let file = file("library", fields)?;
            let library_name = fields.required::<String>("library_name")?.into_bytes();
            (EnrichedWhat::LibLoad { file, library_name }, None)
        }
        "process_exec" => {
            fields.check(&["cmdline"])?;
            (EnrichedWhat::Exec { arguments: arguments(fields.required("cmdline")?)? }, None)
        }
        "process_exit" => {
            fields.check(&["exit_code", "signal"])?;
            let exit_code = fields.required("exit_code")?;
            (EnrichedWhat::Exit { exit_code, signal: fields.optional("signal")? }, None)
        }
        other => bail!(
            "unknown event_type {other:?}: expected file_open, lib_load, process_exec or process_exit"
        ),
    })
}

fn process(fields: &Fields<'_>) -> Result<ProcessFacts> {
    let name: String = fields.optional("process")?.unwrap_or_else(|| "test".to_owned());
    let pid = fields.optional("pid")?.unwrap_or(1000);
    let start_ticks: u32 = fields.optional("start")?.unwrap_or_default();
    let ancestors = fields.optional::<Vec<WrittenAncestor>>("ancestors")?.unwrap_or_default();
    let parent = ancestors.first().map_or(1, |parent| parent.pid);
    Ok(ProcessFacts {
        key: ProcessKey { tgid: pid, start_ns: u64::from(start_ticks) * TICK_NS },
        exec_id: 1,
        tid: fields.optional("tid")?.unwrap_or(pid),
        ppid: fields.optional("ppid")?.unwrap_or(parent),
        uid: fields.optional("uid")?.unwrap_or(1000),
        comm: comm(&name)?,
        mount_ns: fields.optional("mount_ns")?.unwrap_or_default(),
        ancestors: Some(ancestors.into_iter().map(ancestor).collect::<Result<_>>()?),
        exe: fields.optional::<String>("exe")?.map(|exe| exe.into_bytes().into()),
        container: fields.optional::<String>("container")?.map(Into::into),
        ..ProcessFacts::default()
    })
}

fn comm(name: &str) -> Result<Comm> {
    ensure!(name.len() < 16, "`process`: a name has at most 15 bytes");
    Ok(Comm::from_name(name.as_bytes()))
}

/// An ancestor of the process; the first one is its parent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `pid`")]
struct WrittenAncestor {
    pid: u32,
    #[serde(default)]
    process: String,
    exe: Option<String>,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    start: u64,
}

fn ancestor(written: WrittenAncestor) -> Result<Ancestor> {
    let WrittenAncestor { pid, process, exe, uid, start: start_ticks } = written;
    let exe = exe.map(|exe| exe.into_bytes().into());
    Ok(Ancestor { pid, start_ticks, uid, comm: comm(&process)?, exe })
}

/// In microseconds since 1970, as in the contract.
fn timestamp(fields: &Fields<'_>) -> Result<Timestamp> {
    Ok(Timestamp(fields.optional("timestamp")?.unwrap_or(1_700_000_000_000_000)))
}

fn labels(fields: &Fields<'_>) -> Result<Vec<Label>> {
    let written: Map<String, Value> = fields.optional("labels")?.unwrap_or_default();
    let label = |(name, value): (String, Value)| {
        let text = value.as_str().with_context(|| format!("`labels.{name}` is not a string"))?;
        Ok(Label { value: text.into(), name: name.into() })
    };
    written.into_iter().map(label).collect()
}

/// The file or library with the path in this field.
fn file(field: &str, fields: &Fields<'_>) -> Result<OpenedFile> {
    let path: String = fields.required(field)?;
    let path = KernelPath { bytes: path.into_bytes(), ..KernelPath::default() };
    let inode = fields.optional("inode")?.unwrap_or_default();
    Ok(OpenedFile { path, inode, ..OpenedFile::default() })
}

fn verdict(word: Option<String>) -> Verdict {
    let known =
        [FileType::Certificate, FileType::PrivateKey, FileType::Keystore, FileType::Unknown];
    let file_type = word.map_or(FileType::Unknown, |word| {
        let found = known.into_iter().find(|known| known.as_str() == word);
        found.unwrap_or_else(|| FileType::Other(word.into()))
    });
    let head = HeadOutcome::NotNeeded;
    Verdict { file_type, labels: Vec::new(), classifier: None, head, skipped: false }
}

/// A list of strings, or a string of words separated by spaces.
fn arguments(written: Value) -> Result<Arguments> {
    let list: Vec<String> = match written {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        list => {
            serde_json::from_value(list).context("`cmdline` is a string or a list of strings")?
        }
    };
    let bytes = list.iter().flat_map(|word| word.bytes().chain([0])).collect();
    Ok(Arguments { bytes, truncated: false })
}

/// The flags for their text in events.
fn flags(text: &str) -> Result<u32> {
    // Events show few bits, so all combinations can be tried.
    let shown = [0o100, 0o200, OpenFlags::TRUNC, 0o2000];
    let each = (0..3u32).flat_map(|mode| {
        (0..1u32 << shown.len()).map(move |set| {
            let bit = |(at, bit): (usize, &u32)| if set >> at & 1 == 1 { *bit } else { 0 };
            mode | shown.iter().enumerate().map(bit).sum::<u32>()
        })
    });
    each.into_iter().find(|&flags| OpenFlags(flags).to_string() == text).with_context(|| {
        format!(
            "`flags` {text:?}: expected flags as events show them, for example O_RDWR|O_CREAT|O_TRUNC"
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<ClassifiedEvent> {
        event(value.as_object().unwrap())
    }

    #[test]
    fn flags_are_parsed_as_events_show_them() {
        for shown in [0, 1, 2, 0o1101, 0o3302] {
            assert_eq!(flags(&OpenFlags(shown).to_string()).unwrap(), shown);
        }
        assert!(flags("O_CREAT").is_err());
    }

    #[test]
    fn errors_name_the_problem() {
        for (value, wanted) in [
            (json!({}), "needs `event_type`"),
            (json!({"event_type": "fork"}), "\"fork\""),
            (json!({"event_type": "file_open"}), "needs `file`"),
            (
                json!({"event_type": "process_exit", "exit_code": 0, "file": "/a"}),
                "unknown field `file`",
            ),
            (json!({"event_type": "process_exit", "exit_code": "0"}), "`exit_code`"),
            (
                json!({"event_type": "process_exec", "cmdline": "a", "process": "x".repeat(16)}),
                "15 bytes",
            ),
            (
                json!({"event_type": "process_exec", "cmdline": "a", "ancestors": [{"process": "a"}]}),
                "`ancestors`: missing field `pid`",
            ),
            (
                json!({"event_type": "process_exec", "cmdline": "a", "ancestors": [{"pid": 1, "ppid": 2}]}),
                "unknown field `ppid`",
            ),
            (
                json!({"event_type": "process_exec", "cmdline": "a", "inode": 1}),
                "unknown field `inode`",
            ),
            (
                json!({"event_type": "process_exec", "cmdline": "a", "labels": {"a": 1}}),
                "`labels.a`",
            ),
        ] {
            let message = format!("{:#}", read(value.clone()).unwrap_err());
            assert!(message.contains(wanted), "{value}: {message}");
        }
    }
}
