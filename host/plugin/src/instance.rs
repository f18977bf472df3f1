//! Creates instances of one plugin, on the calling thread or on a new one.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use wasmtime::{Error, Store, Trap, UpdateDeadline};

use super::contract::Factory;
use super::deadline::{CallTimer, FIRST_CHECK, Overrun, processor_time};
use super::failure::Cause;
use super::kind::GuestKind;
use super::log::{Level, Log};
use super::runtime::Runtime;
use super::state::State;
use super::text::one_line;
use crypto_tracer_system::confine::{self, RetainedPrivileges};

/// Stands for an empty error of `configure`.
const NO_REASON: &str = "it gives no reason: its `configure` returns an empty error";

/// A configured instance.
pub(super) struct Instance<K: GuestKind> {
    pub(super) store: Store<State>,
    pub(super) guest: Box<K::Guest>,
}

/// Creates configured instances.
pub(super) struct InstanceFactory<K: GuestKind> {
    pub(super) runtime: Arc<Runtime>,
    pub(super) instantiate: Factory<K::Guest>,
    pub(super) config: String,
}

/// Outcome of creating an instance.
pub(super) struct SpawnOutcome<K: GuestKind> {
    pub(super) outcome: Result<Instance<K>, SpawnError>,
    /// Lines that it logged.
    pub(super) lines: Vec<(Level, String)>,
    /// The log, if no instance was created.
    pub(super) log: Option<Log>,
    /// Processor time.
    pub(super) took: Duration,
}

/// Reason why an instance could not be created.
pub(super) enum SpawnError {
    Failed(Error),
    /// `configure` returned this error.
    Refused(String),
}

impl<K: GuestKind> InstanceFactory<K> {
    /// Instantiates and configures within `limit` of processor time. The limit of wall time is the same, or that of a call
    /// if that is longer. `log`: the log of the previous instance, which the new one continues.
    pub(super) fn spawn(&self, limit: Duration, log: Option<Log>) -> SpawnOutcome<K> {
        let start = processor_time();
        let mut store = store(&self.runtime, K::COPIED_FACTOR);
        let state = store.data_mut();
        state.timer = CallTimer::start(limit, limit.max(self.runtime.limits.wall));
        if let Some(log) = log {
            // Lines that the previous instance logged in this second count towards the limit.
            state.log = log;
        }
        let started = self.runtime.ticker.during(|| {
            let guest = (self.instantiate)(&mut store)?;
            let configured = K::configure(&guest, &mut store, &self.config)?;
            Ok((guest, configured))
        });
        store.data_mut().log.flush();
        let lines = store.data_mut().log.take();
        let took = processor_time().saturating_sub(start);
        let error = match started {
            Ok((guest, Ok(()))) => {
                return SpawnOutcome {
                    outcome: Ok(Instance { store, guest }),
                    lines,
                    log: None,
                    took,
                };
            }
            Ok((_, Err(text))) => {
                let end = text.floor_char_boundary(self.runtime.limits.text.min(1024));
                let text = one_line(text.get(..end).unwrap_or_default());
                let empty = text.trim().is_empty();
                SpawnError::Refused(if empty { NO_REASON.to_owned() } else { text })
            }
            Err(error) => SpawnError::Failed(error),
        };
        SpawnOutcome { outcome: Err(error), lines, log: Some(store.into_data().log), took }
    }

    /// Like [`InstanceFactory::spawn`], on a new thread and within the limit of the start. None: the thread could not be
    /// created.
    pub(super) fn spawn_on_thread(
        self: Arc<Self>,
        log: Option<Log>,
    ) -> Option<Receiver<SpawnOutcome<K>>>
    where
        K: 'static,
    {
        let (sender, receiver) = mpsc::channel();
        let spawn = move || {
            let _ = confine::confine_thread(&RetainedPrivileges::NONE);
            let _ = sender.send(self.spawn(self.runtime.limits.setup, log));
        };
        thread::Builder::new().name("plugin-renewal".to_owned()).spawn(spawn).ok().map(|_| receiver)
    }
}

impl SpawnError {
    pub(super) fn cause(&self) -> Cause {
        match self {
            SpawnError::Failed(error) if Cause::of(error) == Cause::Stopped => Cause::Stopped,
            SpawnError::Failed(_) | SpawnError::Refused(_) => Cause::Restart,
        }
    }

    /// Whether it exceeded its time limit.
    pub(super) fn is_overrun(&self) -> bool {
        matches!(self, SpawnError::Failed(error) if Cause::of(error) == Cause::Deadline)
    }
}

impl std::fmt::Display for SpawnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SpawnError::Failed(error) => write!(f, "cannot be started again: {}", reason(error)),
            SpawnError::Refused(text) => write!(f, "refuses its configuration now: {text}"),
        }
    }
}

/// The cause of a failed call, for the operator.
pub(super) fn reason(error: &Error) -> String {
    if Cause::of(error) == Cause::Panic {
        // Rust compiles a panic and an abort to `unreachable`.
        return format!("panicked ({})", error.root_cause());
    }
    let known = error.downcast_ref::<Overrun>().map(ToString::to_string);
    let known =
        known.or_else(|| error.downcast_ref::<super::limits::Exceeded>().map(ToString::to_string));
    let known =
        known.or_else(|| error.downcast_ref::<super::state::Misuse>().map(ToString::to_string));
    known.unwrap_or_else(|| {
        let cause = error.root_cause().to_string();
        match error.downcast_ref::<Trap>() {
            // The stack of a plugin's own data lies below its other data, so a deep recursion leaves the memory.
            Some(Trap::MemoryOutOfBounds) => {
                format!("{cause}: a recursion is too deep, or an address is wrong")
            }
            _ => cause,
        }
    })
}

fn store(runtime: &Runtime, copied_factor: usize) -> Store<State> {
    let limits = &runtime.limits;
    let mut store = Store::new(&runtime.engine, State::new(limits));
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(limits.copied.saturating_mul(copied_factor));
    store.set_max_component_handles(limits.handles);
    let shutdown = runtime.shutdown.clone();
    store.epoch_deadline_callback(move |mut store| {
        if shutdown.is_requested() {
            return Err(Error::new(Overrun::Stopped));
        }
        match store.data_mut().timer.check() {
            Ok(()) => Ok(UpdateDeadline::Continue(1)),
            Err(overrun) => Err(Error::new(overrun)),
        }
    });
    store.set_epoch_deadline(FIRST_CHECK);
    store
}
