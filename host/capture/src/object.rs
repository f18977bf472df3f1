//! The BPF object and its maps.

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, PerCpuArray},
};
use crypto_tracer_common::fixed::kinds;
use crypto_tracer_common::{
    filter::{Control, OWN_MAX, TICK_NS, family_key},
    fixed::{Fixed, Settings},
    loss::CAUSES,
};
use crypto_tracer_event::EventKinds;
use std::os::fd::AsFd;
use std::time::Duration;
use zerocopy::IntoBytes;

use super::{
    CaptureOptions, Error, Losses, MAX_FOLLOWED,
    error::error_chain,
    machine::{self, BTF_PATH},
    offsets::Layout,
    probe,
    ring::Ring,
    tables::{Slot, Tables, comm_pattern},
};
use crypto_tracer_event::ProcessKey;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::cgroup::Hierarchy;
use crypto_tracer_system::memory;

/// The object that `cargo xtask artifacts` builds from `host-ebpf`.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!("../../../artifacts/crypto-tracer.bpf.o");

const CONTROL_LEN: usize = size_of::<Control>();

/// Reads the running kernel's BTF. `hooks`: BTF names of the hooks to look up. Fails if the kernel lacks a BPF helper.
pub(super) fn read_layout(hooks: &[String]) -> Result<Layout, Error> {
    let unusable = |reason: String| Error::Kernel { lacks: format!("{BTF_PATH}: {reason}") };
    let bytes = std::fs::read(BTF_PATH).map_err(|error| unusable(error.to_string()))?;
    let layout = Layout::parse(bytes, hooks);
    let layout = layout.map_err(|error| unusable(error.to_string()))?;
    machine::check_helpers(&machine::release(), &layout)?;
    Ok(layout)
}

/// The loaded BPF object.
pub(super) struct BpfObject {
    /// `None`: detached.
    bpf: Option<Ebpf>,
    pub(super) ring: Ring,
    /// Programs that are loaded later refer to the ring buffer by this descriptor.
    _events: MapData,
    /// The content of `control_map`.
    control: Control,
    control_map: Array<MapData, [u8; CONTROL_LEN]>,
    suffixes: HashMap<MapData, [u64; 2], u8>,
    prefixes: HashMap<MapData, [u64; 2], u8>,
    names: HashMap<MapData, [u64; 4], u8>,
    libraries: HashMap<MapData, [u64; 4], u8>,
    family: HashMap<MapData, [u64; 2], u8>,
    losses: PerCpuArray<MapData, u64>,
    /// The active generation.
    active: Slot,
    /// The recursion misses when the programs were detached.
    recursion_misses: u64,
    /// Time in which the kernel verified and compiled programs.
    pub(super) verification_time: Duration,
}

impl std::fmt::Debug for BpfObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BpfObject").field("control", &self.control).finish_non_exhaustive()
    }
}

impl BpfObject {
    /// Parses the object and creates its maps. Loads no program.
    pub(super) fn load(options: &CaptureOptions<'_>, layout: &Layout) -> Result<BpfObject, Error> {
        let fixed = Fixed { settings: settings(options, layout)?, offsets: layout.offsets };
        let ring_bytes = ring_size(options.ring_bytes)?;
        let mut bpf = EbpfLoader::new()
            // The programs have no CO-RE relocations. Without the kernel's BTF, aya keeps no second copy of it.
            .btf(None)
            .override_global("FIXED", fixed.as_bytes(), true)
            .map_max_entries("EVENTS", ring_bytes)
            .map_max_entries("FAMILY", if options.follow_children { MAX_FOLLOWED } else { 1 })
            .load(OBJECT)
            .map_err(|error| Error::Setup { what: error_chain(&error) })?;
        // Returns the memory of the parsed BTF to the kernel before the ring buffer is used.
        memory::give_back();
        let (events, ring) = map_ring(&mut bpf, ring_bytes)?;
        Ok(BpfObject {
            ring,
            _events: events,
            control: Control::EMPTY,
            control_map: take_map(&mut bpf, ".bss")?,
            suffixes: take_map(&mut bpf, "SUFFIXES")?,
            prefixes: take_map(&mut bpf, "PREFIXES")?,
            names: take_map(&mut bpf, "NAMES")?,
            libraries: take_map(&mut bpf, "LIBRARIES")?,
            losses: take_map(&mut bpf, "LOSSES")?,
            family: take_map(&mut bpf, "FAMILY")?,
            active: Slot::Second,
            recursion_misses: 0,
            verification_time: Duration::ZERO,
            bpf: Some(bpf),
        })
    }

    /// Returns the programs. Fails if they are detached.
    pub(super) fn bpf(&mut self) -> Result<&mut Ebpf, String> {
        self.bpf.as_mut().ok_or_else(|| "the programs are detached".to_owned())
    }

    /// Detaches and unloads all programs. The maps remain.
    pub(super) fn detach(&mut self) {
        self.recursion_misses = self.losses().probe_missed;
        self.bpf = None;
    }

    /// Restricts the programs to this process, whatever the settings are. 0: no restriction.
    pub(super) fn set_self_test_process(&mut self, tgid: u32) -> Result<(), Error> {
        self.control.check = tgid;
        self.write_control()
    }

    /// Adds processes to the followed ones. Returns how many were added.
    pub(super) fn follow(&mut self, processes: &[ProcessKey]) -> Result<usize, Error> {
        let mut added = 0;
        for process in processes {
            // The start time is known to one tick. If a time namespace's offset is not a multiple of a tick, the key
            // can be either of two.
            let latest = process.start_ns.saturating_add(TICK_NS - 1);
            let keys = [process.start_ns, latest].map(|at| family_key(process.tgid, at));
            if keys.iter().any(|key| self.family.get(key, 0).is_ok()) {
                continue;
            }
            for key in keys {
                self.family.insert(key, 0, 0).map_err(|error| Error::Setup {
                    what: format!("map FAMILY: {}", error_chain(&error)),
                })?;
            }
            added += 1;
        }
        Ok(added)
    }

    /// Replaces the PIDs that are never reported. Fails if there are more than [`OWN_MAX`].
    pub(super) fn set_excluded_pids(&mut self, pids: &[u32]) -> Result<(), Error> {
        let mut slots = [0; OWN_MAX];
        let Some(used) = slots.get_mut(..pids.len()) else {
            let what = format!("{} excluded processes, at most {OWN_MAX} are possible", pids.len());
            return Err(Error::Setup { what });
        };
        used.copy_from_slice(pids);
        self.control.own = slots;
        self.write_control()
    }

    /// Fills the inactive generation of the name maps, then activates it.
    pub(super) fn set_interest(&mut self, interest: &Interest) -> Result<(), Error> {
        let slot = self.active.other();
        let tables = Tables::of(interest, slot);
        replace(&mut self.suffixes, &tables.suffixes, slot)?;
        replace(&mut self.prefixes, &tables.prefixes, slot)?;
        replace(&mut self.names, &tables.names, slot)?;
        replace(&mut self.libraries, &tables.libraries, slot)?;
        let [first, second] = &mut self.control.generations;
        match slot {
            Slot::First => *first = tables.generation,
            Slot::Second => *second = tables.generation,
        }
        // Two writes: the generation must be complete before a program uses it.
        self.write_control()?;
        self.active = slot;
        self.control.active = u32::from(slot.number());
        self.write_control()
    }

    fn write_control(&mut self) -> Result<(), Error> {
        let bytes: [u8; CONTROL_LEN] = zerocopy::transmute!(self.control);
        self.control_map
            .set(0, bytes, 0)
            .map_err(|error| Error::Setup { what: format!("map .bss: {}", error_chain(&error)) })
    }

    /// Sums the counters of all CPUs. A counter that cannot be read counts as zero.
    pub(super) fn losses(&self) -> Losses {
        let mut counts = [0_u64; CAUSES];
        for (count, cause) in counts.iter_mut().zip(0_u32..) {
            if let Ok(values) = self.losses.get(&cause, 0) {
                *count = values.iter().sum();
            }
        }
        let probe_missed = self.bpf.as_ref().map_or(self.recursion_misses, probe::recursion_misses);
        Losses { probe_missed, ..Losses::from_counts(&counts) }
    }
}

fn settings(options: &CaptureOptions<'_>, layout: &Layout) -> Result<Settings, Error> {
    let (comm_pattern, comm_mask) = match options.comm.as_deref() {
        None => ([0; 2], [0; 2]),
        Some(text) => comm_pattern(text).filter(|_| !text.is_empty()).ok_or_else(|| {
            Error::Option(format!("process name of {} bytes: must have 1 to 15 bytes", text.len()))
        })?,
    };
    Ok(Settings {
        comm_pattern,
        comm_mask,
        // A time namespace's offset may not be a multiple of a tick, so the tick can be either of two.
        pid_started: options.pid_started.map_or([0; 2], |start| {
            [start, start.saturating_add(TICK_NS - 1)].map(|at| at / TICK_NS)
        }),
        half_ring: if options.limit_floods { u64::from(options.ring_bytes) / 2 } else { 0 },
        kinds: bits(options.kinds),
        pid: options.pid.unwrap_or(0),
        pid_ns: machine::pid_namespace()?,
        exit_tells_group_dead: u32::from(layout.exit_tells_group_dead),
        follow: options.follow_children.into(),
        controller: layout.controller(Hierarchy::of_this_system()),
    })
}

/// Fails unless the size is a power of two and at least a page, as the kernel requires.
fn ring_size(bytes: u32) -> Result<u32, Error> {
    let page = rustix::param::page_size();
    if bytes.is_power_of_two() && bytes as usize >= page {
        return Ok(bytes);
    }
    let bytes = counted(bytes, "byte");
    Err(Error::Option(format!("ring of {bytes}: must be a power of two, at least {page}")))
}

/// Maps the ring buffer. aya's own type would map its data twice.
fn map_ring(bpf: &mut Ebpf, bytes: u32) -> Result<(MapData, Ring), Error> {
    let problem = |what: String| Error::Setup { what: format!("map EVENTS: {what}") };
    let Some(Map::RingBuf(map)) = bpf.take_map("EVENTS") else {
        return Err(problem("missing in the BPF object".to_owned()));
    };
    let fd = map.fd().as_fd().try_clone_to_owned();
    let ring = fd.and_then(|fd| Ring::map(fd, bytes as usize));
    let ring = ring.map_err(|error| problem(error.to_string()))?;
    Ok((map, ring))
}

fn take_map<T>(bpf: &mut Ebpf, name: &str) -> Result<T, Error>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    let problem = |what: String| Error::Setup { what: format!("map {name}: {what}") };
    let map = bpf.take_map(name).ok_or_else(|| problem("missing in the BPF object".to_owned()))?;
    T::try_from(map).map_err(|error| problem(error_chain(&error)))
}

/// Replaces the keys of one generation, which must be inactive.
fn replace<const WORDS: usize>(
    map: &mut HashMap<MapData, [u64; WORDS], u8>,
    keys: &[[u64; WORDS]],
    slot: Slot,
) -> Result<(), Error> {
    let problem = |error: &aya::maps::MapError| Error::Setup {
        what: format!("name map: {}", error_chain(error)),
    };
    let in_slot =
        |key: &[u64; WORDS]| key.last().is_some_and(|word| word >> 56 == u64::from(slot.number()));
    let present: Vec<[u64; WORDS]> = map.keys().filter_map(Result::ok).filter(in_slot).collect();
    for key in present.iter().filter(|key| !keys.contains(key)) {
        map.remove(key).map_err(|error| problem(&error))?;
    }
    for key in keys.iter().filter(|key| !present.contains(key)) {
        map.insert(key, 1, 0).map_err(|error| problem(&error))?;
    }
    Ok(())
}

/// Bits of a set of event kinds, as the BPF programs read them.
fn bits(set: EventKinds) -> u32 {
    let bit = |is_set, bit| if is_set { bit } else { 0 };
    bit(set.open, kinds::OPEN)
        | bit(set.load, kinds::LOAD)
        | bit(set.exec, kinds::EXEC)
        | bit(set.exit, kinds::EXIT)
        | bit(set.fork, kinds::FORK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_size_must_be_a_power_of_two() {
        assert_eq!(ring_size(8 << 20).unwrap(), 8 << 20);
        assert_eq!(ring_size(8 << 20 | 1).unwrap_err().exit_code(), 2);
        assert!(ring_size(0).is_err());
        assert!(ring_size(16).is_err());
    }
}
