//! Loads a component: reads the file, checks it, compiles it.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::bundled::Bundled;
use super::compile::{compile, damaged};
use super::contract::{self, Contract, Version};
use super::failure::{PluginSource, Problem};
use super::features;
use super::precheck::Precheck;
use super::runtime::Runtime;
use super::spec::PluginSpec;
use super::text::one_line;
use super::trust::Origin;
use super::wasi;
use crypto_tracer_event::PluginKind;

/// Prefix of the interfaces of the plugin contract.
const CONTRACT: &str = "crypto-tracer:plugin/";
/// The function for which the host keeps a table of processes.
const READS_ANCESTORS: [&str; 1] = ["[method]event.ancestor"];
/// Functions that read a file's content, which needs a grant.
const READS_CONTENT: [&str; 3] = ["[method]file.head", "[method]file.visible", READS_BLOCKS[0]];
/// Function that lists the PEM blocks of a file.
const READS_BLOCKS: [&str; 1] = ["[method]file.blocks"];
/// Function that reads metadata, which comes with the head.
const READS_STAT: [&str; 1] = ["[method]file.stat"];
/// Maximum number of characters of a name.
const MAX_NAME: usize = 64;

/// A compiled component and its metadata.
#[derive(Clone)]
pub(super) struct CompiledPlugin {
    pub(super) component: Component,
    pub(super) name: Arc<str>,
    pub(super) version: Arc<str>,
    /// In lower-case hexadecimal.
    pub(super) sha256: Arc<str>,
    /// Contract version that it was built for.
    pub(super) built_for: Version,
    /// The compatible contract of this program.
    pub(super) contract: &'static dyn Contract,
    /// It imports a function that reads file heads.
    pub(super) asks_for_heads: bool,
    /// It imports the function that returns facts of ancestors.
    pub(super) asks_for_ancestors: bool,
    /// It imports a function that reads file heads or what comes with them.
    pub(super) asks_reader: bool,
    /// It imports the function that lists the PEM blocks of a file.
    pub(super) reads_blocks: bool,
    /// Size in bytes.
    pub(super) size: u64,
    exports: Vec<String>,
}

impl CompiledPlugin {
    /// Reads, checks and compiles a component. `wanted`: the kind that it must export. All checks that do not need the
    /// compiled code run before compilation.
    pub(super) fn load(
        runtime: &Runtime,
        spec: &PluginSpec,
        bundled: Option<&Bundled>,
        wanted: Option<PluginKind>,
    ) -> Result<CompiledPlugin, Problem> {
        let Runtime { engine, limits, .. } = runtime;
        match &spec.source {
            PluginSource::Bundled => {
                let bundled = bundled.ok_or(Problem::NoneBundled)?;
                let metadata = Metadata::read(bundled.component, limits.component, spec, wanted)?;
                let component = bundled.compiled(engine).map_err(damaged)?;
                bundled.release_pages();
                let named = (bundled.name, env!("CARGO_PKG_VERSION"));
                Ok(CompiledPlugin::new(engine, component, named, metadata))
            }
            PluginSource::File(path) => {
                let bytes = read(path, limits.component)?;
                let metadata = Metadata::read(&bytes, limits.component, spec, wanted)?;
                let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
                // A component cannot be trusted to state its own version, so the hash of its content identifies it.
                let version: String = metadata.sha256.chars().take(12).collect();
                let sha256 = metadata.sha256.clone();
                let code = || compiled(runtime, spec.origin, &sha256, bytes);
                let component = runtime.compiled.component(engine, &sha256, code)?;
                Ok(CompiledPlugin::new(engine, component, (&name(&stem), &version), metadata))
            }
        }
    }

    fn new(
        engine: &Engine,
        component: Component,
        (name, version): (&str, &str),
        metadata: Metadata,
    ) -> CompiledPlugin {
        let Metadata { sha256, size, built_for, exports } = metadata;
        let asks_for_heads = imports_any(engine, &component, &READS_CONTENT);
        let asks_reader = asks_for_heads || imports_any(engine, &component, &READS_STAT);
        let reads_blocks = imports_any(engine, &component, &READS_BLOCKS);
        let asks_for_ancestors = imports_any(engine, &component, &READS_ANCESTORS);
        // A component without any interface of the contract is rejected later, when its exports are checked.
        let built_for = built_for.unwrap_or(contract::latest().version());
        CompiledPlugin {
            component,
            name: name.into(),
            version: version.into(),
            sha256: sha256.into(),
            built_for,
            contract: contract::of(built_for).unwrap_or(contract::latest()),
            asks_for_heads,
            asks_for_ancestors,
            asks_reader,
            reads_blocks,
            size,
            exports,
        }
    }

    /// Converts an error of linking.
    pub(super) fn link_problem(&self, error: &wasmtime::Error) -> Problem {
        let (built_for, supported) = (self.built_for, self.contract.version());
        // The last cause in the chain names the missing function of an interface.
        let missing = error.chain().filter_map(|cause| {
            let text = cause.to_string();
            Some(text.strip_prefix("instance export `")?.split('`').next()?.to_owned())
        });
        match missing.last() {
            Some(missing) if built_for > supported => Problem::Newer {
                built_for: built_for.to_string(),
                supported: supported.to_string(),
                missing: printable(&missing),
            },
            _ => Problem::Unfit(one_line(&error.root_cause().to_string())),
        }
    }

    /// Whether it exports the interface of this kind, in any version.
    pub(super) fn exports_kind(&self, wanted: PluginKind) -> bool {
        let mut interfaces = self.exports.iter().filter_map(|export| export.strip_prefix(CONTRACT));
        interfaces.any(|interface| interface.split('@').next() == Some(wanted.as_str()))
    }

    /// Checks that it exports this interface in a compatible version.
    pub(super) fn check_export(&self, wanted: &'static str) -> Result<(), Problem> {
        check_export(&self.exports, wanted)
    }
}

/// Whether a component imports one of these functions of the contract.
fn imports_any(engine: &Engine, component: &Component, wanted: &[&str]) -> bool {
    component.component_type().imports(engine).any(|(import, item)| match item.ty {
        ComponentItem::ComponentInstance(instance) => {
            let mut functions = instance.exports(engine).map(|(function, _)| function);
            import.starts_with(CONTRACT) && functions.any(|name| wanted.contains(&name))
        }
        _ => false,
    })
}

/// The code of a file: from the cache on disk if the file is a site's plugin and in it, else from the compiler.
fn compiled(
    runtime: &Runtime,
    origin: Origin,
    sha256: &str,
    bytes: Vec<u8>,
) -> Result<Component, Problem> {
    let Runtime { engine, limits, shutdown, .. } = runtime;
    // An author's builds would fill it.
    let cache = runtime.code_cache.as_ref().filter(|_| origin == Origin::Configuration);
    if let Some(component) = cache.and_then(|cache| cache.load(engine, sha256)) {
        return Ok(component);
    }
    let copy = bytes.clone();
    let compiled = compile(engine, bytes, limits.component, shutdown);
    let component = compiled.map_err(|problem| match problem {
        Problem::Damaged(reason) => {
            features::unsupported(&copy).map_or(Problem::Damaged(reason), Problem::Feature)
        }
        problem => problem,
    })?;
    if features::uses_gc(&copy) {
        return Err(Problem::Feature("GC"));
    }
    if let Some(cache) = cache {
        cache.store(engine, sha256, &component);
    }
    Ok(component)
}

/// Metadata of a component, read before compilation.
struct Metadata {
    sha256: String,
    size: u64,
    built_for: Option<Version>,
    exports: Vec<String>,
}

impl Metadata {
    fn read(
        bytes: &[u8],
        max_bytes: usize,
        spec: &PluginSpec,
        wanted: Option<PluginKind>,
    ) -> Result<Metadata, Problem> {
        let found = sha256(bytes);
        if let Some(pinned) = spec.sha256.as_ref().filter(|it| !it.eq_ignore_ascii_case(&found)) {
            return Err(Problem::Pin { found, pinned: pinned.clone() });
        }
        let Precheck { imports, exports } = Precheck::read(bytes, max_bytes)?;
        let mut built_for: Option<Version> = None;
        for import in &imports {
            match import.strip_prefix(CONTRACT) {
                Some(interface) => built_for = check_version(interface)?.max(built_for),
                None if wasi::inert(import).is_some() => {}
                None => return Err(Problem::Foreign(printable(import))),
            }
        }
        for interface in exports.iter().filter_map(|export| export.strip_prefix(CONTRACT)) {
            built_for = check_version(interface)?.max(built_for);
        }
        wanted.map_or(Ok(()), |wanted| check_export(&exports, wanted.as_str()))?;
        Ok(Metadata { sha256: found, size: bytes.len() as u64, built_for, exports })
    }
}

fn check_export(exports: &[String], wanted: &'static str) -> Result<(), Problem> {
    for export in exports {
        let Some(interface) = export.strip_prefix(CONTRACT) else { continue };
        if interface.split('@').next() == Some(wanted) {
            return check_version(interface).map(|_| ());
        }
    }
    let exports: Vec<String> = exports.iter().take(8).map(|name| printable(name)).collect();
    let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    Err(Problem::OtherWorld { wanted, exports })
}

/// The version after the `@` of `interface`. Fails if this program does not support it.
fn check_version(interface: &str) -> Result<Option<Version>, Problem> {
    let Some((_, text)) = interface.split_once('@') else { return Ok(None) };
    let built_for = Version::parse(text);
    if built_for.is_some_and(|version| contract::of(version).is_some()) {
        return Ok(built_for);
    }
    let supported = contract::latest().version();
    let remedy = match built_for {
        Some(version) if version < supported => "build the plugin again for this version",
        _ => "update crypto-tracer, or build the plugin for this version",
    };
    Err(Problem::Version { built_for: printable(text), supported: supported.to_string(), remedy })
}

fn read(path: &Path, max_bytes: usize) -> Result<Vec<u8>, Problem> {
    // Opening a FIFO must not block.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(Problem::Unreadable)?;
    let metadata = file.metadata().map_err(Problem::Unreadable)?;
    if !metadata.is_file() {
        return Err(Problem::NotAFile);
    }
    let mut bytes = Vec::new();
    let read = file.take(max_bytes as u64 + 1).read_to_end(&mut bytes);
    if read.map_err(Problem::Unreadable)? > max_bytes {
        return Err(Problem::TooLarge { limit: max_bytes });
    }
    match bytes.as_slice() {
        [] => Err(Problem::Empty),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Problem::CoreModule),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(bytes),
        _ => Err(Problem::NoWasm),
    }
}

/// Derives a plugin's name from its file's. The name is shown in events and on terminals.
fn name(stem: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && c != '@' { c } else { '_' };
    let name: String = stem.chars().take(MAX_NAME).map(plain).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

fn printable(text: &str) -> String {
    text.chars().take(128).flat_map(char::escape_debug).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_both_versions_and_the_remedy() {
        let error = check_version("events@0.2.0").unwrap_err().to_string();
        assert!(
            error.contains("0.2.0")
                && error.contains("0.1.1")
                && error.contains("update crypto-tracer")
        );
        let error = check_version("events@0.0.9").unwrap_err().to_string();
        assert!(error.contains("build the plugin again"), "{error}");
        assert_eq!(check_version("events@0.1.9").unwrap(), Version::parse("0.1.9"));
    }

    #[test]
    fn names_are_printable() {
        assert_eq!(name("acme"), "acme");
        assert_eq!(name("a\u{1b}[2J@é"), "a_[2J__");
        assert_eq!(name(""), "_");
        assert_eq!(name(&"x".repeat(1000)).len(), MAX_NAME);
    }
}
