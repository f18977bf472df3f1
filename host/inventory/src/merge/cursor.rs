//! Reads one list of one document, entry by entry.

use std::collections::{BTreeMap, BTreeSet};

use crypto_tracer_output::document::inventory::Id;

use super::rows::Row;
use crate::error::InputError;
use crate::header::Header;
use crate::scan::Scanner;
use crate::source::{Source, SourceReader};

/// A document that takes part in the merge.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) source: &'a Source,
    pub(super) header: Header,
    /// Its runs that count.
    pub(super) kept: BTreeSet<Id>,
    /// Ids of the entries that were read, sorted. Uses refer to them.
    pub(super) ids: Vec<Id>,
}

/// A position in a list.
pub(super) struct Cursor<'a, R: Row> {
    scanner: Scanner<SourceReader<'a>>,
    alone: Option<Id>,
    kept: &'a BTreeSet<Id>,
    items: usize,
    last: Option<R::Key>,
}

/// What the runs that count say of an entry.
pub(super) struct Entry<R: Row> {
    pub(super) key: R::Key,
    pub(super) facts: BTreeMap<Id, R::Fact>,
}

impl<'a, R: Row> Cursor<'a, R> {
    pub(super) fn new(
        source: &'a Source,
        header: &Header,
        kept: &'a BTreeSet<Id>,
    ) -> Result<Cursor<'a, R>, InputError> {
        let mut scanner = header.list(source, R::LIST);
        scanner.open(b'[')?;
        let alone = header.hosts.first().filter(|_| header.alone).map(|host| host.id);
        Ok(Cursor { scanner, alone, kept, items: 0, last: None })
    }

    /// Returns the next entry of a run that counts.
    pub(super) fn next(&mut self) -> Result<Option<Entry<R>>, InputError> {
        while self.scanner.next_item(self.items == 0, b']')? {
            let list = R::LIST.name();
            let row: R = self.scanner.value_in(|| format!("{list}[{}]", self.items))?;
            let key = row.key();
            if !row.has_valid_kind() {
                return Err(self.error("an id of another kind"));
            }
            match self.last {
                Some(last) if last == key => return Err(self.error("this entry occurs twice")),
                Some(last) if last > key => {
                    return Err(self.error("out of order; entries are sorted by their ids"));
                }
                _ => self.last = Some(key),
            }
            let facts = self.facts(row)?;
            self.items += 1;
            if !facts.is_empty() {
                return Ok(Some(Entry { key, facts }));
            }
        }
        Ok(None)
    }

    fn facts(&self, row: R) -> Result<BTreeMap<Id, R::Fact>, InputError> {
        let all = row.into_facts(self.alone);
        let count = all.len();
        if count == 0 {
            return Err(self.error("an entry of a merged document without hosts"));
        }
        let distinct: BTreeMap<Id, R::Fact> = all.into_iter().collect();
        if distinct.len() < count {
            return Err(self.error("a host occurs twice"));
        }
        Ok(distinct.into_iter().filter(|(host, _)| self.kept.contains(host)).collect())
    }

    /// An error in the current entry.
    pub(super) fn error(&self, problem: &str) -> InputError {
        let list = R::LIST.name();
        self.scanner.error(format!("{list}[{}]: {problem}", self.items))
    }

    /// An error in the entry that was returned last.
    pub(super) fn error_before(&self, problem: &str) -> InputError {
        let (list, item) = (R::LIST.name(), self.items.saturating_sub(1));
        self.scanner.error(format!("{list}[{item}]: {problem}"))
    }
}
