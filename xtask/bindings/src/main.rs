//! Generates the bindings of the SDK and of the template for C from the contract.
//!
//! The imports of all worlds are one module, so that the kinds of a component share their types. Each kind is a module with
//! an export macro, which adds the section that describes the kind's world.

//!
//! `plugin-bindings ROOT [--check]`; `cargo xtask reference` runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::wit_parser::{PackageId, Resolve, WorldItem, WorldKey};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::{Opts, WithOption};

/// Name of the crate in the paths of the generated code. The crate and those of its users see it by this name.
const CRATE: &str = "crypto_tracer_plugin";
/// World of the functions that any plugin can call. It is not part of the contract.
const IMPORTS: &str = "imports";
/// Suffix of the contract's worlds, one for each kind.
const WORLD: &str = "-plugin";
/// The kinds that `plugin new --language c` offers.
const KINDS_IN_C: [&str; 3] = ["classifier", "redactor", "filter"];

const CONTRACT: &str = "wit/plugin.wit";
/// The folder of the SDK's bindings.
const SDK: &str = "plugins/sdk/src/bindings";
/// The folder of the C template, with a folder for each kind.
const C: &str = "host/src/commands/plugin/template/c";

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let root = PathBuf::from(arguments.next().context("expected the folder of the workspace")?);
    let check = arguments.next().is_some_and(|option| option == "--check");
    let wit = fs::read_to_string(root.join(CONTRACT)).context(CONTRACT)?;
    run(&root, &wit, check)
}

/// Generated files, by their path below the root.
type Generated = BTreeMap<String, Vec<u8>>;

/// Writes the bindings, or compares them with the contract.
fn run(root: &Path, wit: &str, check: bool) -> Result<()> {
    let mut made = Generated::new();
    for (name, text) in sdk(wit)? {
        made.insert(format!("{SDK}/{name}"), text.into_bytes());
    }
    made.extend(c(wit)?);
    // Files of a kind that the contract no longer has.
    for entry in fs::read_dir(root.join(SDK)).context(SDK)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !made.contains_key(&format!("{SDK}/{name}")) {
            bail!("{SDK}/{name} is not generated: remove it");
        }
    }
    for (path, bytes) in made {
        let there = fs::read(root.join(&path)).unwrap_or_default();
        if there == bytes {
            continue;
        }
        if check {
            bail!("{path} does not match the contract; run `cargo xtask reference`");
        }
        if let Some(folder) = root.join(&path).parent() {
            fs::create_dir_all(folder).with_context(|| path.clone())?;
        }
        fs::write(root.join(&path), bytes).with_context(|| path.clone())?;
    }
    Ok(())
}

/// The bindings for C, with the object that describes the contract: authors need no generator.
fn c(wit: &str) -> Result<Generated> {
    let mut all = Generated::new();
    for kind in KINDS_IN_C {
        let mut resolve = Resolve::default();
        let package = resolve.push_str(Path::new("plugin.wit"), wit)?;
        let world = resolve.select_world(&[package], Some(&format!("{kind}{WORLD}")))?;
        // Otherwise each call would have to drop the resource that it borrows.
        let autodrop_borrows = wit_bindgen_c::Enabled::Yes;
        let options = wit_bindgen_c::Opts { autodrop_borrows, ..Default::default() };
        let mut files = Files::default();
        options.build().generate(&mut resolve, world, &mut files)?;
        for (name, bytes) in files.iter() {
            all.insert(format!("{C}/{kind}/{name}"), bytes.to_vec());
        }
    }
    Ok(all)
}

/// The files of the SDK's folder by name, with their contents.
///
/// # Errors
/// The contract is not valid WIT, or uses what the generator does not support.
fn sdk(wit: &str) -> Result<BTreeMap<String, String>> {
    let name = Path::new("plugin.wit");
    let mut contract = Resolve::default();
    let package = contract.push_str(name, wit)?;
    let worlds = &contract.packages.get(package).context("no package")?.worlds;
    let mut imports = BTreeSet::new();
    let mut kinds = Vec::new();
    for (world, id) in worlds {
        let world_imports = &contract.worlds.get(*id).context("no world")?.imports;
        for (key, item) in world_imports {
            if let (WorldKey::Interface(_), WorldItem::Interface { .. }) = (key, item) {
                imports.insert(contract.name_world_key(key));
            }
        }
        kinds.push(
            world.strip_suffix(WORLD).with_context(|| format!("the world {world} has no kind"))?,
        );
    }
    let mut all = wit.to_owned();
    let _ = writeln!(all, "world {IMPORTS} {{");
    for import in &imports {
        let _ = writeln!(all, "  import {};", interface(import)?);
    }
    all.push_str("}\n");
    let mut resolve = Resolve::default();
    let package = resolve.push_str(name, &all)?;

    let mut files = BTreeMap::new();
    let mut table = String::from(
        "//! Generated by `cargo xtask reference` from wit/plugin.wit: do not edit.\n\n",
    );
    let shared = Opts { generate_all: true, ..options() };
    files.insert(format!("{IMPORTS}.rs"), generated(&mut resolve, package, IMPORTS, shared)?);
    let _ = writeln!(table, "pub mod {IMPORTS};");
    for kind in kinds {
        let with = imports.iter().map(|import| {
            let path = format!(
                "crate::bindings::{IMPORTS}::crypto_tracer::plugin::{}",
                interface(import)?.replace('-', "_")
            );
            Ok((import.clone(), WithOption::Path(path)))
        });
        let module = kind.replace('-', "_");
        let options = Opts {
            with: with.collect::<Result<_>>()?,
            pub_export_macro: true,
            export_macro_name: Some(format!("export_{module}")),
            default_bindings_module: Some(format!("{CRATE}::bindings::{module}")),
            ..options()
        };
        files.insert(
            format!("{module}.rs"),
            generated(&mut resolve, package, &format!("{kind}{WORLD}"), options)?,
        );
        let _ = writeln!(table, "pub mod {module};");
    }
    files.insert("mod.rs".to_owned(), table);
    Ok(files)
}

fn options() -> Opts {
    Opts { format: true, runtime_path: Some(format!("{CRATE}::rt")), ..Opts::default() }
}

fn generated(
    resolve: &mut Resolve,
    package: PackageId,
    world: &str,
    options: Opts,
) -> Result<String> {
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    options.build().generate(resolve, world, &mut files)?;
    let (_, text) = files.iter().next().context("nothing was generated")?;
    Ok(String::from_utf8(text.to_vec())?)
}

/// The name of an interface without its package and version.
fn interface(name: &str) -> Result<&str> {
    let (_, name) = name.rsplit_once('/').with_context(|| format!("{name} is not of a package"))?;
    Ok(name.split('@').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn wit() -> String {
        fs::read_to_string(workspace().join("wit/plugin.wit")).unwrap()
    }

    #[test]
    fn the_bindings_are_up_to_date() {
        run(&workspace(), &wit(), true).unwrap();
    }

    #[test]
    fn there_is_a_module_for_each_kind() {
        let made = sdk(&wit()).unwrap();
        let table = made.get("mod.rs").unwrap();
        for kind in KINDS_IN_C {
            assert!(table.contains(&format!("pub mod {kind};")), "{kind}: {table}");
            assert!(made.get(&format!("{kind}.rs")).unwrap().contains(&format!("export_{kind}")));
        }
        assert!(made.get("imports.rs").unwrap().contains("path_bytes"));
    }

    /// Natively, the SDK has values instead of resources. They must have the same methods.
    #[test]
    fn the_fakes_have_every_method_of_the_contract() {
        let mut resolve = Resolve::default();
        let package = resolve.push_str(Path::new("plugin.wit"), &wit()).unwrap();
        let events = resolve.packages[package].interfaces["events"];
        let fakes = fs::read_to_string(workspace().join("plugins/sdk/src/fake.rs")).unwrap();
        for name in resolve.interfaces[events].functions.keys() {
            let Some(method) = name.strip_prefix("[method]") else { continue };
            let (resource, method) = method.split_once('.').unwrap();
            let resource = resource[..1].to_uppercase() + &resource[1..];
            let body = fakes.split(&format!("\nimpl {resource} {{\n")).nth(1).unwrap();
            let body = body.split("\n}\n").next().unwrap();
            let wanted = format!("pub fn {}(&self", method.replace('-', "_"));
            assert!(body.contains(&wanted), "{resource} lacks {method}");
        }
    }

    #[test]
    fn invalid_wit_is_refused() {
        assert!(sdk("interface").is_err() && c("interface").is_err());
        assert!(sdk("package a:b@0.1.0; world other { }").is_err());
    }
}
