//! Data shared by the BPF programs and the host.
//!
//! All types have a fixed size and layout (`repr(C)`, no padding, no `bool`, no `enum`): the host reads them with
//! zerocopy and without `unsafe`, and no kernel memory leaks through padding.
#![no_std]
#![forbid(unsafe_code)]

pub mod filter;
pub mod fixed;
pub mod loss;
pub mod record;
