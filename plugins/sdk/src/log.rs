//! Log lines for the operator.

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something is unexpected.
    Warn,
    /// Information for the operator.
    Info,
    /// For the plugin's author.
    Debug,
}

/// Writes a line to the tracer's standard error, with the plugin's name before it: `log!(warn, "{path}: too short")`.
///
/// The levels are `error`, `warn`, `info` and `debug`. The host keeps the first 1 KiB of a line and 10 lines a second. Natively
/// the line goes to standard error.
#[macro_export]
macro_rules! log {
    (error, $($text:tt)+) => { $crate::__log($crate::Level::Error, &::std::format!($($text)+)) };
    (warn, $($text:tt)+) => { $crate::__log($crate::Level::Warn, &::std::format!($($text)+)) };
    (info, $($text:tt)+) => { $crate::__log($crate::Level::Info, &::std::format!($($text)+)) };
    (debug, $($text:tt)+) => { $crate::__log($crate::Level::Debug, &::std::format!($($text)+)) };
}

/// Writes a line.
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub fn write(level: Level, line: &str) {
    use crate::bindings::imports::crypto_tracer::plugin::host;
    // The host cuts a line at 1 KiB, and fails a call that passes a line of more than 256 KiB.
    const MOST: usize = 1024;
    let line = line.get(..line.floor_char_boundary(MOST)).unwrap_or_default();
    let level = match level {
        Level::Error => host::Level::Error,
        Level::Warn => host::Level::Warn,
        Level::Info => host::Level::Info,
        Level::Debug => host::Level::Debug,
    };
    host::log(level, line);
}

/// Writes a line.
#[doc(hidden)]
#[cfg(not(target_family = "wasm"))]
#[expect(clippy::print_stderr, reason = "what a test prints is shown when it fails")]
pub fn write(level: Level, line: &str) {
    eprintln!("{level:?}: {line}");
}
