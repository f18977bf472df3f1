//! Merges inventories into one.
//!
//! A merged document is a set of runs: entries that several runs have in common are written once, with what each run says
//! of them. Merging unites sets, so it is associative, commutative and idempotent. Lists are sorted, so the documents are
//! read side by side and only one entry of each is in memory.

mod cursor;
mod rows;
mod runs;
mod writer;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::document::inventory::{
    INVENTORY_VERSION, Id, InventoryFile, InventoryLibrary, MergedHost, Program, Use,
};
use crypto_tracer_output::{DocumentShape, WriteError};

use self::cursor::{Cursor, Document, Entry};
use self::rows::Row;
use self::runs::Runs;
use self::writer::Writer;
pub use self::writer::{Sink, TargetSink};
use crate::error::InputError;
use crate::header::Header;
use crate::source::Source;

/// A merge that failed.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A document cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The result cannot be written.
    #[error(transparent)]
    Write(WriteError),
    /// An entry cannot be serialised.
    #[error("cannot serialise an entry")]
    Serialize(#[source] serde_json::Error),
}

/// What a merge did.
#[derive(Debug, Default)]
pub struct MergeReport {
    /// Number of runs.
    pub hosts: usize,
    /// Number of programs, libraries, files and uses.
    pub entries: [u64; 4],
    /// What a person should know: replaced documents, overlapping windows, clocks that were set.
    pub notes: Vec<String>,
}

/// Merges documents. The order of `sources` makes no difference.
///
/// # Errors
/// A document is not valid, or the result cannot be written.
pub fn merge(
    sources: &[Source],
    sink: &mut dyn Sink,
    shape: DocumentShape,
) -> Result<MergeReport, MergeError> {
    let mut runs = Runs::default();
    let mut report = MergeReport::default();
    let mut documents = Vec::new();
    for source in sources {
        let header = Header::read(source)?;
        for id in runs.add(&header) {
            let host = header.hosts.iter().find(|host| host.id == id);
            let name = host.map_or_else(|| id.to_string(), name);
            report.notes.push(format!(
                "{name}: several documents describe the run {id}; the latest counts"
            ));
        }
        documents.push(Document { source, header, kept: BTreeSet::new(), ids: Vec::new() });
    }
    for document in &mut documents {
        document.kept = runs.kept(&document.header);
    }
    documents.retain(|document| !document.kept.is_empty());
    report.notes.sort();
    report.notes.dedup();
    report.hosts = runs.hosts().count();
    report.notes.extend(clock_notes(&runs));
    let mut writer = Writer::begin(sink, shape);
    let (generated_at, window, coverage) = runs.summary();
    writer.field("inventory_version", &INVENTORY_VERSION)?;
    writer.field("generated_at", &generated_at)?;
    writer.field("window", &window)?;
    writer.begin_list("hosts")?;
    runs.hosts().try_for_each(|host| writer.item(host))?;
    writer.end_list()?;
    writer.field("coverage", &coverage)?;
    let entries = [
        merge_list::<Program>(&mut documents, &mut writer)?,
        merge_list::<InventoryLibrary>(&mut documents, &mut writer)?,
        merge_list::<InventoryFile>(&mut documents, &mut writer)?,
        merge_list::<Use>(&mut documents, &mut writer)?,
    ];
    writer.end()?;
    Ok(MergeReport { entries, ..report })
}

fn name(host: &MergedHost) -> String {
    printable(host.host.hostname.as_deref().unwrap_or("?"))
}

fn clock_notes(runs: &Runs) -> Vec<String> {
    let set = runs.hosts().filter(|host| host.window.from > host.window.to);
    let set = set
        .map(|host| format!("{}: its window ends before it begins: its clock was set", name(host)));
    let overlapping = runs.overlapping().into_iter().map(|(one, other)| {
        let (one_id, other_id) = (one.id, other.id);
        format!(
            "{}: the windows of {one_id} and {other_id} overlap; uses in both are counted twice",
            name(one)
        )
    });
    set.chain(overlapping).collect()
}

/// Unites one list of all documents. Returns the number of entries.
fn merge_list<R: Row + References>(
    documents: &mut [Document<'_>],
    writer: &mut Writer<'_>,
) -> Result<u64, MergeError> {
    writer.begin_list(R::LIST.name())?;
    let mut read: Vec<Vec<Id>> = documents.iter().map(|_| Vec::new()).collect();
    let mut cursors = Vec::new();
    for document in documents.iter() {
        cursors.push(Cursor::<R>::new(document.source, &document.header, &document.kept)?);
    }
    let mut waiting: Vec<Option<Entry<R>>> = cursors.iter().map(|_| None).collect();
    let mut order = BinaryHeap::new();
    // Advances a cursor.
    let mut advance = |at: usize,
                       waiting: &mut Vec<Option<Entry<R>>>,
                       order: &mut BinaryHeap<Reverse<(R::Key, usize)>>|
     -> Result<(), MergeError> {
        let (Some(cursor), Some(document)) = (cursors.get_mut(at), documents.get(at)) else {
            return Ok(());
        };
        let Some(entry) = cursor.next()? else { return Ok(()) };
        if let Some(problem) = R::missing(&entry.key, &document.ids) {
            return Err(cursor.error_before(problem).into());
        }
        if let (Some(id), Some(read)) = (R::id(&entry.key), read.get_mut(at)) {
            read.push(id);
        }
        order.push(Reverse((entry.key, at)));
        if let Some(slot) = waiting.get_mut(at) {
            *slot = Some(entry);
        }
        Ok(())
    };
    for at in 0..documents.len() {
        advance(at, &mut waiting, &mut order)?;
    }
    let mut count = 0;
    while let Some(&Reverse((key, _))) = order.peek() {
        let mut facts: BTreeMap<Id, R::Fact> = BTreeMap::new();
        while let Some(&Reverse((next, at))) = order.peek() {
            if next != key {
                break;
            }
            order.pop();
            let entry = waiting.get_mut(at).and_then(Option::take);
            for (host, fact) in entry.into_iter().flat_map(|entry| entry.facts) {
                match facts.get_mut(&host) {
                    Some(known) => R::join(known, fact),
                    None => {
                        facts.insert(host, fact);
                    }
                }
            }
            advance(at, &mut waiting, &mut order)?;
        }
        writer.item(&R::build(key, facts))?;
        count += 1;
    }
    writer.end_list()?;
    for (document, mut ids) in documents.iter_mut().zip(read) {
        // Lists follow each other in the order of the kinds p, l, f; ids sort by kind f, l, p.
        ids.append(&mut document.ids);
        document.ids = ids;
    }
    Ok(count)
}

/// What an entry refers to.
trait References: Row {
    /// The id that others refer to.
    fn id(key: &Self::Key) -> Option<Id>;
    /// Why the entry cannot be used. `ids`: what the document lists, sorted.
    fn missing(key: &Self::Key, ids: &[Id]) -> Option<&'static str>;
}

macro_rules! defines_an_id {
    ($($row:ty),*) => {
        $(impl References for $row {
            fn id(key: &Id) -> Option<Id> {
                Some(*key)
            }

            fn missing(_: &Id, _: &[Id]) -> Option<&'static str> {
                None
            }
        })*
    };
}

defines_an_id!(Program, InventoryLibrary, InventoryFile);

impl References for Use {
    fn id(_: &(Id, Id)) -> Option<Id> {
        None
    }

    fn missing((program, target): &(Id, Id), ids: &[Id]) -> Option<&'static str> {
        if ids.binary_search(program).is_err() {
            Some("this use refers to no listed program")
        } else if ids.binary_search(target).is_err() {
            Some("this use refers to no listed library or file")
        } else {
            None
        }
    }
}

impl MergeReport {
    /// Returns the counts in one line.
    pub fn summary(&self) -> String {
        let [programs, libraries, files, uses] = self.entries;
        format!(
            "{}: {}, {}, {}, {}",
            counted(self.hosts, "host"),
            counted(programs, "program"),
            counted(libraries, "library"),
            counted(files, "file"),
            counted(uses, "use"),
        )
    }
}

#[cfg(test)]
mod tests;
