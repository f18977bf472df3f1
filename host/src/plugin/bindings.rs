//! What `wit/plugin.wit` says, as Rust. The three worlds share one set of imports.

pub(super) mod classifier {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "classifier-plugin",
        imports: { default: trappable },
        with: {
            "crypto-tracer:plugin/events.file": crate::plugin::state::File,
            "crypto-tracer:plugin/events.event": crate::plugin::state::Event,
            "crypto-tracer:plugin/events.text": crate::plugin::state::Text,
            "crypto-tracer:plugin/events.interest": crate::plugin::state::Wishes,
        },
    });
}

pub(super) mod redactor {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "redactor-plugin",
        imports: { default: trappable },
        with: {
            "crypto-tracer:plugin/host": crate::plugin::bindings::classifier::crypto_tracer::plugin::host,
            "crypto-tracer:plugin/events": crate::plugin::bindings::classifier::crypto_tracer::plugin::events,
        },
    });
}

pub(super) mod filter {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "filter-plugin",
        imports: { default: trappable },
        with: {
            "crypto-tracer:plugin/host": crate::plugin::bindings::classifier::crypto_tracer::plugin::host,
            "crypto-tracer:plugin/events": crate::plugin::bindings::classifier::crypto_tracer::plugin::events,
        },
    });
}

pub(super) use classifier::crypto_tracer::plugin::{events, host};
