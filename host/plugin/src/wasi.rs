//! An inert WASI for plugins whose toolchain imports it: no environment, no arguments, no files, a constant clock, a
//! constant seed. Output to stdout and stderr becomes log lines, so the operator sees the message of a panic. All other
//! functions of these interfaces trap, with their name in the error.
//!
//! `Linker::define_unknown_imports_as_traps` is not suitable: it matches names exactly, so a plugin built for
//! `events@0.1.0` would get traps although the host has the compatible 0.1.1.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType,
};
use wasmtime::{Error, Result, StoreContextMut};

use super::log::GuestStream;
use super::state::{Misuse, State};

/// Interfaces that the standard library of wasm32-wasip2 imports. A plugin that imports any other is rejected.
const INERT: &[&str] = &[
    "cli/environment",
    "cli/exit",
    "cli/stdin",
    "cli/stdout",
    "cli/stderr",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "cli/terminal-stderr",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
];

/// Maximum bytes of one write to a stream, and of one request for random bytes.
const MAX_BYTES: u64 = 4096;
/// Handles of the two streams.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

struct IoError;
struct InputStream;
struct OutputStream;
struct Pollable;
struct TerminalInput;
struct TerminalOutput;
struct Descriptor;
struct Other;

#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the type must have all cases of the interface")]
enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Store<'a> = StoreContextMut<'a, State>;
type Environment = Vec<(String, String)>;

/// The interface of a `wasi:` import without its version, if it is in [`INERT`].
pub(super) fn inert(import: &str) -> Option<&str> {
    let interface = import.split('@').next()?.strip_prefix("wasi:")?;
    INERT.contains(&interface).then_some(interface)
}

/// Defines the `wasi:` imports of this component.
pub(super) fn add_to_linker(linker: &mut Linker<State>, component: &Component) -> Result<()> {
    let engine = linker.engine().clone();
    // Each function first traps; then `define` replaces the supported ones.
    linker.allow_shadowing(true);
    for (import, item) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        let Some(interface) = inert(import) else { continue };
        let mut it = linker.instance(import)?;
        for (name, item) in instance.exports(&engine) {
            match item.ty {
                // An interface that `use`s a resource of another interface also exports it under its own name.
                ComponentItem::Resource(_) => it.resource(name, resource(name), |_, _| Ok(()))?,
                ComponentItem::ComponentFunc(_) => {
                    let what = format!("{import} {name}");
                    it.func_new(name, move |_, _, _, _| {
                        Err(Error::new(Misuse::NotGranted(what.clone())))
                    })?;
                }
                _ => {}
            }
        }
        define(interface, &mut it)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

fn resource(name: &str) -> ResourceType {
    match name {
        "error" => ResourceType::host::<IoError>(),
        "pollable" => ResourceType::host::<Pollable>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        "terminal-input" => ResourceType::host::<TerminalInput>(),
        "terminal-output" => ResourceType::host::<TerminalOutput>(),
        "descriptor" => ResourceType::host::<Descriptor>(),
        _ => ResourceType::host::<Other>(),
    }
}

fn define(interface: &str, it: &mut LinkerInstance<'_, State>) -> Result<()> {
    match interface {
        "cli/environment" => {
            it.func_wrap("get-environment", |_: Store<'_>, ()| Ok((Environment::new(),)))?;
            it.func_wrap("get-arguments", |_: Store<'_>, ()| Ok((Vec::<String>::new(),)))?;
            it.func_wrap("initial-cwd", |_: Store<'_>, ()| Ok((None::<String>,)))
        }
        "cli/exit" => {
            it.func_wrap("exit", |_: Store<'_>, (status,): (std::result::Result<(), ()>,)| {
                Err::<(), _>(Error::new(Misuse::Exit(status.is_err().into())))
            })
        }
        "cli/stdin" => {
            it.func_wrap("get-stdin", |_: Store<'_>, ()| Ok((Resource::<InputStream>::new_own(0),)))
        }
        "cli/stdout" => it.func_wrap("get-stdout", |_: Store<'_>, ()| {
            Ok((Resource::<OutputStream>::new_own(STDOUT),))
        }),
        "cli/stderr" => it.func_wrap("get-stderr", |_: Store<'_>, ()| {
            Ok((Resource::<OutputStream>::new_own(STDERR),))
        }),
        "cli/terminal-stdin" => it.func_wrap("get-terminal-stdin", |_: Store<'_>, ()| {
            Ok((None::<Resource<TerminalInput>>,))
        }),
        "cli/terminal-stdout" => it.func_wrap("get-terminal-stdout", |_: Store<'_>, ()| {
            Ok((None::<Resource<TerminalOutput>>,))
        }),
        "cli/terminal-stderr" => it.func_wrap("get-terminal-stderr", |_: Store<'_>, ()| {
            Ok((None::<Resource<TerminalOutput>>,))
        }),
        "io/poll" => {
            it.func_wrap("[method]pollable.block", |_: Store<'_>, (_,): (Resource<Pollable>,)| {
                Ok(())
            })?;
            it.func_wrap("[method]pollable.ready", |_: Store<'_>, (_,): (Resource<Pollable>,)| {
                Ok((true,))
            })
        }
        "io/streams" => streams(it),
        "clocks/monotonic-clock" => it.func_wrap("now", |_: Store<'_>, ()| Ok((0u64,))),
        "clocks/wall-clock" => {
            let epoch = Datetime { seconds: 0, nanoseconds: 0 };
            it.func_wrap("now", move |_: Store<'_>, ()| Ok((epoch,)))?;
            it.func_wrap("resolution", move |_: Store<'_>, ()| Ok((epoch,)))
        }
        "filesystem/preopens" => it.func_wrap("get-directories", |_: Store<'_>, ()| {
            Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
        }),
        "random/insecure-seed" => {
            it.func_wrap("insecure-seed", |_: Store<'_>, ()| Ok(((1u64, 2u64),)))
        }
        "random/insecure" => random(it, "get-insecure-random-u64", "get-insecure-random-bytes"),
        "random/random" => random(it, "get-random-u64", "get-random-bytes"),
        _ => Ok(()),
    }
}

fn random(it: &mut LinkerInstance<'_, State>, number: &str, bytes: &str) -> Result<()> {
    it.func_wrap(number, |_: Store<'_>, ()| Ok((4u64,)))?;
    it.func_wrap(bytes, |_: Store<'_>, (count,): (u64,)| {
        Ok((vec![4u8; usize::try_from(count.min(MAX_BYTES))?],))
    })
}

fn streams(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    type Done = std::result::Result<(), StreamError>;
    type Bytes = std::result::Result<Vec<u8>, StreamError>;
    for name in ["read", "blocking-read"] {
        it.func_wrap(
            &format!("[method]input-stream.{name}"),
            |_: Store<'_>, _: (Resource<InputStream>, u64)| Ok((Bytes::Err(StreamError::Closed),)),
        )?;
    }
    it.func_wrap("[method]input-stream.subscribe", |_: Store<'_>, _: (Resource<InputStream>,)| {
        Ok((Resource::<Pollable>::new_own(0),))
    })?;
    it.func_wrap(
        "[method]output-stream.subscribe",
        |_: Store<'_>, _: (Resource<OutputStream>,)| Ok((Resource::<Pollable>::new_own(0),)),
    )?;
    it.func_wrap(
        "[method]output-stream.check-write",
        |_: Store<'_>, _: (Resource<OutputStream>,)| Ok((Ok::<u64, StreamError>(MAX_BYTES),)),
    )?;
    for name in ["write", "blocking-write-and-flush"] {
        it.func_wrap(
            &format!("[method]output-stream.{name}"),
            |mut store: Store<'_>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                let stream =
                    if stream.rep() == STDERR { GuestStream::Error } else { GuestStream::Output };
                store.data_mut().log.print(stream, &bytes);
                Ok((Done::Ok(()),))
            },
        )?;
    }
    for name in ["flush", "blocking-flush"] {
        it.func_wrap(
            &format!("[method]output-stream.{name}"),
            |_: Store<'_>, _: (Resource<OutputStream>,)| Ok((Done::Ok(()),)),
        )?;
    }
    Ok(())
}
