//! The harness of the test programs. It has the options and the output of libtest, and a test can skip itself while it
//! runs. libtest has no such result: there, a test that returns early has passed.
//!
//! A file lists its tests once, in [`tests!`](crate::tests); `main` of the test program lists the files. A test that is
//! missing from a list is dead code, which the compiler reports.

use std::any::Any;
use std::fmt::{Debug, Display};
use std::panic::{catch_unwind, resume_unwind};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// One test, as [`tests!`] lists it.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// Name with the path of the module.
    pub name: &'static str,
    /// Runs the test; panics if it fails.
    pub run: fn(),
    /// Whether it is a part of another test, which runs it in a separate process with `--ignored`.
    pub is_role: bool,
}

/// Lists the tests of a file: functions without arguments that return nothing or a `Result`.
///
/// Functions after `roles:` are run by a test in a separate process.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)? $(; roles: $($role:ident),+ $(,)?)?) => {
        pub(crate) const TESTS: &[$crate::Test] = &[
            $($crate::tests!(@test $name, false),)*
            $($($crate::tests!(@test $role, true),)+)?
        ];
    };
    (@test $name:ident, $is_role:literal) => {
        $crate::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            run: || $crate::TestOutcome::check($name()),
            is_role: $is_role,
        }
    };
}

/// Result of a test.
pub trait TestOutcome {
    /// Panics if the outcome is a failure.
    fn check(self);
}

impl TestOutcome for () {
    fn check(self) {}
}

impl<E: Debug> TestOutcome for Result<(), E> {
    fn check(self) {
        self.expect("the test returned an error");
    }
}

/// Runs the tests that the program's arguments select. `threads` is the number of threads if the arguments and
/// `RUST_TEST_THREADS` do not set it.
pub fn run_tests(threads: Option<usize>, files: &[&[Test]]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let from_env = || std::env::var("RUST_TEST_THREADS").ok()?.parse().ok();
    arguments.test_threads = arguments.test_threads.or_else(from_env).or(threads);
    let trials = files.iter().copied().flatten().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(test: &Test) -> Trial {
    let Test { name, run, is_role } = *test;
    // Removes the name of the test program.
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    Trial::ignorable_test(name, move || completion(run)).with_ignored_flag(is_role)
}

fn completion(run: fn()) -> Result<Completion, Failed> {
    match catch_unwind(run).map_err(<Box<dyn Any + Send>>::downcast::<Skipped>) {
        Ok(()) => Ok(Completion::Completed),
        Err(Ok(skipped)) => Ok(Completion::ignored_with(skipped.0)),
        Err(Err(panic)) => resume_unwind(panic),
    }
}

/// Panic payload of a skipped test: the reason.
struct Skipped(String);

/// Ends the calling test. The harness reports the test as ignored, with the reason.
///
/// # Panics
///
/// If `CRYPTO_TRACER_REQUIRE_BPF=1` requires that this machine runs every test. Always in a test of libtest.
#[track_caller]
pub fn skip(why: impl Display) -> ! {
    skip_unless("CRYPTO_TRACER_REQUIRE_BPF", why)
}

/// Ends the calling test like [`skip`], but never fails it: the test needs a feature that this kernel does not have.
pub fn not_tried(why: impl Display) -> ! {
    resume_unwind(Box::new(Skipped(why.to_string())))
}

/// Like [`skip`], but the environment variable `required` turns the skip into a failure.
#[track_caller]
pub(crate) fn skip_unless(required: &str, why: impl Display) -> ! {
    let is_required = std::env::var_os(required).is_some_and(|value| value == "1");
    assert!(!is_required, "{required}=1, but {why}");
    not_tried(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returns() {}
    fn skips() {
        resume_unwind(Box::new(Skipped("it is Monday".to_owned())));
    }
    fn fails() {
        resume_unwind(Box::new("broken"));
    }
    fn succeeds() -> Result<(), String> {
        Ok(())
    }
    fn errs() -> Result<(), String> {
        Err("no such file".to_owned())
    }
    crate::tests! { returns, succeeds, errs; roles: skips, fails }

    fn named(name: &str) -> fn() {
        TESTS.iter().find(|test| test.name.ends_with(name)).unwrap().run
    }

    #[test]
    fn skipped_test_is_ignored_with_its_reason() {
        let Ok(Completion::Ignored { reason }) = completion(named("::skips")) else {
            panic!("the test is not ignored");
        };
        assert_eq!(reason.as_deref(), Some("it is Monday"));
    }

    #[test]
    fn test_that_returns_passes() {
        for name in ["::returns", "::succeeds"] {
            assert!(matches!(completion(named(name)), Ok(Completion::Completed)), "{name}");
        }
    }

    #[test]
    fn panic_and_error_are_failures() {
        for name in ["::fails", "::errs"] {
            assert!(catch_unwind(|| completion(named(name)).is_ok()).is_err(), "{name}");
        }
    }

    #[test]
    fn trials_have_module_names_and_roles_are_ignored() {
        let trials: Vec<Trial> = TESTS.iter().map(trial).collect();
        let listed: Vec<_> = trials.iter().map(|it| (it.name(), it.has_ignored_flag())).collect();
        assert_eq!(listed[0], ("harness::tests::returns", false));
        assert_eq!(listed[3], ("harness::tests::skips", true));
        assert_eq!(listed.len(), 5);
    }
}
