//! The BPF programs: one file per hook in `hook`; the other modules are shared.
//!
//! Built by
//! `RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C link-arg=--btf -C debuginfo=2" cargo build -p crypto-tracer-ebpf --profile bpf
//! --target bpfel-unknown-none` with a nightly rustc or Debian's `rustc-web`; see README.md of this crate.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "for rustc every access to kernel memory is unsafe; the verifier proves each one at load"
)]
#![expect(
    unused_unsafe,
    reason = "the macros that read the programs' own statics are used in both kinds of code"
)]

mod fixed;
mod flood;
mod header;
mod hook;
mod kernel;
mod maps;
mod name;
mod ringbuf;
mod task;
mod walk;

/// An endless loop, so the verifier refuses a program that could panic.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
