//! What a plugin may look at during a call, and not one moment longer.

use std::cell::RefCell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crypto_tracer_event::{ClassifiedEvent, Field, HeadOutcome, OpenedFile};

/// Knows the beginning of a file; asked only when a plugin asks.
pub trait HeadSource {
    /// The start of the file without secrets, up to 64 KiB, and what became of the wish.
    fn head(&mut self) -> (&[u8], HeadOutcome);
    /// Size in bytes when it was looked at. None when the file is gone or another one by now.
    fn size(&mut self) -> Option<u64>;
    /// Whether what it said holds for as long as the file is unchanged.
    fn holds(&self) -> bool {
        true
    }
}

/// What is lent.
pub(super) enum Scoped<'a> {
    File(&'a OpenedFile, RefCell<&'a mut dyn HeadSource>),
    Event(&'a ClassifiedEvent),
    Text { field: Field<'a>, value: &'a str, arguments: &'a [String] },
}

/// Where the engine's state finds what is lent. The state has to be `'static`, what is lent is not.
///
/// Atomic so that plugins may move between threads; a call and what it looks at stay on one.
#[derive(Clone, Default)]
pub(super) struct ScopedRef(Arc<AtomicPtr<Scoped<'static>>>);

impl ScopedRef {
    /// Lends `in_scope` for as long as `during` runs.
    pub(super) fn with_value<R>(&self, in_scope: &Scoped<'_>, during: impl FnOnce() -> R) -> R {
        let before = self.0.swap(ptr::from_ref(in_scope).cast_mut().cast(), Relaxed);
        let back = Restore(self, before);
        let out = during();
        drop(back);
        out
    }

    /// Looks at what is lent right now; None when nothing is.
    pub(super) fn with<R>(&self, look: impl for<'a> FnOnce(&Scoped<'a>) -> R) -> Option<R> {
        let in_scope = self.0.load(Relaxed);
        // SAFETY: only `with_value` sets the pointer, from a reference that outlives `during`, and takes it back before it
        // returns or unwinds; so it is null or valid now. Whoever calls this is the state of the very call that
        // `during` makes, on its thread: nobody else has a clone. It is read as a shared reference, as it was lent;
        // `look` works for every lifetime, so it can keep nothing of it.
        unsafe { in_scope.as_ref() }.map(look)
    }
}

struct Restore<'a>(&'a ScopedRef, *mut Scoped<'static>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.0.0.store(self.1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(loan: &ScopedRef) -> Option<String> {
        loan.with(|in_scope| match in_scope {
            Scoped::Text { value, .. } => (*value).to_owned(),
            _ => String::new(),
        })
    }

    #[test]
    fn only_while_it_is_lent() {
        let loan = ScopedRef::default();
        assert_eq!(text(&loan), None);
        let value = "a".to_owned();
        let in_scope = Scoped::Text { field: Field::File, value: &value, arguments: &[] };
        assert_eq!(loan.with_value(&in_scope, || text(&loan.clone())), Some(value.clone()));
        assert_eq!(text(&loan), None);
    }

    #[test]
    fn also_when_the_call_unwinds() {
        let loan = ScopedRef::default();
        let in_scope = Scoped::Text { field: Field::File, value: "a", arguments: &[] };
        let call =
            std::panic::AssertUnwindSafe(|| loan.with_value(&in_scope, || panic!("on purpose")));
        assert!(std::panic::catch_unwind(call).is_err());
        assert_eq!(text(&loan), None);
    }
}
