//! The data that crosses between the BPF programs and the host: one definition for both sides.
//!
//! Everything here has a fixed size and layout (`repr(C)`, no padding, no `bool`, no `enum`), so that the host reads
//! it with zerocopy and without `unsafe`, and so that no byte of kernel memory leaks through padding.
#![no_std]
#![forbid(unsafe_code)]

pub mod filter;
pub mod fixed;
pub mod loss;
pub mod record;
