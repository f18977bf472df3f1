//! Compares two builds of different compilers: not the bytes, but the interface to the host.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol};
use wit_component::{DecodedWasm, WitPrinter};

use super::manifest::differences;

/// Differences between the committed file and the rebuilt one, one line each.
pub(super) fn offers(committed: &Path, rebuilt: &Path) -> Result<Vec<String>> {
    let describe = |path: &Path| -> Result<BTreeMap<String, String>> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("o") => of_object(&bytes),
            Some("wasm") => of_component(&bytes),
            // A precompiled plugin: this workspace's engine compiled it from the component, which is compared itself.
            _ => Ok(BTreeMap::new()),
        }
        .with_context(|| path.display().to_string())
    };
    let (old, new) = (describe(committed)?, describe(rebuilt)?);
    let name = committed.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(differences(&old, &new).into_iter().map(|line| format!("{name}: {line}")).collect())
}

/// Programs with their sections, which define the attach points, then maps and the licence.
fn of_object(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let file = object::File::parse(bytes)?;
    let mut offers = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition()) {
        let index = symbol.section_index().context("a global symbol without a section")?;
        let section = file.section_by_index(index)?.name()?.to_owned();
        let size = if section == "maps" || section == ".maps" { symbol.size() } else { 0 };
        offers.insert(symbol.name()?.to_owned(), format!("{section} {size}"));
    }
    if let Some(section) = file.section_by_name("license") {
        offers.insert("license".into(), format!("{:?}", section.data()?));
    }
    if offers.is_empty() {
        bail!("the object has no programs and no maps");
    }
    Ok(offers)
}

/// The contract of a component, as text.
fn of_component(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(bytes)? else {
        bail!("not a component");
    };
    let package = resolve
        .worlds
        .get(world)
        .and_then(|world| world.package)
        .context("a world without a package")?;
    let mut printer = WitPrinter::default();
    printer.print(&resolve, package, &[])?;
    Ok(BTreeMap::from([("contract".into(), printer.output.to_string())]))
}
