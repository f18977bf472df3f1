//! One plugin of a chain: its instance, which is replaced after a failure, and its failures.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Engine, Result, Store};

use super::backoff;
use super::budget::Budget;
use super::component::CompiledPlugin;
use super::deadline::{CallTimer, FIRST_CHECK};
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
use crypto_tracer_system::backoff::Backoff;

/// Pause after an instance was created on another thread, as a multiple of the time the instantiation took: a plugin that
/// always fails uses at most a tenth of a processor.
const PAUSE_FACTOR: u32 = 9;

/// A plugin at its position in a chain.
pub(super) struct PluginSlot<K: GuestKind> {
    factory: Arc<InstanceFactory<K>>,
    instance: Option<Instance<K>>,
    /// Instantiation takes longer than a call may take, so it happens on another thread.
    slow: bool,
    /// An instance that another thread is creating.
    pending: Option<Receiver<SpawnOutcome<K>>>,
    /// Earliest time of the next instantiation on another thread.
    not_before: Option<Instant>,
    backoff: Backoff<u32>,
    budget: Budget,
    failures: Failures,
    log: Vec<LogLine>,
    /// The log of the previous instance, which the next one continues.
    previous_log: Option<Log>,
    /// `name@version`
    pub(super) name: Arc<str>,
    pub(super) interest: Interest,
    /// Shutdown interrupted a call: no more calls are made.
    stopped: bool,
    /// Events that it dropped, as a filter.
    pub(super) drops: u64,
}

impl<K: GuestKind> PluginSlot<K> {
    /// Links, instantiates and configures a plugin.
    pub(super) fn start(
        runtime: &Arc<Runtime>,
        code: &CompiledPlugin,
        config: String,
    ) -> Result<Self, Problem> {
        code.check_export(K::KIND.as_str())?;
        let linked = link(&runtime.engine, code);
        let factory = linked.and_then(|pre| K::factory(code.contract, pre));
        let instantiate = factory.map_err(|error| code.link_problem(&error))?;
        let mut slot = PluginSlot {
            factory: Arc::new(InstanceFactory { runtime: runtime.clone(), instantiate, config }),
            instance: None,
            slow: false,
            pending: None,
            not_before: None,
            backoff: Backoff::new(backoff::POLICY),
            budget: Budget::new(&runtime.limits),
            failures: Failures::default(),
            log: Vec::new(),
            previous_log: None,
            name: format!("{}@{}", code.name, code.version).into(),
            interest: Interest::default(),
            stopped: false,
            drops: 0,
        };
        let spawned = slot.factory.spawn(runtime.limits.setup, None);
        let output = startup_output(&spawned.lines);
        slot.instance = Some(slot.adopt(spawned).map_err(|error| match error {
            SpawnError::Failed(error) if Cause::of(&error) == Cause::Stopped => Problem::Stopped,
            SpawnError::Failed(error) => match error.downcast_ref::<super::state::Misuse>() {
                Some(super::state::Misuse::Interest(refused)) => Problem::Interest(refused.clone()),
                _ => Problem::Start(one_line(&reason(&error)) + &output),
            },
            SpawnError::Refused(text) => Problem::Refuses(text),
        })?);
        if let Some(instance) = &mut slot.instance {
            slot.interest = std::mem::take(&mut instance.store.data_mut().interest);
        }
        Ok(slot)
    }

    /// Takes over an instance and its log lines.
    fn adopt(&mut self, spawned: SpawnOutcome<K>) -> std::result::Result<Instance<K>, SpawnError> {
        let most = queued_lines(&self.factory.runtime.limits);
        add_log(&mut self.log, &self.name, spawned.lines, most);
        self.previous_log = spawned.log;
        spawned.outcome
    }

    /// Replaces an instance that failed. None: another thread creates the new one, or retries are paused.
    fn respawn(&mut self) -> Option<std::result::Result<Instance<K>, SpawnError>> {
        let Limits { setup, wall, .. } = self.factory.runtime.limits;
        if !self.slow {
            let limit = setup.min(wall);
            let mut log = self.previous_log.take();
            let now = self.replay_time();
            log.iter_mut().for_each(|log| log.set_now(now));
            let spawned = self.factory.spawn(limit, log);
            let overran = spawned.outcome.as_ref().err().is_some_and(SpawnError::is_overrun);
            self.charge(spawned.took, overran);
            let outcome = self.adopt(spawned);
            // It may succeed within the startup limit, but that would delay events too much.
            self.slow = limit < setup && overran;
            if !self.slow {
                return Some(outcome);
            }
        }
        if let Some(pending) = &self.pending {
            let spawned = match pending.try_recv() {
                Ok(spawned) => spawned,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    self.pending = None;
                    return None;
                }
            };
            self.pending = None;
            self.not_before = Some(Instant::now() + spawned.took * PAUSE_FACTOR);
            return Some(self.adopt(spawned));
        }
        if self.not_before.is_none_or(|moment| Instant::now() >= moment) {
            self.pending = self.factory.clone().spawn_on_thread(self.previous_log.take());
            self.not_before = Some(Instant::now() + setup);
        }
        None
    }

    /// Makes one call for an event of user `uid`, with `in_scope` as the borrowed resource. `check` validates the answer.
    /// None: the call failed or was not made; the failure is counted.
    pub(super) fn call<R, T>(
        &mut self,
        uid: u32,
        in_scope: &Scoped<'_>,
        call: impl FnOnce(&K::Guest, &mut Store<State>) -> Result<R>,
        check: impl FnOnce(R, &State) -> std::result::Result<T, String>,
    ) -> Option<T> {
        if self.stopped {
            self.failures.note(Cause::Stopped, String::new);
            return None;
        }
        if self.is_backing_off(uid) {
            return None;
        }
        let mut instance = match self.instance.take().map(Ok).or_else(|| self.respawn()) {
            Some(Ok(instance)) => instance,
            Some(Err(error)) => return self.failed(uid, error.cause(), error.to_string()),
            None => {
                self.failures.note(Cause::Resting, || {
                    "not called: a new instance is being created".to_owned()
                });
                return None;
            }
        };
        let Runtime { limits, ticker, .. } = &*self.factory.runtime;
        let state = instance.store.data_mut();
        state.timer =
            CallTimer::start(limits.deadline * K::TIME_FACTOR, limits.wall * K::TIME_FACTOR);
        (state.head, state.skipped) = (None, false);
        state.log.set_now(self.factory.runtime.clock.replayed_instant());
        let scope = state.scope.clone();
        instance.store.set_epoch_deadline(FIRST_CHECK);
        let out = ticker
            .during(|| scope.with_value(in_scope, || call(&instance.guest, &mut instance.store)));
        instance.store.data_mut().log.flush();
        if instance.store.data().log.has_lines() {
            let lines = instance.store.data_mut().log.take();
            add_log(&mut self.log, &self.name, lines, queued_lines(limits));
        }
        let out = match out {
            Ok(out) => {
                check(out, instance.store.data()).map_err(|problem| (Cause::Answer, problem))
            }
            Err(error) => Err((Cause::of(&error), reason(&error))),
        };
        match out {
            Ok(out) => {
                self.instance = Some(instance);
                Some(out)
            }
            Err((cause, detail)) => {
                self.charge(instance.store.data().timer.taken(), cause == Cause::Deadline);
                self.previous_log = Some(instance.store.into_data().log);
                self.failed(uid, cause, detail)
            }
        }
    }

    /// Whether the plugin is not called, for this user or for any, because of earlier failures. This counts as a failure.
    fn is_backing_off(&mut self, uid: u32) -> bool {
        if self.factory.runtime.every_call {
            return false;
        }
        let clock = &self.factory.runtime.clock;
        let now = || clock.replayed_instant().unwrap_or_else(Instant::now);
        if self.backoff.is_on(&uid, now) {
            self.failures.note(Cause::Resting, || format!("not called: backing off for uid {uid}"));
            return true;
        }
        let spent = self.budget.is_spent(now);
        if spent {
            self.failures
                .note(Cause::Resting, || "not called: failure time budget exhausted".to_owned());
        }
        spent
    }

    /// Charges the budget for a failed call or for the new instance after it. In a replay, charges a fixed cost if it
    /// exceeded the limit.
    fn charge(&mut self, took: Duration, overran: bool) {
        match self.replay_time() {
            Some(now) => self.budget.spend_replayed(overran, now),
            None => self.budget.spend(took, Instant::now()),
        }
    }

    /// Counts a failure. The instance was dropped, because its state is unknown.
    fn failed<T>(&mut self, uid: u32, cause: Cause, detail: String) -> Option<T> {
        if cause == Cause::Stopped {
            self.stopped = true;
        } else {
            self.backoff.failed(uid, self.now());
        }
        self.failures.note(cause, || one_line(&detail));
        None
    }

    fn now(&self) -> Instant {
        self.replay_time().unwrap_or_else(Instant::now)
    }

    fn replay_time(&self) -> Option<Instant> {
        self.factory.runtime.clock.replayed_instant()
    }
}

/// Operations on a slot that do not depend on the kind of its plugin.
pub(super) trait AnySlot {
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
        self.instance.as_ref().map_or(0, |instance| instance.store.data().memory.bytes())
    }
}

/// Formats the output of a plugin that failed to start, for the error message. The log does not contain it yet.
fn startup_output(lines: &[(Level, String)]) -> String {
    /// Enough for the location and the message of a panic.
    const MAX_LINES: usize = 4;
    let lines = lines.iter().map(|(_, line)| line.as_str());
    let lines = lines.filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE"));
    let output: Vec<&str> = lines.take(MAX_LINES).collect();
    if output.is_empty() {
        String::new()
    } else {
        format!("; its output: {}", one_line(&output.join(" ")))
    }
}

/// Maximum number of lines in the queue until taken.
fn queued_lines(limits: &Limits) -> usize {
    const USUAL: u32 = 64;
    limits.log_lines.max(USUAL) as usize
}

fn add_log(into: &mut Vec<LogLine>, plugin: &Arc<str>, lines: Vec<(Level, String)>, most: usize) {
    for (level, message) in lines {
        if into.len() < most {
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

/// Level of the host's own lines about a plugin.
pub(super) const FAILURE_LEVEL: Level = Level::Warn;
