//! Where events go behind the filters: into a stream, or into a document. Both redact first.

use std::future::{Future, pending, ready};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::{HeadReader, hide};
use crypto_tracer_event::{ClassifiedEvent, EnrichedEvent, KernelEvent, Notice};
use crypto_tracer_output::{Output, Target, WriterReport};
use crypto_tracer_plugin::Plugins;

/// Takes events in. What only one of them needs has nothing to do by default.
pub trait Sink {
    /// What is left when the run has ended.
    type Ended;

    /// Sees each event as it comes from the kernel, whether it is left or not.
    fn on_kernel_event(&mut self, event: &KernelEvent) {
        let _ = event;
    }

    /// Sees each event that the host's filters leave.
    fn selected(&mut self, event: &EnrichedEvent) {
        let _ = event;
    }

    /// Sees that all events of a drain are selected, before the first one is classified.
    fn all_selected(&mut self, heads: &mut dyn HeadReader, plugins: &mut Plugins) {
        let _ = (heads, plugins);
    }

    /// Redacts an event that is left, and takes it in.
    fn event(&mut self, event: ClassifiedEvent, plugins: &mut Plugins);

    /// Takes in word of the tracer itself.
    fn notice(&mut self, notice: &Notice);

    /// Whether [`Sink::flush`] should come before the next event.
    fn is_full(&self) -> bool {
        false
    }

    /// Hands on what is pending; waits where that is slow.
    fn flush(&mut self) -> impl Future<Output = ()> {
        ready(())
    }

    /// Goes on in another file.
    fn reopen(&mut self, target: Target) -> impl Future<Output = ()> {
        drop(target);
        ready(())
    }

    /// Comes back when nothing more can be taken.
    fn broken(&self) -> impl Future<Output = ()> {
        pending()
    }

    /// The pipe or socket whose reader can go away while nothing is written.
    fn watched(&self) -> Option<BorrowedFd<'_>>;

    /// Whether nothing more will come.
    fn is_over(&self) -> bool {
        false
    }

    /// Events were lost.
    fn lost(&mut self) {}

    /// The run has ended: what is pending is written until `deadline`.
    fn finish(self, deadline: Instant) -> Self::Ended;
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    /// Where it goes.
    pub output: Output,
    /// False with `--no-redact`.
    pub redact: bool,
    /// With the fields of `--extended`.
    pub extended: bool,
}

impl Sink for Stream {
    type Ended = WriterReport;

    fn event(&mut self, event: ClassifiedEvent, plugins: &mut Plugins) {
        let event = hide(plugins, event, self.redact, self.extended);
        self.output.event(&event);
    }

    fn notice(&mut self, notice: &Notice) {
        self.output.notice(notice);
    }

    fn is_full(&self) -> bool {
        self.output.is_full()
    }

    fn flush(&mut self) -> impl Future<Output = ()> {
        self.output.flush()
    }

    fn reopen(&mut self, target: Target) -> impl Future<Output = ()> {
        self.output.reopen(target)
    }

    fn broken(&self) -> impl Future<Output = ()> {
        self.output.writer().ended()
    }

    fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.output.writer().watched()
    }

    fn finish(self, deadline: Instant) -> WriterReport {
        self.output.finish(deadline)
    }
}
