//! What can be attached for which purpose, best first. A rung is taken when all its needed probes load and, where that
//! can be tried, tell the truth of what this process does.

mod attach;
mod definitions;
mod rung;

pub(super) use self::{
    attach::{attach, none_works},
    definitions::{LADDERS, attached_types, check_name},
    rung::{Ladder, Rung},
};
