//! The resource that a plugin may access during a call.

use std::cell::RefCell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crypto_tracer_event::{ClassifiedEvent, Field, FileStat, HeadOutcome, OpenedFile, PemBlock};

/// Source of a file's head. The host uses it only if a plugin reads the head or the size.
pub trait HeadSource {
    /// The first bytes of the file without secrets, at most 64 KiB, and the outcome of reading them.
    fn head(&mut self) -> (&[u8], HeadOutcome);
    /// All of the file that plugins may see, at most 1 MiB, and the outcome of reading it.
    fn visible(&mut self) -> (&[u8], HeadOutcome) {
        self.head()
    }
    /// Size in bytes when the file was inspected. None: the file no longer exists, or another file has replaced it.
    fn size(&mut self) -> Option<u64>;
    /// Metadata of the file when it was inspected, and the outcome of reading the head, with which it comes. None: the file
    /// was not inspected, no longer exists, or another file has replaced it.
    fn stat(&mut self) -> (Option<FileStat>, HeadOutcome) {
        let (_, outcome) = self.head();
        (None, outcome)
    }
    /// The PEM blocks that begin in the visible part, at most [`MAX_PEM_BLOCKS`](crypto_tracer_event::MAX_PEM_BLOCKS), and
    /// the outcome of reading the head, with which they come.
    fn blocks(&mut self) -> (&[PemBlock], HeadOutcome) {
        let (_, outcome) = self.head();
        (&[], outcome)
    }
    /// Whether the results remain valid while the file is unchanged.
    fn holds(&self) -> bool {
        true
    }
    /// Number of the request for this head in the batch of events. For the same file, sources with the same number have the
    /// same content. `None`: unknown.
    fn number(&self) -> Option<usize> {
        None
    }
}

/// A borrowed resource.
pub(super) enum Scoped<'a> {
    File(&'a OpenedFile, RefCell<&'a mut dyn HeadSource>),
    /// An event, and the names of its labels that filters have removed.
    Event(&'a ClassifiedEvent, &'a RefCell<Vec<Arc<str>>>),
    Text {
        field: Field<'a>,
        value: &'a str,
        arguments: &'a [String],
    },
}

/// Gives the store's data, which must be `'static`, access to a borrowed resource, which is not.
///
/// Atomic because a store may move between threads. A call and its resource stay on one thread.
#[derive(Clone, Default)]
pub(super) struct ScopedRef(Arc<AtomicPtr<Scoped<'static>>>);

impl ScopedRef {
    /// Sets the resource to `in_scope` while `during` runs.
    pub(super) fn with_value<R>(&self, in_scope: &Scoped<'_>, during: impl FnOnce() -> R) -> R {
        let previous = self.0.swap(ptr::from_ref(in_scope).cast_mut().cast(), Relaxed);
        let restore = Restore(self, previous);
        let out = during();
        drop(restore);
        out
    }

    /// Applies `read` to the current resource. None: no call is in progress.
    pub(super) fn with<R>(&self, read: impl for<'a> FnOnce(&Scoped<'a>) -> R) -> Option<R> {
        let in_scope = self.0.load(Relaxed);
        // SAFETY: only `with_value` sets the pointer, from a reference that outlives `during`, and it restores the previous
        // pointer before it returns or unwinds. So the pointer is null or valid. The only caller is the store's data,
        // during the call that `during` makes and on the same thread: no other clone exists. The pointer was made from a
        // shared reference and is read as one. `read` accepts any lifetime, so it cannot keep the reference.
        unsafe { in_scope.as_ref() }.map(read)
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

    fn text(scope: &ScopedRef) -> Option<String> {
        scope.with(|in_scope| match in_scope {
            Scoped::Text { value, .. } => (*value).to_owned(),
            _ => String::new(),
        })
    }

    #[test]
    fn a_resource_is_accessible_only_during_the_call() {
        let scope = ScopedRef::default();
        assert_eq!(text(&scope), None);
        let value = "a".to_owned();
        let in_scope = Scoped::Text { field: Field::File, value: &value, arguments: &[] };
        assert_eq!(scope.with_value(&in_scope, || text(&scope.clone())), Some(value.clone()));
        assert_eq!(text(&scope), None);
    }

    #[test]
    fn a_resource_is_removed_when_the_call_unwinds() {
        let scope = ScopedRef::default();
        let in_scope = Scoped::Text { field: Field::File, value: "a", arguments: &[] };
        let call =
            std::panic::AssertUnwindSafe(|| scope.with_value(&in_scope, || panic!("on purpose")));
        assert!(std::panic::catch_unwind(call).is_err());
        assert_eq!(text(&scope), None);
    }
}
