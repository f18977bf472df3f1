//! cases.json: queries for a plugin, and the expected answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::file_facts::WrittenStat;
use super::query::{FileQuery, Query, TextQuery};
use crate::cli::plugin::Subject;
use crate::error::{ExitStatus, Failure};
use crypto_tracer_event::PluginKind;
use crypto_tracer_plugin::{LoadError, LoadSubject, PluginSpec, Problem, Setup, inspect};
use crypto_tracer_system::fs_magic;

/// Maximum size of a file of cases, and of a `content_file`, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Calls of a new instance, and the expected answers.
#[derive(Debug)]
pub(super) struct PluginCase {
    pub(super) name: String,
    /// The plugin's own configuration.
    pub(super) config: Map<String, Value>,
    /// The plugin must reject its configuration with an error that contains this text.
    pub(super) refused: Option<String>,
    /// Empty: the case only checks the configuration.
    pub(super) calls: Vec<CaseCall>,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct CaseCall {
    pub(super) query: Query,
    /// None: any answer that the contract allows.
    pub(super) expected: Option<ExpectedAnswer>,
}

/// The expected answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExpectedAnswer {
    pub(super) answer: Answer,
    pub(super) labels: BTreeMap<String, String>,
    /// The plugin may add labels that are not in `labels`.
    pub(super) other_labels: bool,
    /// The labels of classifiers that the filter removes.
    pub(super) removed: BTreeSet<String>,
}

/// An answer without its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Type of a file. None if the classifier has no opinion.
    FileType(Option<String>),
    /// The classifier skips the file.
    Skipped,
    /// Assets of an inspector: the kind and the facts of each.
    Assets(Vec<(String, BTreeMap<String, String>)>),
    /// Text of a redactor.
    Text(String),
    /// Decision of a filter.
    Decision(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `cases`")]
struct CasesFile {
    #[serde(default)]
    config: Map<String, Value>,
    cases: Vec<WrittenCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `name` and `expect`")]
struct WrittenCase {
    name: String,
    config: Option<Map<String, Value>>,
    file: Option<WrittenFile>,
    text: Option<WrittenText>,
    event: Option<Map<String, Value>>,
    events: Option<Vec<WrittenStep>>,
    #[serde(default)]
    expect: WrittenExpect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `event` and `expect`")]
struct WrittenStep {
    event: Map<String, Value>,
    expect: Option<WrittenExpect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `path`")]
struct WrittenFile {
    path: String,
    content: Option<String>,
    content_base64: Option<String>,
    content_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "present")]
    size: Option<Option<u64>>,
    stat: Option<WrittenStat>,
    filesystem: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `field`")]
struct WrittenText {
    field: String,
    value: Option<String>,
    arguments: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct WrittenExpect {
    #[serde(default, deserialize_with = "present")]
    file_type: Option<Option<String>>,
    labels: Option<BTreeMap<String, String>>,
    labels_include: Option<BTreeMap<String, String>>,
    removed: Option<BTreeSet<String>>,
    skipped: Option<bool>,
    assets: Option<Vec<WrittenAsset>>,
    text: Option<String>,
    decision: Option<String>,
    refused: Option<String>,
    accepted: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `kind` and `facts`")]
struct WrittenAsset {
    kind: String,
    #[serde(default)]
    facts: BTreeMap<String, String>,
}

/// Returns Some(None) for an explicit `null`.
#[expect(clippy::option_option, reason = "distinguishes a missing field from `null`")]
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// The kinds that the plugin exports, and the cases.
///
/// # Errors
/// The cases cannot be read, or one is for a kind that the plugin does not export; or the plugin cannot be loaded, for
/// another reason than its configuration.
pub(super) fn load(
    path: &Path,
    subject: &Subject,
    setup: &Setup,
) -> Result<(Vec<PluginKind>, Vec<PluginCase>), Failure> {
    let usage = |error| Failure { code: ExitStatus::Usage, error };
    let cases = read(path, &subject.with).map_err(usage)?;
    let inspected = |spec: &PluginSpec| match inspect(spec, setup) {
        // It needs a configuration, which the cases have.
        Err(LoadError {
            problem: Problem::Refuses(_), subject: LoadSubject::Kind(kind), ..
        }) => Ok(Err(kind)),
        found => found.map(|found| Ok(found.kinds)),
    };
    let mut kinds = inspected(&subject.spec()).map_err(|error| usage(error.into()))?;
    let accepted = cases.iter().find(|case| case.refused.is_none());
    if let (Err(_), Some(case)) = (&kinds, accepted) {
        let spec = PluginSpec { config: case.config.clone(), ..subject.spec() };
        kinds = inspected(&spec).map_err(|error| usage(error.into()))?;
    }
    let kinds = match kinds {
        Ok(kinds) => kinds,
        Err(kind) => return Ok((vec![kind], cases)),
    };
    let other_kind = |case: &PluginCase| {
        let kind = case.calls.first()?.query.kind();
        (!kinds.contains(&kind)).then(|| (case.name.clone(), kind))
    };
    if let Some((name, kind)) = cases.iter().find_map(other_kind) {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        return Err(usage(anyhow!(
            "{}: the case {name:?} is for a {kind}, but the plugin is a {}",
            path.display(),
            kinds.join(" and a ")
        )));
    }
    Ok((kinds, cases))
}

/// Describes an error of parsing. Malformed JSON has no field to name, so the expected form is added.
fn malformed(error: serde_json::Error) -> Error {
    if error.is_data() {
        return error.into();
    }
    anyhow!("{error}: not valid JSON, expected an object with `cases`")
}

/// Reads all cases of a file. `config`: the configuration of cases without one, if the file has none either.
fn read(path: &Path, config: &Map<String, Value>) -> Result<Vec<PluginCase>> {
    let name = || path.display().to_string();
    parse(&bounded(path).with_context(name)?, path, config)
}

/// Parses the text of a file of cases.
pub(super) fn parse(
    text: &[u8],
    path: &Path,
    config: &Map<String, Value>,
) -> Result<Vec<PluginCase>> {
    let name = || path.display().to_string();
    let written: CasesFile = serde_json::from_slice(text).map_err(malformed).with_context(name)?;
    ensure!(!written.cases.is_empty(), "{}: `cases` is empty: write at least one", name());
    let common = if written.config.is_empty() { config } else { &written.config };
    let folder = path.parent().unwrap_or(Path::new(""));
    let cases = written.cases.into_iter().enumerate().map(|(at, case)| {
        let which = format!("{}: case {} ({:?})", name(), at + 1, case.name);
        checked(case, common, folder).context(which)
    });
    cases.collect()
}

fn bounded(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    ensure!(file.metadata()?.is_file(), "not a regular file");
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(read as u64 <= MAX_BYTES, "has more than {MAX_BYTES} bytes");
    Ok(bytes)
}

fn checked(case: WrittenCase, common: &Map<String, Value>, folder: &Path) -> Result<PluginCase> {
    let WrittenCase { name, config, file, text, event, events, expect } = case;
    let config = config.unwrap_or_else(|| common.clone());
    let query = match (file, text, event, &events) {
        (None, None, None, _) => None,
        (Some(file), None, None, None) if expect.assets.is_some() => {
            Some(Query::Content(file_query(file, folder)?))
        }
        (Some(file), None, None, None) => Some(Query::File(file_query(file, folder)?)),
        (None, Some(text), None, None) => Some(Query::Text(text_query(text)?)),
        (None, None, Some(event), None) => Some(event_query(&event)?),
        _ => bail!("expected only one of `file`, `text`, `event`, `events`"),
    };
    if let Some(steps) = events {
        ensure!(
            expect.is_empty(),
            "the events of `events` have an `expect` each, the case has none"
        );
        ensure!(!steps.is_empty(), "`events` is empty: write at least one");
        let calls = steps
            .into_iter()
            .enumerate()
            .map(|(at, step)| call(step).with_context(|| format!("`events`, event {}", at + 1)));
        let calls = calls.collect::<Result<_>>()?;
        return Ok(PluginCase { name, config, refused: None, calls });
    }
    let (refused, calls) = match query {
        Some(query) if expect.refused.is_none() => {
            let expected = Some(expected(expect, &query).context("`expect`")?);
            (None, vec![CaseCall { query, expected }])
        }
        // The kind of the query is that of the plugin which must refuse its configuration.
        Some(query) => {
            let refused = refusal(expect).context("`expect`")?;
            (refused, vec![CaseCall { query, expected: None }])
        }
        None => (refusal(expect).context("`expect`")?, Vec::new()),
    };
    Ok(PluginCase { name, config, refused, calls })
}

fn event_query(event: &Map<String, Value>) -> Result<Query> {
    Ok(Query::Event(Box::new(super::event::event(event)?)))
}

fn call(step: WrittenStep) -> Result<CaseCall> {
    let query = event_query(&step.event)?;
    let expect = step.expect.map(|expect| expected(expect, &query).context("`expect`"));
    Ok(CaseCall { expected: expect.transpose()?, query })
}

fn file_query(file: WrittenFile, folder: &Path) -> Result<FileQuery> {
    let WrittenFile { path, content, content_base64, content_file, size, stat, filesystem } = file;
    let content = match (content, content_base64, content_file) {
        (None, None, None) => Vec::new(),
        (Some(text), None, None) => text.into_bytes(),
        (None, Some(text), None) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).context("`content_base64`")?
        }
        (None, None, Some(file)) => {
            let file = folder.join(file);
            bounded(&file).with_context(|| format!("`content_file` {}", file.display()))?
        }
        _ => bail!("expected only one of `content`, `content_base64`, `content_file`"),
    };
    let size = size.unwrap_or(Some(content.len() as u64));
    let query = FileQuery::new(path.into_bytes(), &content, size);
    let query = match filesystem {
        Some(name) => query.on(fs_magic::named(&name).with_context(|| {
            format!("`filesystem`: no type {name:?}; expected a name such as \"ext4\", or \"0x\" and a number")
        })?),
        None => query,
    };
    let Some(stat) = stat else { return Ok(query) };
    let (stat, reported) = stat.facts().context("`stat`")?;
    Ok(query.with_facts(stat, reported))
}

fn text_query(text: WrittenText) -> Result<TextQuery> {
    let WrittenText { field, value, arguments } = text;
    let query = match (field.as_str(), value, arguments) {
        ("cmdline", None, Some(arguments)) => TextQuery::command_line(arguments),
        ("cmdline", ..) => bail!("`cmdline` takes `arguments`, a list, and not `value`"),
        (_, Some(value), None) => TextQuery { field, value, arguments: Vec::new() },
        _ => bail!("the field {field:?} takes `value`, and not `arguments`"),
    };
    ensure!(
        query.field().is_some(),
        "unknown field {:?}: expected file, library, exe, cmdline or labels.NAME",
        query.field
    );
    Ok(query)
}

impl WrittenExpect {
    fn is_empty(&self) -> bool {
        let WrittenExpect {
            file_type,
            labels,
            labels_include,
            removed,
            skipped,
            assets,
            text,
            decision,
            refused,
            accepted,
        } = self;
        let words = [text.is_some(), decision.is_some(), refused.is_some(), accepted.is_some()];
        let labels =
            labels.is_some() || labels_include.is_some() || removed.is_some() || assets.is_some();
        !words.contains(&true) && !labels && file_type.is_none() && skipped.is_none()
    }
}

/// The expected error of a case about the configuration. None: it is accepted.
fn refusal(written: WrittenExpect) -> Result<Option<String>> {
    let WrittenExpect { refused, accepted, .. } = &written;
    let (refused, accepted) = (refused.clone(), *accepted);
    let others = WrittenExpect { refused: None, accepted: None, ..written };
    match (refused, accepted, others.is_empty()) {
        (Some(words), None, true) => Ok(Some(words)),
        (None, Some(true), true) => Ok(None),
        _ => Err(anyhow!(
            "a case without `file`, `text` or `event` expects `refused` (words of the error) or `accepted` (true)"
        )),
    }
}

fn expected(written: WrittenExpect, query: &Query) -> Result<ExpectedAnswer> {
    if let (Some(assets), Query::Content(_)) = (&written.assets, query) {
        let assets = assets.iter().map(|asset| (asset.kind.clone(), asset.facts.clone())).collect();
        ensure!(
            WrittenExpect { assets: None, ..written }.is_empty(),
            "a case with `assets` expects nothing else"
        );
        let (answer, labels) = (Answer::Assets(assets), BTreeMap::new());
        return Ok(ExpectedAnswer {
            answer,
            labels,
            other_labels: false,
            removed: BTreeSet::new(),
        });
    }
    if let (Some(skipped), Query::File(_)) = (written.skipped, query) {
        ensure!(
            skipped && WrittenExpect { skipped: None, ..written }.is_empty(),
            "a case with `skipped` expects true and nothing else"
        );
        let (answer, labels) = (Answer::Skipped, BTreeMap::new());
        return Ok(ExpectedAnswer {
            answer,
            labels,
            other_labels: false,
            removed: BTreeSet::new(),
        });
    }
    ensure!(written.skipped.is_none(), "only a case for a classifier's file expects `skipped`");
    let WrittenExpect {
        file_type,
        labels,
        labels_include,
        removed,
        text,
        decision,
        refused,
        accepted,
        ..
    } = written;
    ensure!(
        removed.is_none() || matches!(query, Query::Event(_)),
        "only a case for an event expects `removed`"
    );
    let has_labels = labels.is_some() || labels_include.is_some();
    let other_labels = labels_include.is_some();
    let answer = match (query, file_type, text, decision, refused.is_some() || accepted.is_some()) {
        (Query::File(_), Some(file_type), None, None, false) => Answer::FileType(file_type),
        (Query::File(_) | Query::Content(_), ..) => bail!(
            "a case for a file expects `file_type` (a word, or null for no opinion) and `labels` or `labels_include`, or `skipped`, or `assets`"
        ),
        (Query::Text(_), None, Some(text), None, false) if !has_labels => Answer::Text(text),
        (Query::Text(_), ..) => bail!("a case for a text expects only `text`"),
        (Query::Event(_), None, None, Some(decision), false) => {
            let known = ["keep", "drop", "label"].contains(&decision.as_str());
            ensure!(known, "unknown decision {decision:?}: expected keep, drop or label");
            Answer::Decision(decision)
        }
        (Query::Event(_), ..) => bail!(
            "a case for an event expects `decision` (keep, drop or label), `labels` or `labels_include`, and `removed`"
        ),
    };
    let labels = match (labels, labels_include) {
        (Some(_), Some(_)) => bail!("expected only one of `labels`, `labels_include`"),
        (labels, include) => labels.or(include).unwrap_or_default(),
    };
    Ok(ExpectedAnswer { answer, labels, other_labels, removed: removed.unwrap_or_default() })
}

#[cfg(test)]
mod tests;
