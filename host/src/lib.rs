//! crypto-tracer: which process opens which certificate, key or keystore, which loads which crypto library,
//! and what starts and ends.

pub mod event;
pub mod interest;
pub mod source;
pub mod stop;
