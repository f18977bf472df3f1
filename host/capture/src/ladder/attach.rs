//! Attaches the best rung that works of each ladder.

use super::{
    definitions::LADDERS,
    rung::{Ladder, Rung},
};
use crate::{
    Attached, BlindSpot,
    error::{AttachRefusal, Error},
    object::BpfObject,
    probe::AttachContext,
    self_test,
    start_times::Lap,
};

/// Attaches a rung of each ladder that serves one of the context's event kinds. `requested`: the only rung to try for
/// opens and library loads.
pub(crate) fn attach(
    object: &mut BpfObject,
    context: &AttachContext<'_>,
    requested: Option<&str>,
) -> Result<Vec<Attached>, Error> {
    let ladders = LADDERS.iter().filter(|ladder| ladder.serves.intersects(context.kinds));
    ladders.map(|ladder| ladder.attach(object, context, requested)).collect()
}

impl Ladder {
    fn attach(
        &self,
        object: &mut BpfObject,
        context: &AttachContext<'_>,
        requested: Option<&str>,
    ) -> Result<Attached, Error> {
        let requested = requested.filter(|_| self.captures_files);
        let mut reasons = Vec::new();
        for rung in self.rungs.iter().filter(|rung| requested.is_none_or(|name| name == rung.name))
        {
            let unsuitable = (rung.unsuitable)(context.machine)
                .filter(|unsuitable| requested.is_none() || !unsuitable.allowed_by_name);
            let attached = match unsuitable {
                Some(unsuitable) => Err(unsuitable.reason.to_owned()),
                None => rung
                    .attach(object, context, self.captures_files)
                    .map_err(|refusal| refusal.reason),
            };
            match attached {
                Ok(attached) => return Ok(attached),
                Err(reason) => reasons.push((rung.name, reason)),
            }
        }
        Err(no_rung_works(self.purpose, &reasons))
    }
}

impl Rung {
    /// Loads and attaches all probes and, with `run_self_test`, verifies their records. On failure, nothing stays
    /// attached.
    pub(crate) fn attach(
        &self,
        object: &mut BpfObject,
        context: &AttachContext<'_>,
        run_self_test: bool,
    ) -> Result<Attached, AttachRefusal> {
        let attached = self.try_attach(object, context).and_then(|attached| {
            if run_self_test {
                self_test::run(object, context.kinds).map_err(AttachRefusal::unexpected)?;
            }
            Ok(attached)
        });
        if attached.is_err() {
            let bpf = object.bpf().map_err(AttachRefusal::unexpected)?;
            self.probes.iter().for_each(|probe| probe.unload(bpf));
        }
        attached
    }

    fn try_attach(
        &self,
        object: &mut BpfObject,
        context: &AttachContext<'_>,
    ) -> Result<Attached, AttachRefusal> {
        let mut lap = Lap::begin();
        let mut cannot_see = self.cannot_see(context.machine);
        let mut loaded = Vec::new();
        let bpf = object.bpf().map_err(AttachRefusal::unexpected)?;
        for probe in self.probes.iter().filter(|probe| probe.serves.intersects(context.kinds)) {
            match (probe.load(bpf, context), probe.optional) {
                (Ok(()), _) => loaded.push(probe),
                (Err(refusal), Some((route, what))) => {
                    let what = format!("{what} ({})", refusal.reason).into();
                    cannot_see.push(BlindSpot { route, what });
                }
                (Err(refusal), None) => return Err(refusal.at(&probe.hook.name())),
            }
        }
        object.verification_time += lap.next();
        let bpf = object.bpf().map_err(AttachRefusal::unexpected)?;
        for probe in &loaded {
            probe.attach(bpf, context.machine).map_err(|refusal| refusal.at(&probe.hook.name()))?;
        }
        let hooks: Vec<String> = loaded.iter().map(|probe| probe.hook.name()).collect();
        let (rung, overhead) = (self.name, self.overhead);
        let may_miss_events = (self.unsuitable)(context.machine).is_some();
        Ok(Attached { rung, hook: hooks.join(", "), cannot_see, overhead, may_miss_events })
    }
}

/// Returns the error for a ladder without a rung that works; `rungs`: name and reason of each.
pub(crate) fn no_rung_works(purpose: &'static str, rungs: &[(&str, String)]) -> Error {
    let reasons: Vec<String> =
        rungs.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    Error::Probe { purpose, reasons: reasons.join("; ") }
}
