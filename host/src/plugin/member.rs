//! One plugin of a chain: its instance, started anew when it failed, and what is known of its failures.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Engine, Error, Result, Store, UpdateDeadline};

use super::clock::{Clock, FIRST_LOOK, Overrun};
use super::component::{Code, one_line};
use super::contract::{Configured, Contract, Maker};
use super::failure::{Cause, Failures, Problem};
use super::limits::Limits;
use super::loan::Lent;
use super::log::{Level, Log, LogLine};
use super::rest::Rest;
use super::state::State;
use super::ticker::Ticker;
use super::wasi;
use crate::interest::Interest;
use crate::stop::Stop;

/// What all plugins share.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) ticker: Ticker,
    pub(super) limits: Limits,
    pub(super) stop: Stop,
    pub(super) every_call: bool,
}

/// What makes a classifier differ from a redactor and a filter.
pub(super) trait Kind {
    /// What people call it, and the interface that it exports.
    const NAME: &'static str;
    /// What is done when it fails.
    const ACTION: &'static str;
    /// An instance.
    type Guest: ?Sized;

    fn maker(contract: &dyn Contract, pre: InstancePre<State>) -> Result<Maker<Self::Guest>>;
    fn configure(guest: &Self::Guest, store: &mut Store<State>, config: &str)
    -> Result<Configured>;
}

struct Live<K: Kind> {
    store: Store<State>,
    guest: Box<K::Guest>,
}

/// A plugin in its place.
pub(super) struct Member<K: Kind> {
    runtime: Arc<Runtime>,
    maker: Maker<K::Guest>,
    config: String,
    live: Option<Live<K>>,
    rest: Rest,
    pub(super) failures: Failures,
    log: Vec<LogLine>,
    /// The log of an instance that is gone.
    said: Option<Log>,
    /// `name@version`
    pub(super) name: Arc<str>,
    pub(super) interest: Interest,
    /// What time it is in a replay; None: what the machine's clock says.
    pub(super) now: Option<Instant>,
    /// A call was ended with the run: no more calls.
    ended: bool,
}

impl<K: Kind> Member<K> {
    /// Links, instantiates and configures.
    pub(super) fn start(
        runtime: &Arc<Runtime>,
        code: &Code,
        config: String,
    ) -> Result<Self, Problem> {
        code.check_export(K::NAME)?;
        let linked = link(&runtime.engine, code);
        let maker = linked.and_then(|pre| K::maker(code.contract, pre));
        let maker =
            maker.map_err(|error| Problem::Unfit(one_line(&error.root_cause().to_string())))?;
        let mut member = Member {
            runtime: runtime.clone(),
            maker,
            config,
            live: None,
            rest: Rest::default(),
            failures: Failures::default(),
            log: Vec::new(),
            said: None,
            name: format!("{}@{}", code.name, code.version).into(),
            interest: Interest::default(),
            now: None,
            ended: false,
        };
        member.live = Some(member.instance().map_err(|trouble| match trouble {
            Trouble::Failed(error) => match error.downcast_ref::<super::state::Misuse>() {
                Some(super::state::Misuse::Interest(refused)) => Problem::Interest(refused.clone()),
                _ => Problem::Start(one_line(&reason(&error))),
            },
            Trouble::Refused(text) => Problem::Refuses(text),
        })?);
        if let Some(live) = &mut member.live {
            member.interest = std::mem::take(&mut live.store.data_mut().interest);
        }
        Ok(member)
    }

    fn instance(&mut self) -> std::result::Result<Live<K>, Trouble> {
        let Runtime { limits, ticker, .. } = &*self.runtime;
        let mut store = store(&self.runtime);
        if let Some(said) = self.said.take() {
            // What it said in this second counts for the new instance, too.
            store.data_mut().log = said;
        }
        store.data_mut().log.now = self.now;
        let started = ticker.during(|| {
            let guest = (self.maker)(&mut store)?;
            let configured = K::configure(&guest, &mut store, &self.config)?;
            Ok((guest, configured))
        });
        take_log(&mut self.log, &self.name, &mut store);
        match started {
            Ok((guest, Ok(()))) => Ok(Live { store, guest }),
            Ok((_, Err(text))) => {
                let end = text.floor_char_boundary(limits.text.min(1024));
                self.said = Some(store.into_data().log);
                Err(Trouble::Refused(one_line(text.get(..end).unwrap_or_default())))
            }
            Err(error) => {
                self.said = Some(store.into_data().log);
                Err(Trouble::Failed(error))
            }
        }
    }

    /// One call for this user's event, with `lent` to look at. None: it failed, which is counted.
    pub(super) fn call<R, T>(
        &mut self,
        uid: u32,
        lent: &Lent<'_>,
        call: impl FnOnce(&K::Guest, &mut Store<State>) -> Result<R>,
        check: impl FnOnce(R, &State) -> std::result::Result<T, String>,
    ) -> Option<T> {
        if self.ended {
            self.failures.note(Cause::Stopped, String::new);
            return None;
        }
        if !self.runtime.every_call && self.rest.is_on(uid, || self.now()) {
            self.failures.note(Cause::Resting, || format!("rests for uid {uid}"));
            return None;
        }
        let mut live = match self.live.take() {
            Some(live) => live,
            None => match self.instance() {
                Ok(live) => live,
                Err(trouble) => return self.failed(uid, trouble.cause(), trouble.to_string()),
            },
        };
        let Runtime { limits, ticker, .. } = &*self.runtime;
        let state = live.store.data_mut();
        state.clock = Clock::start(limits.deadline, limits.wall);
        state.head = None;
        state.log.now = self.now;
        let loan = state.loan.clone();
        live.store.set_epoch_deadline(FIRST_LOOK);
        let out = ticker.during(|| loan.lend(lent, || call(&live.guest, &mut live.store)));
        if live.store.data().log.has_lines() {
            take_log(&mut self.log, &self.name, &mut live.store);
        }
        let out = match out {
            Ok(out) => check(out, live.store.data()).map_err(|wrong| (Cause::Answer, wrong)),
            Err(error) => Err((Cause::of(&error), reason(&error))),
        };
        match out {
            Ok(out) => {
                self.live = Some(live);
                Some(out)
            }
            Err((cause, detail)) => {
                self.said = Some(live.store.into_data().log);
                self.failed(uid, cause, detail)
            }
        }
    }

    /// The instance is gone: it is in an unknown state.
    fn failed<T>(&mut self, uid: u32, cause: Cause, detail: String) -> Option<T> {
        if cause == Cause::Stopped {
            self.ended = true;
        } else {
            self.rest.failed(uid, self.now());
        }
        self.failures.note(cause, || one_line(&detail));
        None
    }

    fn now(&self) -> Instant {
        self.now.unwrap_or_else(Instant::now)
    }

    /// Bytes of memory that its instance holds.
    pub(super) fn memory(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.store.data().holds.memory())
    }

    /// Lines for the operator since the last time.
    pub(super) fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.log)
    }
}

enum Trouble {
    Failed(Error),
    Refused(String),
}

impl Trouble {
    fn cause(&self) -> Cause {
        match self {
            Trouble::Failed(error) if Cause::of(error) == Cause::Stopped => Cause::Stopped,
            Trouble::Failed(_) | Trouble::Refused(_) => Cause::Restart,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Failed(error) => write!(f, "cannot be started again: {}", reason(error)),
            Trouble::Refused(text) => write!(f, "refuses its configuration now: {text}"),
        }
    }
}

fn reason(error: &Error) -> String {
    let known = error.downcast_ref::<Overrun>().map(ToString::to_string);
    let known =
        known.or_else(|| error.downcast_ref::<super::limits::Exceeded>().map(ToString::to_string));
    let known =
        known.or_else(|| error.downcast_ref::<super::state::Misuse>().map(ToString::to_string));
    known.unwrap_or_else(|| error.root_cause().to_string())
}

fn take_log(into: &mut Vec<LogLine>, plugin: &Arc<str>, store: &mut Store<State>) {
    /// Lines that wait when nobody takes them.
    const MOST: usize = 64;
    for (level, message) in store.data_mut().log.take() {
        if into.len() < MOST {
            into.push(LogLine { plugin: plugin.clone(), level, message });
        }
    }
}

fn link(engine: &Engine, code: &Code) -> Result<InstancePre<State>> {
    let mut linker = Linker::new(engine);
    code.contract.add_to_linker(&mut linker)?;
    wasi::add_to_linker(&mut linker, &code.component)?;
    linker.instantiate_pre(&code.component)
}

fn store(runtime: &Runtime) -> Store<State> {
    let limits = &runtime.limits;
    let mut store = Store::new(&runtime.engine, State::new(limits));
    store.limiter(|state| &mut state.holds);
    store.set_hostcall_fuel(limits.copied);
    store.set_max_component_handles(limits.handles);
    let stop = runtime.stop.clone();
    store.epoch_deadline_callback(move |mut store| {
        if stop.is_asked() {
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

/// Level of what is told about a plugin itself.
pub(super) const TOLD: Level = Level::Warn;
