//! What a plugin may look at during a call, and not one moment longer.

use std::cell::RefCell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::event::{ClassifiedEvent, Field, HeadOutcome, OpenedFile};

/// Knows the beginning of a file; asked only when a plugin asks.
pub trait Heads {
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
pub(super) enum Lent<'a> {
    File(&'a OpenedFile, RefCell<&'a mut dyn Heads>),
    Event(&'a ClassifiedEvent),
    Text { field: Field<'a>, value: &'a str, arguments: &'a [String] },
}

/// Where the engine's state finds what is lent. The state has to be `'static`, what is lent is not.
///
/// Atomic so that plugins may move between threads; a call and what it looks at stay on one.
#[derive(Clone, Default)]
pub(super) struct Loan(Arc<AtomicPtr<Lent<'static>>>);

impl Loan {
    /// Lends `lent` for as long as `during` runs.
    pub(super) fn lend<R>(&self, lent: &Lent<'_>, during: impl FnOnce() -> R) -> R {
        let before = self.0.swap(ptr::from_ref(lent).cast_mut().cast(), Relaxed);
        let back = Back(self, before);
        let out = during();
        drop(back);
        out
    }

    /// Looks at what is lent right now; None when nothing is.
    pub(super) fn with<R>(&self, look: impl for<'a> FnOnce(&Lent<'a>) -> R) -> Option<R> {
        let lent = self.0.load(Relaxed);
        // SAFETY: only `lend` sets the pointer, from a reference that outlives `during`, and takes it back before it
        // returns or unwinds; so it is null or valid now. Whoever calls this is the state of the very call that
        // `during` makes, on its thread: nobody else has a clone. It is read as a shared reference, as it was lent;
        // `look` works for every lifetime, so it can keep nothing of it.
        unsafe { lent.as_ref() }.map(look)
    }
}

struct Back<'a>(&'a Loan, *mut Lent<'static>);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.0.0.store(self.1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(loan: &Loan) -> Option<String> {
        loan.with(|lent| match lent {
            Lent::Text { value, .. } => (*value).to_owned(),
            _ => String::new(),
        })
    }

    #[test]
    fn only_while_it_is_lent() {
        let loan = Loan::default();
        assert_eq!(text(&loan), None);
        let value = "a".to_owned();
        let lent = Lent::Text { field: Field::File, value: &value, arguments: &[] };
        assert_eq!(loan.lend(&lent, || text(&loan.clone())), Some(value.clone()));
        assert_eq!(text(&loan), None);
    }

    #[test]
    fn also_when_the_call_unwinds() {
        let loan = Loan::default();
        let lent = Lent::Text { field: Field::File, value: "a", arguments: &[] };
        let call = std::panic::AssertUnwindSafe(|| loan.lend(&lent, || panic!("on purpose")));
        assert!(std::panic::catch_unwind(call).is_err());
        assert_eq!(text(&loan), None);
    }
}
