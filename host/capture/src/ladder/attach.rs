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
    self_test::check,
};

/// Attaches what is wanted, the best that works for each purpose.
pub(crate) fn attach(
    object: &mut BpfObject,
    ground: &AttachContext<'_>,
    named: Option<&str>,
) -> Result<Vec<Attached>, Error> {
    let wanted = LADDERS.iter().filter(|ladder| ladder.serves.meets(ground.kinds));
    wanted.map(|ladder| ladder.attach(object, ground, named)).collect()
}

impl Ladder {
    fn attach(
        &self,
        object: &mut BpfObject,
        ground: &AttachContext<'_>,
        named: Option<&str>,
    ) -> Result<Attached, Error> {
        let named = named.filter(|_| self.of_files);
        let mut reasons = Vec::new();
        for rung in self.rungs.iter().filter(|rung| named.is_none_or(|name| name == rung.name)) {
            let unfit = (rung.unfit)(ground.machine)
                .filter(|unfit| named.is_none() || !unfit.can_be_asked_for);
            let tried = match unfit {
                Some(unfit) => Err(unfit.reason.to_owned()),
                None => {
                    rung.attach(object, ground, self.of_files).map_err(|refusal| refusal.reason)
                }
            };
            match tried {
                Ok(attached) => return Ok(attached),
                Err(reason) => reasons.push((rung.name, reason)),
            }
        }
        Err(none_works(self.purpose, &reasons))
    }
}

impl Rung {
    /// Loads all, attaches all, and tries them out; a rung that is refused leaves nothing attached.
    pub(crate) fn attach(
        &self,
        object: &mut BpfObject,
        ground: &AttachContext<'_>,
        of_files: bool,
    ) -> Result<Attached, AttachRefusal> {
        let attached = self.try_attach(object, ground).and_then(|attached| {
            if of_files {
                check(object, ground.kinds).map_err(AttachRefusal::unexpected)?;
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
        ground: &AttachContext<'_>,
    ) -> Result<Attached, AttachRefusal> {
        let bpf = object.bpf().map_err(AttachRefusal::unexpected)?;
        let mut cannot_see = self.cannot_see(ground.machine);
        let mut loaded = Vec::new();
        for probe in self.probes.iter().filter(|probe| probe.serves.meets(ground.kinds)) {
            match (probe.load(bpf, ground), probe.optional) {
                (Ok(()), _) => loaded.push(probe),
                (Err(refusal), Some((route, what))) => {
                    let what = format!("{what} ({})", refusal.reason).into();
                    cannot_see.push(BlindSpot { route, what });
                }
                (Err(refusal), None) => return Err(refusal.at(&probe.hook.name())),
            }
        }
        for probe in &loaded {
            probe.attach(bpf, ground.machine).map_err(|refusal| refusal.at(&probe.hook.name()))?;
        }
        let hooks: Vec<String> = loaded.iter().map(|probe| probe.hook.name()).collect();
        let programs = loaded.iter().map(|probe| probe.program).collect();
        let (probe, costs) = (self.name, self.costs);
        // Somebody asked for it all the same.
        let misses = (self.unfit)(ground.machine).is_some();
        Ok(Attached { probe, hook: hooks.join(", "), cannot_see, costs, programs, misses })
    }
}

/// No rung of a ladder could be taken: each with why.
pub(crate) fn none_works(purpose: &'static str, rungs: &[(&str, String)]) -> Error {
    let reasons: Vec<String> =
        rungs.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    Error::Probe { purpose, reasons: reasons.join("; ") }
}
