//! Reads what stands before and between the lists of an inventory, and where the lists begin.

use std::collections::BTreeMap;

use serde::Deserialize;

use crypto_tracer_output::document::inventory::{
    Coverage, Host, INVENTORY_VERSION, Id, MergedHost, Time, Window,
};

use crate::error::InputError;
use crate::scan::{Mark, Scanner};
use crate::source::{Source, SourceReader};

/// Maximum number of runs in a document.
const MAX_HOSTS: usize = 1 << 20;

/// A list of an inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    Programs,
    Libraries,
    Files,
    Uses,
}

impl List {
    pub(crate) const ALL: [List; 4] = [List::Programs, List::Libraries, List::Files, List::Uses];

    pub(crate) fn name(self) -> &'static str {
        match self {
            List::Programs => "programs",
            List::Libraries => "libraries",
            List::Files => "files",
            List::Uses => "uses",
        }
    }
}

/// An inventory of which only the header is in memory.
#[derive(Debug)]
pub(crate) struct Header {
    /// The runs: one, unless the document was merged.
    pub(crate) hosts: Vec<MergedHost>,
    /// The document describes one host and has no `hosts`.
    pub(crate) alone: bool,
    lists: BTreeMap<List, Mark>,
}

/// Fields of the document that are not lists.
#[derive(Default)]
struct Fields {
    version: bool,
    generated_at: Option<Time>,
    window: Option<Window>,
    host: Option<Host>,
    hosts: Option<Vec<MergedHost>>,
    coverage: Option<Coverage>,
    lists: BTreeMap<List, Mark>,
}

impl Header {
    /// Reads the document once, without its lists.
    ///
    /// # Errors
    /// The document is cut off, foreign, has a field twice, or lacks one.
    pub(crate) fn read(source: &Source) -> Result<Header, InputError> {
        let mut scanner = Scanner::new(source.name(), source.reader(0));
        match scanner.peek()? {
            Some(b'{') => {}
            _ => return Err(scanner.error("not an inventory: a JSON object was expected")),
        }
        scanner.open(b'{')?;
        let mut fields = Fields::default();
        let mut seen = Vec::new();
        while scanner.next_item(seen.is_empty(), b'}')? {
            let key = scanner.key()?;
            if seen.contains(&key) {
                return Err(scanner.error(format!("{key} occurs twice")));
            }
            fields.read(&key, &mut scanner)?;
            seen.push(key);
        }
        scanner.end()?;
        fields.header(source.name())
    }

    /// Continues reading where a list begins.
    pub(crate) fn list<'a>(&self, source: &'a Source, list: List) -> Scanner<SourceReader<'a>> {
        let mark = self.lists.get(&list).copied().unwrap_or_default();
        Scanner::resume(source.name(), source.reader(mark.offset), mark)
    }
}

impl Fields {
    fn read(
        &mut self,
        key: &str,
        scanner: &mut Scanner<SourceReader<'_>>,
    ) -> Result<(), InputError> {
        fn field<'a, T: Deserialize<'a>>(
            slot: &mut Option<T>,
            key: &str,
            scanner: &'a mut Scanner<SourceReader<'_>>,
        ) -> Result<(), InputError> {
            *slot = Some(scanner.value(key)?);
            Ok(())
        }
        match key {
            "inventory_version" => {
                let mut version: Option<serde_json::Value> = None;
                field(&mut version, key, scanner)?;
                let version = version.unwrap_or_default();
                if version != INVENTORY_VERSION {
                    return Err(scanner.error(format!(
                        "inventory version {version} is not supported (supported: {INVENTORY_VERSION})"
                    )));
                }
                self.version = true;
                Ok(())
            }
            "generated_at" => field(&mut self.generated_at, key, scanner),
            "window" => field(&mut self.window, key, scanner),
            "host" => field(&mut self.host, key, scanner),
            "coverage" => field(&mut self.coverage, key, scanner),
            "hosts" => {
                self.hosts = Some(hosts(scanner)?);
                Ok(())
            }
            "bomFormat" => Err(scanner.error("a CycloneDX document, not an inventory")),
            _ => {
                let list = List::ALL.into_iter().find(|list| list.name() == key);
                let Some(list) = list else {
                    return Err(scanner.error(format!("not an inventory: unknown field {key:?}")));
                };
                scanner.peek()?;
                self.lists.insert(list, scanner.mark());
                scanner.skip_value()
            }
        }
    }

    fn header(self, name: &str) -> Result<Header, InputError> {
        let missing =
            |field: &str| InputError::whole(name, format!("not an inventory: it has no {field}"));
        if !self.version {
            return Err(missing("inventory_version"));
        }
        for list in List::ALL {
            if !self.lists.contains_key(&list) {
                return Err(missing(list.name()));
            }
        }
        let generated_at = self.generated_at.ok_or_else(|| missing("generated_at"))?;
        let window = self.window.ok_or_else(|| missing("window"))?;
        let coverage = self.coverage.ok_or_else(|| missing("coverage"))?;
        let alone = self.host.is_some();
        let hosts = match (self.host, self.hosts) {
            (Some(host), None) => {
                let id = Id::host(host.hostname.as_deref(), window.from);
                vec![MergedHost { id, host, generated_at, window, coverage }]
            }
            (None, Some(hosts)) if !hosts.is_empty() => hosts,
            _ => {
                let problem = "a document has either one host or merged hosts";
                return Err(InputError::whole(name, problem));
            }
        };
        Ok(Header { hosts, alone, lists: self.lists })
    }
}

fn hosts(scanner: &mut Scanner<SourceReader<'_>>) -> Result<Vec<MergedHost>, InputError> {
    let mut hosts: Vec<MergedHost> = Vec::new();
    scanner.open(b'[')?;
    while scanner.next_item(hosts.is_empty(), b']')? {
        let place = format!("hosts[{}]", hosts.len());
        let host: MergedHost = scanner.value(&place)?;
        if hosts.last().is_some_and(|last| last.id >= host.id) {
            let problem = format!("{place}: {} is listed twice or out of order", host.id);
            return Err(scanner.error(problem));
        }
        if host.id != Id::host(host.host.hostname.as_deref(), host.window.from) {
            let problem = format!("{place}: {} is not the id of this host and window", host.id);
            return Err(scanner.error(problem));
        }
        if hosts.len() >= MAX_HOSTS {
            return Err(scanner.error(format!("more than {MAX_HOSTS} hosts")));
        }
        hosts.push(host);
    }
    Ok(hosts)
}
