//! Makes instances of one plugin, at once or on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use wasmtime::{Error, Store, UpdateDeadline};

use super::contract::Factory;
use super::deadline::{CallTimer, FIRST_LOOK, Overrun, processor_time};
use super::failure::Cause;
use super::kind::GuestKind;
use super::log::{Level, Log};
use super::runtime::Runtime;
use super::state::State;
use super::text::one_line;
use crypto_tracer_system::confine::{self, RetainedPrivileges};

/// An instance that is configured.
pub(super) struct Instance<K: GuestKind> {
    pub(super) store: Store<State>,
    pub(super) guest: Box<K::Guest>,
}

/// What instances are made of.
pub(super) struct InstanceFactory<K: GuestKind> {
    pub(super) runtime: Arc<Runtime>,
    pub(super) maker: Factory<K::Guest>,
    pub(super) config: String,
}

/// What became of an attempt.
pub(super) struct SpawnOutcome<K: GuestKind> {
    pub(super) outcome: Result<Instance<K>, SpawnError>,
    /// What it said.
    pub(super) lines: Vec<(Level, String)>,
    /// The log of an instance that is none.
    pub(super) said: Option<Log>,
    /// Of the processor.
    pub(super) took: Duration,
}

/// Why there is no instance.
pub(super) enum SpawnError {
    Failed(Error),
    Refused(String),
}

impl<K: GuestKind> InstanceFactory<K> {
    /// Instantiates and configures within this time, on the wall as well, unless a call may take longer there. `said`: the
    /// log of the instance before, which goes on.
    pub(super) fn make(&self, most: Duration, said: Option<Log>) -> SpawnOutcome<K> {
        let began = processor_time();
        let mut store = store(&self.runtime);
        let state = store.data_mut();
        state.clock = CallTimer::start(most, most.max(self.runtime.limits.wall));
        if let Some(said) = said {
            // What it said in this second counts for the new instance, too.
            state.log = said;
        }
        let started = self.runtime.ticker.during(|| {
            let guest = (self.maker)(&mut store)?;
            let configured = K::configure(&guest, &mut store, &self.config)?;
            Ok((guest, configured))
        });
        store.data_mut().log.flush();
        let lines = store.data_mut().log.take();
        let took = processor_time().saturating_sub(began);
        let trouble = match started {
            Ok((guest, Ok(()))) => {
                return SpawnOutcome {
                    outcome: Ok(Instance { store, guest }),
                    lines,
                    said: None,
                    took,
                };
            }
            Ok((_, Err(text))) => {
                let end = text.floor_char_boundary(self.runtime.limits.text.min(1024));
                SpawnError::Refused(one_line(text.get(..end).unwrap_or_default()))
            }
            Err(error) => SpawnError::Failed(error),
        };
        SpawnOutcome { outcome: Err(trouble), lines, said: Some(store.into_data().log), took }
    }

    /// The same on a thread of its own, within the time that the start may take. None: there is no thread for it.
    pub(super) fn make_elsewhere(
        self: Arc<Self>,
        said: Option<Log>,
    ) -> Option<Receiver<SpawnOutcome<K>>>
    where
        K: 'static,
    {
        let (tell, made) = mpsc::channel();
        let make = move || {
            let _ = confine::thread(&RetainedPrivileges::NOTHING);
            let _ = tell.send(self.make(self.runtime.limits.setup, said));
        };
        thread::Builder::new().name("plugin-renewal".to_owned()).spawn(make).ok().map(|_| made)
    }
}

impl SpawnError {
    pub(super) fn cause(&self) -> Cause {
        match self {
            SpawnError::Failed(error) if Cause::of(error) == Cause::Stopped => Cause::Stopped,
            SpawnError::Failed(_) | SpawnError::Refused(_) => Cause::Restart,
        }
    }

    /// It had no time left.
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

pub(super) fn reason(error: &Error) -> String {
    if Cause::of(error) == Cause::Panic {
        // That is what a panic and an abort are compiled to.
        return format!("panicked ({})", error.root_cause());
    }
    let known = error.downcast_ref::<Overrun>().map(ToString::to_string);
    let known =
        known.or_else(|| error.downcast_ref::<super::limits::Exceeded>().map(ToString::to_string));
    let known =
        known.or_else(|| error.downcast_ref::<super::state::Misuse>().map(ToString::to_string));
    known.unwrap_or_else(|| error.root_cause().to_string())
}

fn store(runtime: &Runtime) -> Store<State> {
    let limits = &runtime.limits;
    let mut store = Store::new(&runtime.engine, State::new(limits));
    store.limiter(|state| &mut state.holds);
    store.set_hostcall_fuel(limits.copied);
    store.set_max_component_handles(limits.handles);
    let shutdown = runtime.shutdown.clone();
    store.epoch_deadline_callback(move |mut store| {
        if shutdown.is_requested() {
            return Err(Error::new(Overrun::Stopped));
        }
        match store.data_mut().clock.look() {
            Ok(()) => Ok(UpdateDeadline::Continue(1)),
            Err(overrun) => Err(Error::new(overrun)),
        }
    });
    store.set_epoch_deadline(FIRST_LOOK);
    store
}
