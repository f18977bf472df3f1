//! The values that the host writes into read-only memory before it loads the programs.

use crypto_tracer_common::fixed::Fixed;

#[unsafe(no_mangle)]
pub(crate) static FIXED: Fixed = Fixed::UNSET;

/// The offset of a field, a constant to the verifier.
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::own(&raw const $crate::fixed::FIXED.offsets.$field)
    };
}

/// One of the run's settings, a constant to the verifier.
macro_rules! setting {
    ($($field:tt)+) => {
        $crate::kernel::own(&raw const $crate::fixed::FIXED.settings.$($field)+)
    };
}

pub(crate) use {offset, setting};
