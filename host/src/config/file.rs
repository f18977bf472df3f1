//! Syntax of the configuration file. Unknown keys are errors.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::units::{ByteSize, DurationText};
use super::{CaptureConfig, Config, OutputFile};
use crypto_tracer_event::PluginKind;
use crypto_tracer_plugin::{Grant, Limits, OnFailure, PluginSource, PluginSpec};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    classifier: Option<Vec<PluginEntry>>,
    redactor: Option<Vec<PluginEntry>>,
    filter: Option<Vec<PluginEntry>>,
    inspector: Option<Vec<PluginEntry>>,
    #[serde(default)]
    plugins: PluginsTable,
    #[serde(default)]
    capture: CaptureTable,
    #[serde(default)]
    output: OutputTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, try_from = "PluginTable")]
struct PluginEntry(PluginSpec);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginTable {
    path: Option<PathBuf>,
    #[serde(default)]
    bundled: bool,
    sha256: Option<String>,
    #[serde(default)]
    allow: BTreeSet<GrantName>,
    #[serde(default)]
    config: toml::Table,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
enum GrantName {
    #[serde(rename = "file-head")]
    FileHead,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnFailureName {
    Continue,
    Stop,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginsTable {
    memory: Option<Bounded<{ 64 << 10 }, { 1 << 30 }>>,
    table_entries: Option<Count<1, 1_000_000>>,
    handles: Option<Count<1, 65_536>>,
    instances: Option<Count<1, 1000>>,
    stack: Option<Bounded<{ 16 << 10 }, { 1 << 20 }>>,
    deadline_ms: Option<Count<1, 1000>>,
    wall_ms: Option<Count<20, 1000>>,
    setup_ms: Option<Count<10, 60_000>>,
    copied: Option<Bounded<{ 64 << 10 }, { 64 << 20 }>>,
    text: Option<Bounded<4096, { 64 << 10 }>>,
    component: Option<Bounded<4096, { 64 << 20 }>>,
    log_lines: Option<Count<0, 10_000>>,
    on_failure: Option<OnFailureName>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureTable {
    ring: Option<RingSize>,
    open_probe: Option<String>,
    flood: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputTable {
    mode: Option<FileMode>,
    group: Option<String>,
    status_every: Option<DurationText>,
}

/// A size in bytes from `MIN` to `MAX`.
#[derive(Clone, Copy)]
struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let ByteSize(value) = ByteSize::deserialize(from)?;
        if (MIN..=MAX).contains(&value) {
            return Ok(Bounded(value));
        }
        Err(D::Error::custom(format!("{value} is out of range: expected {MIN} to {MAX}")))
    }
}

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A whole number from `MIN` to `MAX`: a count, or milliseconds.
#[derive(Clone, Copy)]
struct Count<const MIN: u64, const MAX: u64>(u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(from)?;
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        number.filter(|number| (MIN..=MAX).contains(number)).map(Count).ok_or_else(|| {
            D::Error::custom(format!("{value}: expected a whole number from {MIN} to {MAX}"))
        })
    }
}

impl<const MIN: u64, const MAX: u64> Count<MIN, MAX> {
    fn number(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn ms(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

struct RingSize(u32);

impl<'de> Deserialize<'de> for RingSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let ByteSize(bytes) = ByteSize::deserialize(from)?;
        let fits = u32::try_from(bytes)
            .ok()
            .filter(|bytes| bytes.is_power_of_two() && ((64 << 10)..=(1 << 30)).contains(bytes));
        fits.map(RingSize)
            .ok_or_else(|| D::Error::custom("expected a power of two from \"64KiB\" to \"1GiB\""))
    }
}

struct FileMode(u32);

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| octal && *mode <= 0o777);
        mode.map(FileMode).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is not a mode; write for example \"0640\""))
        })
    }
}

impl TryFrom<PluginTable> for PluginEntry {
    type Error = String;

    fn try_from(table: PluginTable) -> Result<PluginEntry, String> {
        let PluginTable { path, bundled, sha256, allow, config } = table;
        let mut spec = match (path, bundled) {
            (Some(path), false) => PluginSpec::configured(PluginSource::File(path)),
            (None, true) => PluginSpec::bundled(),
            _ => return Err("a plugin has either `path = \"…\"` or `bundled = true`".to_owned()),
        };
        if let Some(pin) = &sha256
            && !(pin.len() == 64 && pin.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(
                "expected a sha256 of 64 hexadecimal digits, as `sha256sum` prints it".to_owned()
            );
        }
        spec.sha256 = sha256;
        spec.allow.extend(allow.iter().map(|GrantName::FileHead| Grant::FileHead));
        let config = config.into_iter().map(|(key, value)| (key, json(value)));
        spec.config = config.collect();
        Ok(PluginEntry(spec))
    }
}

/// Converts TOML to JSON. JSON has no dates, so they become strings.
fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(boolean) => boolean.into(),
        toml::Value::Datetime(datetime) => datetime.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(key, value)| (key, json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

impl ConfigFile {
    /// `directory` is that of the file, and the base of relative paths.
    pub(super) fn into_config(self, directory: &Path) -> Config {
        let chain = |plugins: Option<Vec<PluginEntry>>| {
            let specs = plugins?.into_iter().map(|PluginEntry(mut spec)| {
                if let PluginSource::File(path) = &mut spec.source {
                    *path = directory.join(&*path);
                }
                spec
            });
            Some(specs.collect())
        };
        let chains = [
            (PluginKind::Classifier, self.classifier),
            (PluginKind::Redactor, self.redactor),
            (PluginKind::Filter, self.filter),
            (PluginKind::Inspector, self.inspector),
        ];
        let OutputTable { mode, group, status_every } = self.output;
        Config {
            chains: chains.into_iter().filter_map(|(kind, it)| Some((kind, chain(it)?))).collect(),
            on_failure: match self.plugins.on_failure {
                Some(OnFailureName::Stop) => OnFailure::Stop,
                Some(OnFailureName::Continue) | None => OnFailure::Continue,
            },
            limits: self.plugins.limits(),
            capture: CaptureConfig {
                ring_bytes: self.capture.ring.map(|RingSize(bytes)| bytes),
                open_probe: self.capture.open_probe.filter(|probe| probe != "auto"),
                flood: self.capture.flood,
            },
            output: OutputFile {
                mode: mode.map(|FileMode(mode)| mode),
                group,
                status_every: status_every
                    .map(|DurationText(every)| every)
                    .filter(|every| !every.is_zero()),
            },
        }
    }
}

impl PluginsTable {
    fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            memory: self.memory.map_or(default.memory, Bounded::bytes),
            table_entries: self.table_entries.map_or(default.table_entries, Count::number),
            handles: self.handles.map_or(default.handles, Count::number),
            instances: self.instances.map_or(default.instances, Count::number),
            stack: self.stack.map_or(default.stack, Bounded::bytes),
            deadline: self.deadline_ms.map_or(default.deadline, Count::ms),
            wall: self.wall_ms.map_or(default.wall, Count::ms),
            setup: self.setup_ms.map_or(default.setup, Count::ms),
            copied: self.copied.map_or(default.copied, Bounded::bytes),
            text: self.text.map_or(default.text, Bounded::bytes),
            component: self.component.map_or(default.component, Bounded::bytes),
            log_lines: self.log_lines.map_or(default.log_lines, |Count(lines)| {
                u32::try_from(lines).unwrap_or(default.log_lines)
            }),
        }
    }
}
