//! One plugin of a chain: its instance, started anew when it failed, and what is known of its failures.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Engine, Result, Store};

use super::backoff::Backoff;
use super::budget::Budget;
use super::component::CompiledPlugin;
use super::deadline::{CallTimer, FIRST_LOOK};
use super::failure::{Cause, Failures, Problem};
use super::instance::{Instance, InstanceFactory, SpawnError, SpawnOutcome, reason};
use super::kind::GuestKind;
use super::limits::Limits;
use super::log::{Level, Log, LogLine};
use super::runtime::Runtime;
use super::scoped::Scoped;
use super::state::State;
use super::text::one_line;
use super::wasi;
use crypto_tracer_event::PluginFailure;
use crypto_tracer_event::interest::Interest;

/// Times as long as it took to make an instance elsewhere, nothing is made there: a plugin that fails for ever costs at
/// most a tenth of a processor.
const PAUSE: u32 = 9;

/// A plugin in its place.
pub(super) struct PluginSlot<K: GuestKind> {
    recipe: Arc<InstanceFactory<K>>,
    live: Option<Instance<K>>,
    /// To be renewed takes it longer than a call may: that is done elsewhere.
    slow: bool,
    /// An instance that is being made.
    elsewhere: Option<Receiver<SpawnOutcome<K>>>,
    /// When the next one may be begun.
    not_before: Option<Instant>,
    rest: Backoff,
    budget: Budget,
    failures: Failures,
    log: Vec<LogLine>,
    /// The log of an instance that is gone.
    said: Option<Log>,
    /// `name@version`
    pub(super) name: Arc<str>,
    pub(super) interest: Interest,
    /// What time it is in a replay; None: what the machine's clock says.
    now: Option<Instant>,
    /// A call was ended with the run: no more calls.
    ended: bool,
}

impl<K: GuestKind> PluginSlot<K> {
    /// Links, instantiates and configures.
    pub(super) fn start(
        runtime: &Arc<Runtime>,
        code: &CompiledPlugin,
        config: String,
    ) -> Result<Self, Problem> {
        code.check_export(K::KIND.as_str())?;
        let linked = link(&runtime.engine, code);
        let maker = linked.and_then(|pre| K::maker(code.contract, pre));
        let maker = maker.map_err(|error| code.unfit(&error))?;
        let mut member = PluginSlot {
            recipe: Arc::new(InstanceFactory { runtime: runtime.clone(), maker, config }),
            live: None,
            slow: false,
            elsewhere: None,
            not_before: None,
            rest: Backoff::default(),
            budget: Budget::new(&runtime.limits),
            failures: Failures::default(),
            log: Vec::new(),
            said: None,
            name: format!("{}@{}", code.name, code.version).into(),
            interest: Interest::default(),
            now: None,
            ended: false,
        };
        let made = member.recipe.make(runtime.limits.setup, None);
        let said = last_words(&made.lines);
        member.live = Some(member.take(made).map_err(|trouble| match trouble {
            SpawnError::Failed(error) if Cause::of(&error) == Cause::Stopped => Problem::Stopped,
            SpawnError::Failed(error) => match error.downcast_ref::<super::state::Misuse>() {
                Some(super::state::Misuse::Interest(refused)) => Problem::Interest(refused.clone()),
                _ => Problem::Start(one_line(&reason(&error)) + &said),
            },
            SpawnError::Refused(text) => Problem::Refuses(text),
        })?);
        if let Some(live) = &mut member.live {
            member.interest = std::mem::take(&mut live.store.data_mut().interest);
        }
        Ok(member)
    }

    /// Takes over what was made, and what that took.
    fn take(&mut self, made: SpawnOutcome<K>) -> std::result::Result<Instance<K>, SpawnError> {
        add_log(&mut self.log, &self.name, made.lines);
        self.said = made.said;
        made.outcome
    }

    /// An instance in the place of one that failed. None: it is made elsewhere, or was so lately.
    fn renewed(&mut self) -> Option<std::result::Result<Instance<K>, SpawnError>> {
        let Limits { setup, wall, .. } = self.recipe.runtime.limits;
        if !self.slow {
            let most = setup.min(wall);
            let mut said = self.said.take();
            said.iter_mut().for_each(|said| said.set_now(self.now));
            let made = self.recipe.make(most, said);
            let overran = made.outcome.as_ref().err().is_some_and(SpawnError::is_overrun);
            self.charge(made.took, overran);
            let made = self.take(made);
            // More time would have been enough at the start: the events are not kept waiting for that.
            self.slow = most < setup && overran;
            if !self.slow {
                return Some(made);
            }
        }
        if let Some(elsewhere) = &self.elsewhere {
            let made = match elsewhere.try_recv() {
                Ok(made) => made,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    self.elsewhere = None;
                    return None;
                }
            };
            self.elsewhere = None;
            self.not_before = Some(Instant::now() + made.took * PAUSE);
            return Some(self.take(made));
        }
        if self.not_before.is_none_or(|moment| Instant::now() >= moment) {
            self.elsewhere = self.recipe.clone().make_elsewhere(self.said.take());
            self.not_before = Some(Instant::now() + setup);
        }
        None
    }

    /// One call for this user's event, with `in_scope` to look at. None: it failed, which is counted.
    pub(super) fn call<R, T>(
        &mut self,
        uid: u32,
        in_scope: &Scoped<'_>,
        call: impl FnOnce(&K::Guest, &mut Store<State>) -> Result<R>,
        check: impl FnOnce(R, &State) -> std::result::Result<T, String>,
    ) -> Option<T> {
        if self.ended {
            self.failures.note(Cause::Stopped, String::new);
            return None;
        }
        if self.is_backing_off(uid) {
            return None;
        }
        let mut live = match self.live.take().map(Ok).or_else(|| self.renewed()) {
            Some(Ok(live)) => live,
            Some(Err(trouble)) => return self.failed(uid, trouble.cause(), trouble.to_string()),
            None => {
                self.failures.note(Cause::Resting, || "rests until it is started again".to_owned());
                return None;
            }
        };
        let Runtime { limits, ticker, .. } = &*self.recipe.runtime;
        let state = live.store.data_mut();
        state.clock = CallTimer::start(limits.deadline, limits.wall);
        state.head = None;
        state.log.set_now(self.now);
        let loan = state.loan.clone();
        live.store.set_epoch_deadline(FIRST_LOOK);
        let out =
            ticker.during(|| loan.with_value(in_scope, || call(&live.guest, &mut live.store)));
        live.store.data_mut().log.flush();
        if live.store.data().log.has_lines() {
            add_log(&mut self.log, &self.name, live.store.data_mut().log.take());
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
                self.charge(live.store.data().clock.taken(), cause == Cause::Deadline);
                self.said = Some(live.store.into_data().log);
                self.failed(uid, cause, detail)
            }
        }
    }

    /// Whether it is not asked, for this user or for anybody, because too much failed; which is counted.
    fn is_backing_off(&mut self, uid: u32) -> bool {
        if self.recipe.runtime.every_call {
            return false;
        }
        let now = self.now;
        if self.rest.is_on(uid, || now.unwrap_or_else(Instant::now)) {
            self.failures.note(Cause::Resting, || format!("rests for uid {uid}"));
            return true;
        }
        let spent = self.budget.is_spent(|| now.unwrap_or_else(Instant::now));
        if spent {
            self.failures.note(Cause::Resting, || "rests: failures took too long".to_owned());
        }
        spent
    }

    /// A failure, or what followed from it, took so long; or as long as it might.
    fn charge(&mut self, took: Duration, overran: bool) {
        match self.now {
            Some(now) => self.budget.spend_replayed(overran, now),
            None => self.budget.spend(took, Instant::now()),
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
}

/// Operations on a slot that do not depend on the kind of its plugin.
pub(super) trait AnySlot {
    /// Sets the clock of a replay; None: the machine's clock.
    fn set_now(&mut self, now: Option<Instant>);
    /// Failures that have not been taken yet, each with a detail for the operator, which may be empty.
    fn take_failures(&mut self) -> Vec<(PluginFailure, String)>;
    /// Lines for the operator that have not been taken yet.
    fn take_log(&mut self) -> Vec<LogLine>;
    /// All failures.
    fn failures(&self) -> &Failures;
    /// Bytes of memory that the instance holds.
    fn memory(&self) -> usize;
}

impl<K: GuestKind> AnySlot for PluginSlot<K> {
    fn set_now(&mut self, now: Option<Instant>) {
        self.now = now;
    }

    fn take_failures(&mut self) -> Vec<(PluginFailure, String)> {
        let failure = |(cause, count, detail): (Cause, u64, String)| {
            let failure = PluginFailure {
                plugin: self.name.to_string(),
                kind: K::KIND,
                cause: cause.as_str().to_owned(),
                count,
                action: K::ACTION,
            };
            (failure, detail)
        };
        self.failures.take().map(failure).collect()
    }

    fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.log)
    }

    fn failures(&self) -> &Failures {
        &self.failures
    }

    fn memory(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.store.data().holds.memory())
    }
}

/// What a plugin said before it failed to start: there is no log of it yet.
fn last_words(lines: &[(Level, String)]) -> String {
    /// Lines of a panic: where, and why.
    const MOST: usize = 4;
    let lines = lines.iter().map(|(_, line)| line.as_str());
    let lines = lines.filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE"));
    let said: Vec<&str> = lines.take(MOST).collect();
    if said.is_empty() {
        String::new()
    } else {
        format!("; it said: {}", one_line(&said.join(" ")))
    }
}

fn add_log(into: &mut Vec<LogLine>, plugin: &Arc<str>, lines: Vec<(Level, String)>) {
    /// Lines that wait when nobody takes them.
    const MOST: usize = 64;
    for (level, message) in lines {
        if into.len() < MOST {
            into.push(LogLine { plugin: plugin.clone(), level, message });
        }
    }
}

fn link(engine: &Engine, code: &CompiledPlugin) -> Result<InstancePre<State>> {
    let mut linker = Linker::new(engine);
    code.contract.add_to_linker(&mut linker)?;
    wasi::add_to_linker(&mut linker, &code.component)?;
    linker.instantiate_pre(&code.component)
}

/// Level of what is told about a plugin itself.
pub(super) const TOLD: Level = Level::Warn;
