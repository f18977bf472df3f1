//! What runs without privileges, on any machine.

mod artifacts;
mod endings;
mod walls;
mod command_line {
    mod bad_input;
    mod completions;
    mod messages;
    mod refusals;
}
mod plugins {
    mod authoring;
    mod contract;
    mod examples;
    mod guide;
    mod workbench;
}
mod replay {
    mod damage;
    mod events;
    mod time;
}
