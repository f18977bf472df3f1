//! An event of cases.json: the documented fields, as a filter may ask for them.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crypto_tracer_event::{
    Arguments, ClassifiedEvent, Comm, EnrichedEvent, EnrichedWhat, FileType, HeadOutcome,
    KernelPath, Label, OpenFlags, OpenedFile, ProcessFacts, ProcessKey, Timestamp, Verdict,
};

/// Fields of every event.
const COMMON: [&str; 9] =
    ["event_type", "timestamp", "pid", "ppid", "uid", "process", "exe", "container", "labels"];

/// The fields that are left; each is taken once.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    /// None: it is not written, or null.
    fn take<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let value = self.0.get(name).filter(|value| !value.is_null());
        value.map(|value| T::deserialize(value)).transpose().with_context(|| format!("`{name}`"))
    }

    fn need<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.take(name)?.ok_or_else(|| anyhow!("this event needs `{name}`"))
    }

    fn check(&self, besides: &[&str]) -> Result<()> {
        let known =
            |name: &&String| !COMMON.contains(&name.as_str()) && !besides.contains(&name.as_str());
        match self.0.keys().find(known) {
            Some(name) => bail!(
                "unknown field `{name}`: this event has {}, {}",
                COMMON.join(", "),
                besides.join(", ")
            ),
            None => Ok(()),
        }
    }
}

/// Reads an event.
pub(super) fn event(written: &Map<String, Value>) -> Result<ClassifiedEvent> {
    let fields = Fields(written);
    let kind: String = fields.need("event_type").context("`event`")?;
    let (what, verdict) = what(&kind, &fields).context("`event`")?;
    let event = EnrichedEvent { timestamp: timestamp(&fields)?, process: process(&fields)?, what };
    let labels = labels(&fields)?;
    Ok(match verdict {
        Some(verdict) => ClassifiedEvent {
            event,
            verdict: Some(Verdict { labels, ..verdict }),
            labels: Vec::new(),
        },
        None => ClassifiedEvent { event, verdict: None, labels },
    })
}

fn what(kind: &str, fields: &Fields<'_>) -> Result<(EnrichedWhat, Option<Verdict>)> {
    Ok(match kind {
        "file_open" => {
            fields.check(&["file", "file_type", "flags"])?;
            let flags = fields.take::<String>("flags")?.map_or(Ok(0), |text| flags(&text))?;
            let file = file(fields.need("file")?);
            (EnrichedWhat::FileOpen { file, flags }, Some(verdict(fields.take("file_type")?)))
        }
        "lib_load" => {
            fields.check(&["library", "library_name"])?;
            let file = file(fields.need("library")?);
            let library_name = fields.need::<String>("library_name")?.into_bytes();
            (EnrichedWhat::LibLoad { file, library_name }, None)
        }
        "process_exec" => {
            fields.check(&["cmdline"])?;
            (EnrichedWhat::Exec { arguments: arguments(fields.need("cmdline")?)? }, None)
        }
        "process_exit" => {
            fields.check(&["exit_code"])?;
            (EnrichedWhat::Exit { exit_code: fields.need("exit_code")?, signal: None }, None)
        }
        other => bail!(
            "the event_type {other:?}: file_open, lib_load, process_exec or process_exit is right"
        ),
    })
}

fn process(fields: &Fields<'_>) -> Result<ProcessFacts> {
    let name: String = fields.take("process")?.unwrap_or_else(|| "test".to_owned());
    let mut comm = [0; 16];
    ensure!(name.len() < comm.len(), "`process`: a name has up to 15 bytes");
    comm.iter_mut().zip(name.bytes()).for_each(|(to, byte)| *to = byte);
    let pid = fields.take("pid")?.unwrap_or(1000);
    Ok(ProcessFacts {
        key: ProcessKey { tgid: pid, start_ns: 1 },
        exec_id: 1,
        tid: pid,
        ppid: fields.take("ppid")?.unwrap_or(1),
        uid: fields.take("uid")?.unwrap_or(1000),
        comm: Comm::new(comm),
        exe: fields.take::<String>("exe")?.map(|exe| exe.into_bytes().into()),
        mount_ns: 1,
        root: (1, 1),
        cgroup_id: 1,
        cgroup: None,
        container: fields.take::<String>("container")?.map(Into::into),
    })
}

/// Microseconds, as plugins get it.
fn timestamp(fields: &Fields<'_>) -> Result<Timestamp> {
    Ok(Timestamp(fields.take("timestamp")?.unwrap_or(1_700_000_000_000_000)))
}

fn labels(fields: &Fields<'_>) -> Result<Vec<Label>> {
    let written: Map<String, Value> = fields.take("labels")?.unwrap_or_default();
    let label = |(name, value): (String, Value)| {
        let text = value.as_str().with_context(|| format!("`labels.{name}` is no text"))?;
        Ok(Label { value: text.into(), name: name.into() })
    };
    written.into_iter().map(label).collect()
}

fn file(path: String) -> OpenedFile {
    let path = KernelPath { bytes: path.into_bytes(), ..KernelPath::default() };
    OpenedFile { path, ..OpenedFile::default() }
}

fn verdict(word: Option<String>) -> Verdict {
    let known =
        [FileType::Certificate, FileType::PrivateKey, FileType::Keystore, FileType::Unknown];
    let file_type = word.map_or(FileType::Unknown, |word| {
        let same = known.into_iter().find(|known| known.as_str() == word);
        same.unwrap_or_else(|| FileType::Other(word.into()))
    });
    Verdict { file_type, labels: Vec::new(), classifier: None, head: HeadOutcome::NotNeeded }
}

/// A list, or a text whose words they are.
fn arguments(written: Value) -> Result<Arguments> {
    let list: Vec<String> = match written {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        list => serde_json::from_value(list).context("`cmdline` is a text or a list of texts")?,
    };
    let bytes = list.iter().flat_map(|word| word.bytes().chain([0])).collect();
    Ok(Arguments { bytes, truncated: false })
}

/// The flags whose text this is, as events show it.
fn flags(text: &str) -> Result<u32> {
    // Few bits are shown, so all there are can be tried.
    let shown = [0o100, 0o200, OpenFlags::TRUNC, 0o2000];
    let each = (0..3u32).flat_map(|mode| {
        (0..1u32 << shown.len()).map(move |set| {
            let bit = |(at, bit): (usize, &u32)| if set >> at & 1 == 1 { *bit } else { 0 };
            mode | shown.iter().enumerate().map(bit).sum::<u32>()
        })
    });
    each.into_iter().find(|&flags| OpenFlags(flags).to_string() == text).with_context(|| {
        format!(
            "`flags` {text:?}: as events show them is right, for example O_RDWR|O_CREAT|O_TRUNC"
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
    fn flags_are_what_events_show() {
        for shown in [0, 1, 2, 0o1101, 0o3302] {
            assert_eq!(flags(&OpenFlags(shown).to_string()).unwrap(), shown);
        }
        assert!(flags("O_CREAT").is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
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
                json!({"event_type": "process_exec", "cmdline": "a", "labels": {"a": 1}}),
                "`labels.a`",
            ),
        ] {
            let told = format!("{:#}", read(value.clone()).unwrap_err());
            assert!(told.contains(wanted), "{value}: {told}");
        }
    }
}
