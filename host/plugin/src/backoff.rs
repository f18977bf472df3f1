//! Back-off by user: a plugin that repeatedly fails for one user's events is not called for that user for some time. This
//! bounds the cost that one user can cause, and one user cannot disable a plugin for others.

use std::time::Duration;

use crypto_tracer_system::backoff::BackoffPolicy;

/// Failures that start a back-off.
pub(super) const FAILURES: u32 = 5;

pub(super) const POLICY: BackoffPolicy = BackoffPolicy {
    first: FAILURES,
    further: FAILURES,
    window: Duration::from_secs(10),
    min: Duration::from_secs(1),
    max: Duration::from_secs(60),
    reset_after: Duration::from_secs(60),
    max_keys: 1024,
};
