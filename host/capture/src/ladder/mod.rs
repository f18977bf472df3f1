//! The attach ladders.
//!
//! A rung is a way to capture events with one or more probes. A ladder lists the rungs for one purpose, best first. For
//! each purpose, the first rung is used whose required probes load and attach and, for opens and library loads, whose
//! records of this process are correct.

mod attach;
mod definitions;
mod rung;

pub(super) use self::{
    attach::{attach, no_rung_works},
    definitions::{LADDERS, check_name, hook_btf_names},
    rung::{Ladder, Rung},
};
