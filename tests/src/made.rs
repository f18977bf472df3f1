//! Classifiers for single tests, written in WebAssembly text: they do what no compiler generates.
//!
//! The text is assembled into a component when the test runs, so no build step and no artifact is needed.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::workspace;

/// WASI packages with a function that returns an owned handle.
const WASI: [&str; 2] = [
    "package wasi:io@0.2.0; interface streams { resource output-stream; }",
    "package wasi:cli@0.2.0; interface stdout { \
     use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }",
];

/// A classifier that has no opinion about any file, unless a test changes its functions.
///
/// The code of a test can use `$size` (arguments: handle of a file, address), `$drop_file`, `$stdout` (returns another
/// handle) and `$n`, a local `i32`.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Version of the contract.
    pub version: &'a str,
    /// Additional method of `file` that the contract does not have, for example `mtime: func() -> u64;`.
    pub method: &'a str,
    /// Code of `configure`.
    pub configure: &'a str,
    /// Code of `classify`. It must drop `$file`.
    pub classify: &'a str,
    /// Other items of the module.
    pub items: &'a str,
}

impl Default for Made<'_> {
    fn default() -> Self {
        let classify = "(call $drop_file (local.get $file))";
        Made { version: "0.1.0", method: "", configure: "", classify, items: "" }
    }
}

impl Made<'_> {
    fn core(&self) -> String {
        let Made { version, configure, classify, items, method } = self;
        let name = method.split(':').next().unwrap_or_default();
        let more = if name.is_empty() {
            String::new()
        } else {
            format!(
                "(import \"crypto-tracer:plugin/events@{version}\" \"[method]file.{name}\" (func (param i32) (result i64)))"
            )
        };
        let stdout = if classify.contains("$stdout") {
            "(import \"wasi:cli/stdout@0.2.0\" \"get-stdout\" (func $stdout (result i32)))"
        } else {
            ""
        };
        format!(
            r#"(module
  (import "crypto-tracer:plugin/events@{version}" "[method]file.size" (func $size (param i32 i32)))
  (import "crypto-tracer:plugin/events@{version}" "[resource-drop]file" (func $drop_file (param i32)))
  (import "crypto-tracer:plugin/events@{version}" "[resource-drop]interest" (func $drop_interest (param i32)))
  {more} {stdout}
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "crypto-tracer:plugin/classifier@{version}#configure") (param i32 i32 i32) (result i32)
    (local $n i32)
    (call $drop_interest (local.get 2))
    {configure}
    (i32.const 16))
  (func (export "crypto-tracer:plugin/classifier@{version}#classify") (param $file i32) (result i32)
    (local $n i32)
    {classify}
    (i32.const 16))
  {items})"#
        )
    }

    /// Assembles the component.
    ///
    /// # Panics
    ///
    /// If the parts do not form a valid component.
    pub fn component(&self) -> Vec<u8> {
        let Made { version, method, classify, .. } = self;
        let contract = std::fs::read_to_string(workspace().join("wit/plugin.wit"))
            .expect("the contract is readable");
        let contract = contract
            .replacen("plugin@0.1.1;", &format!("plugin@{version};"), 1)
            .replacen("resource file {", &format!("resource file {{ {method}"), 1);
        let mut resolve = Resolve::default();
        let wasi = WASI.iter().filter(|_| classify.contains("$stdout"));
        let mut world = format!(
            "package fixture:made; world made {{ include crypto-tracer:plugin/classifier-plugin@{version};"
        );
        for (n, text) in wasi.enumerate() {
            resolve.push_str(format!("wasi{n}.wit"), text).expect("WASI's interfaces");
        }
        if classify.contains("$stdout") {
            world.push_str(" import wasi:cli/stdout@0.2.0;");
        }
        world.push('}');
        resolve.push_str("plugin.wit", &contract).expect("the contract");
        let package = resolve.push_str("made.wit", &world).expect("the world");
        let world = resolve.select_world(&[package], None).expect("one world");
        let mut core = wat::parse_str(self.core()).expect("WebAssembly text");
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8, false)
            .expect("a module of this world");
        let mut encoder = ComponentEncoder::default();
        encoder.module(&core).expect("a module of this world");
        encoder.encode().expect("a component")
    }
}

/// Returns functions that are within all limits but slow to compile, as the `items` of a [`Made`].
pub fn slow_to_compile(functions: usize) -> String {
    /// Locals and statements of each function.
    const LOCALS: usize = 1500;
    const STATEMENTS: usize = 8000;
    let mut function = format!("(func (local {})", "i32 ".repeat(LOCALS));
    for n in 0..STATEMENTS {
        let (a, b, c) = (n % LOCALS, n * 7 % LOCALS, n * 13 % LOCALS);
        let _ = write!(
            function,
            "(if (local.get {a}) (then (local.set {b} (i32.add (local.get {b}) (local.get {c})))))"
        );
    }
    function.push(')');
    function.repeat(functions)
}
