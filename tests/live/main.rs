//! What needs a kernel to trace, and root.

mod reader;
mod command_line {
    mod configuration;
    mod options;
    mod streams;
}
mod docs {
    mod commands;
    mod installing;
}
mod documents {
    mod doctor;
    mod profile;
    mod snapshot;
    mod unanswered;
}
mod events {
    mod capture;
    mod gone;
    mod kinds;
}
mod outputs {
    mod standard_streams;
    mod status;
    mod terminal;
}
mod plugins {
    mod engine;
    mod events;
}
mod robustness {
    mod elevated;
    mod hostile;
    mod load;
}
