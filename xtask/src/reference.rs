//! `cargo xtask reference`: generates what is derived from the WIT of the plugin contract: the page of its reference, from the
//! comments, and the bindings of the SDK.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::cargo;
use anyhow::{Context, Result, bail};
use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, Resolve, Type, TypeDefKind, TypeId, World,
    WorldKey,
};

/// Options of `reference`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReferenceOptions {
    /// Change nothing: fail if the page does not match the contract
    #[arg(long)]
    check: bool,
}

const CONTRACT: &str = "wit/plugin.wit";
const PAGE: &str = "docs/plugin-contract.md";
/// The generator of the bindings, a workspace of its own.
const BINDINGS: &str = "xtask/bindings/Cargo.toml";

/// Writes the page and the bindings, or compares them with the contract.
pub(crate) fn run(root: &Path, options: &ReferenceOptions) -> Result<()> {
    page(root, options)?;
    let mut generate = Command::new(cargo());
    generate.args(["run", "--quiet", "--locked", "--manifest-path", BINDINGS, "--"]).arg(root);
    if options.check {
        generate.arg("--check");
    }
    // Its own folder: the outer cargo may hold the lock of the workspace's.
    let target = root.join("target/xtask/bindings");
    crate::run::run(generate.env("CARGO_TARGET_DIR", target).current_dir(root))
}

/// Writes the page, or compares it with the contract.
fn page(root: &Path, options: &ReferenceOptions) -> Result<()> {
    let wit = fs::read_to_string(root.join(CONTRACT)).context(CONTRACT)?;
    let made = reference(&wit).context(CONTRACT)?;
    let page = root.join(PAGE);
    if options.check {
        if fs::read_to_string(&page).context(PAGE)? != made {
            bail!("{PAGE} does not match {CONTRACT}; run `cargo xtask reference`");
        }
        return Ok(());
    }
    fs::write(&page, made).context(PAGE)
}

/// The page, in Markdown.
///
/// # Errors
/// The contract is not valid WIT, or uses a construct that this generator does not support.
pub(crate) fn reference(wit: &str) -> Result<String> {
    let mut resolve = Resolve::default();
    let id = resolve.push_str(CONTRACT, wit)?;
    let package = resolve.packages.get(id).context("no package")?;
    let version = package.name.version.as_ref().context("the package has no version")?;
    let mut page = Page { resolve: &resolve, out: String::new() };
    page.line(&format!("# The plugin contract, version {version}"));
    page.line(&format!(
        "<!-- `cargo xtask reference` generates this page from {CONTRACT}: edit that file. -->"
    ));
    page.docs(&package.docs, "");
    page.line("[The author's guide](plugins.md) describes how to write a plugin.");
    for interface in package.interfaces.values() {
        page.interface(resolve.interfaces.get(*interface).context("no interface")?)?;
    }
    page.line("## Worlds");
    for world in package.worlds.values() {
        page.world(resolve.worlds.get(*world).context("no world")?);
    }
    Ok(page.out.trim_end().to_owned() + "\n")
}

struct Page<'a> {
    resolve: &'a Resolve,
    out: String,
}

impl Page<'_> {
    /// Adds a paragraph.
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push_str("\n\n");
    }

    fn docs(&mut self, docs: &Docs, indent: &str) {
        let Some(text) = &docs.contents else { return };
        for line in text.trim().lines() {
            let _ = writeln!(self.out, "{}", format!("{indent}{}", line.trim()).trim_end());
        }
        self.out.push('\n');
    }

    fn interface(&mut self, interface: &Interface) -> Result<()> {
        let name = interface.name.as_deref().context("an interface without a name")?;
        self.line(&format!("## `{name}`"));
        self.docs(&interface.docs, "");
        for (name, id) in &interface.types {
            self.definition(name, *id, interface)?;
        }
        let free =
            interface.functions.values().filter(|it| matches!(it.kind, FunctionKind::Freestanding));
        for function in free {
            self.line(&format!("### `{}`", function.name));
            self.function(function, "")?;
        }
        Ok(())
    }

    fn definition(&mut self, name: &str, id: TypeId, interface: &Interface) -> Result<()> {
        let ty = self.resolve.types.get(id).context("no type")?;
        // A type of another interface is described there.
        if matches!(ty.kind, TypeDefKind::Type(_)) {
            return Ok(());
        }
        self.line(&format!("### {} `{name}`", ty.kind.as_str()));
        self.docs(&ty.docs, "");
        match &ty.kind {
            TypeDefKind::Resource => {
                let is_method = |it: &&Function| it.kind == FunctionKind::Method(id);
                for function in interface.functions.values().filter(is_method) {
                    self.function(function, "- ")?;
                }
            }
            TypeDefKind::Enum(it) => {
                for case in &it.cases {
                    self.item(&case.name, &case.docs);
                }
            }
            TypeDefKind::Variant(it) => {
                for case in &it.cases {
                    let name = match &case.ty {
                        Some(ty) => format!("{}({})", case.name, self.ty(ty)?),
                        None => case.name.clone(),
                    };
                    self.item(&name, &case.docs);
                }
            }
            TypeDefKind::Record(it) => {
                for field in &it.fields {
                    let ty = self.ty(&field.ty)?;
                    self.item(&format!("{}: {ty}", field.name), &field.docs);
                }
            }
            other => bail!("a {} is not supported yet", other.as_str()),
        }
        Ok(())
    }

    fn item(&mut self, name: &str, docs: &Docs) {
        self.line(&format!("- `{name}`"));
        self.docs(docs, "  ");
    }

    fn function(&mut self, function: &Function, mark: &str) -> Result<()> {
        let method = matches!(function.kind, FunctionKind::Method(_));
        let mut params = Vec::new();
        for param in function.params.iter().skip(usize::from(method)) {
            params.push(format!("{}: {}", param.name, self.ty(&param.ty)?));
        }
        let result = match &function.result {
            Some(ty) => format!(" -> {}", self.ty(ty)?),
            None => String::new(),
        };
        let name = function.item_name();
        self.line(&format!("{mark}`{name}: func({}){result}`", params.join(", ")));
        self.docs(&function.docs, &" ".repeat(mark.len()));
        Ok(())
    }

    fn ty(&self, ty: &Type) -> Result<String> {
        Ok(match ty {
            Type::Bool => "bool".to_owned(),
            Type::U8 => "u8".to_owned(),
            Type::U16 => "u16".to_owned(),
            Type::U32 => "u32".to_owned(),
            Type::U64 => "u64".to_owned(),
            Type::S64 => "s64".to_owned(),
            Type::String => "string".to_owned(),
            Type::Id(id) => self.named(*id)?,
            other => bail!("{other:?} is not supported yet"),
        })
    }

    fn named(&self, id: TypeId) -> Result<String> {
        let ty = self.resolve.types.get(id).context("no type")?;
        if let Some(name) = &ty.name {
            return Ok(name.clone());
        }
        let or_none = |ty: &Option<Type>| ty.as_ref().map_or(Ok("_".to_owned()), |ty| self.ty(ty));
        Ok(match &ty.kind {
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.named(*id)?),
            TypeDefKind::Option(ty) => format!("option<{}>", self.ty(ty)?),
            TypeDefKind::List(ty) => format!("list<{}>", self.ty(ty)?),
            TypeDefKind::Result(it) => {
                format!("result<{}, {}>", or_none(&it.ok)?, or_none(&it.err)?)
            }
            TypeDefKind::Tuple(it) => {
                let types: Result<Vec<String>> = it.types.iter().map(|ty| self.ty(ty)).collect();
                format!("tuple<{}>", types?.join(", "))
            }
            other => bail!("a {} is not supported yet", other.as_str()),
        })
    }

    fn world(&mut self, world: &World) {
        let name = |key: &WorldKey| format!("`{}`", short(&self.resolve.name_world_key(key)));
        let imports: Vec<String> = world.imports.keys().map(name).collect();
        let exports: Vec<String> = world.exports.keys().map(name).collect();
        let (imports, exports) = (imports.join(", "), exports.join(", "));
        self.line(&format!("- `{}`: imports {imports}; exports {exports}", world.name));
        self.docs(&world.docs, "  ");
    }
}

/// An interface's name without its package.
fn short(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.split('@').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_contains_every_comment_of_the_contract() {
        let wit = fs::read_to_string(crate::workspace().join(CONTRACT)).unwrap();
        let page = reference(&wit).unwrap();
        for line in wit.lines().filter_map(|line| line.trim().strip_prefix("///")) {
            assert!(page.contains(line.trim()), "{line}");
        }
        for name in ["file-suffix: func(suffix: string)", "head: func(max: u32) -> list<u8>"] {
            assert!(page.contains(name), "{name}");
        }
    }

    #[test]
    fn the_page_is_up_to_date() {
        page(&crate::workspace(), &ReferenceOptions { check: true }).unwrap();
    }

    #[test]
    fn invalid_wit_is_refused() {
        assert!(reference("interface").is_err());
        assert!(reference("package a:b;").is_err());
    }
}
