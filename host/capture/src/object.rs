//! The BPF object and its maps.

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, PerCpuArray, RingBuf},
};
use crypto_tracer_common::{
    filter::{Control, OWN_MAX, TICK_NS, family_key},
    fixed::{Fixed, Settings},
    loss::CAUSES,
};
use zerocopy::IntoBytes;

use super::{
    CaptureOptions, Error, FAMILY_ROOM, Losses,
    error::chain,
    machine::{self, BTF_PATH},
    offsets::Layout,
    probe,
    tables::{Slot, Tables, comm_pattern},
};
use crypto_tracer_event::ProcessKey;
use crypto_tracer_event::counted::counted;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_system::cgroup::Hierarchy;
use crypto_tracer_system::memory;

/// What `cargo xtask artifacts` made of `host-ebpf`.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!("../../../artifacts/crypto-tracer.bpf.o");

const CONTROL: usize = size_of::<Control>();

/// Reads where the running kernel keeps what the programs read, and the numbers of the types `attached`.
pub(super) fn read_layout(attached: &[String]) -> Result<Layout, Error> {
    let unusable = |why: String| Error::Kernel { lacks: format!("{BTF_PATH}: {why}") };
    let bytes = std::fs::read(BTF_PATH).map_err(|error| unusable(error.to_string()))?;
    let layout = Layout::of(bytes, attached);
    let layout = layout.map_err(|error| unusable(error.to_string()))?;
    machine::check_helpers(&machine::release(), &layout)?;
    Ok(layout)
}

/// The loaded object.
pub(super) struct BpfObject {
    /// None when detached.
    bpf: Option<Ebpf>,
    pub(super) ring: RingBuf<MapData>,
    /// What the programs see of it.
    control: Control,
    control_map: Array<MapData, [u8; CONTROL]>,
    suffixes: HashMap<MapData, [u64; 2], u8>,
    prefixes: HashMap<MapData, [u64; 2], u8>,
    names: HashMap<MapData, [u64; 4], u8>,
    libraries: HashMap<MapData, [u64; 4], u8>,
    family: HashMap<MapData, [u64; 2], u8>,
    losses: PerCpuArray<MapData, u64>,
    /// The generation in use.
    active: Slot,
    /// How often programs were not run, as it was when they were detached.
    missed: u64,
}

impl std::fmt::Debug for BpfObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BpfObject").field("control", &self.control).finish_non_exhaustive()
    }
}

impl BpfObject {
    /// Loads the object and makes its maps; no program yet.
    pub(super) fn load(options: &CaptureOptions<'_>, layout: &Layout) -> Result<BpfObject, Error> {
        let fixed = Fixed { settings: settings(options, layout)?, offsets: layout.offsets };
        let mut bpf = EbpfLoader::new()
            // The programs have no relocations against types; without it, aya keeps no second copy of them.
            .btf(None)
            .override_global("FIXED", fixed.as_bytes(), true)
            .map_max_entries("EVENTS", ring_size(options.ring_bytes)?)
            .map_max_entries("FAMILY", if options.follow_children { FAMILY_ROOM } else { 1 })
            .load(OBJECT)
            .map_err(|error| Error::Setup { what: chain(&error) })?;
        // It read all types of the kernel to begin with: they go before the ring comes.
        memory::give_back();
        Ok(BpfObject {
            ring: take(&mut bpf, "EVENTS")?,
            control: Control::EMPTY,
            control_map: take(&mut bpf, ".bss")?,
            suffixes: take(&mut bpf, "SUFFIXES")?,
            prefixes: take(&mut bpf, "PREFIXES")?,
            names: take(&mut bpf, "NAMES")?,
            libraries: take(&mut bpf, "LIBRARIES")?,
            losses: take(&mut bpf, "LOSSES")?,
            family: take(&mut bpf, "FAMILY")?,
            active: Slot::Second,
            missed: 0,
            bpf: Some(bpf),
        })
    }

    /// The programs.
    pub(super) fn bpf(&mut self) -> Result<&mut Ebpf, String> {
        self.bpf.as_mut().ok_or_else(|| "it is detached".to_owned())
    }

    /// Detaches and unloads all programs; the maps stay.
    pub(super) fn detach(&mut self) {
        self.missed = self.losses().probe_missed;
        self.bpf = None;
    }

    /// Only this process is told; 0: what the settings say.
    pub(super) fn set_check(&mut self, process: u32) -> Result<(), Error> {
        self.control.check = process;
        self.write_control()
    }

    /// Adds processes to those that are followed; how many were not among them.
    pub(super) fn follow(&mut self, processes: &[ProcessKey]) -> Result<usize, Error> {
        let mut added = 0;
        for process in processes {
            // Told to a tick; where a time namespace shifts that by a part of one, either of two.
            let latest = process.start_ns.saturating_add(TICK_NS - 1);
            let [early, late] = [process.start_ns, latest].map(|at| family_key(process.tgid, at));
            if self.family.get(&early, 0).is_ok() || self.family.get(&late, 0).is_ok() {
                continue;
            }
            for key in [early, late] {
                self.family.insert(key, 0, 0).map_err(|error| Error::Setup {
                    what: format!("the table of followed processes: {}", chain(&error)),
                })?;
            }
            added += 1;
        }
        Ok(added)
    }

    /// Replaces the processes that are never reported.
    pub(super) fn set_own(&mut self, own: &[u32]) -> Result<(), Error> {
        let mut slots = [0; OWN_MAX];
        let Some(used) = slots.get_mut(..own.len()) else {
            let what = format!("{} own processes are more than {OWN_MAX}", own.len());
            return Err(Error::Setup { what });
        };
        used.copy_from_slice(own);
        self.control.own = slots;
        self.write_control()
    }

    /// Fills the generation of the tables that is not in use, then switches to it.
    pub(super) fn set_interest(&mut self, interest: &Interest) -> Result<(), Error> {
        let which = self.active.other();
        let tables = Tables::of(interest, which);
        replace(&mut self.suffixes, &tables.suffixes, which)?;
        replace(&mut self.prefixes, &tables.prefixes, which)?;
        replace(&mut self.names, &tables.names, which)?;
        replace(&mut self.libraries, &tables.libraries, which)?;
        let [first, second] = &mut self.control.generations;
        match which {
            Slot::First => *first = tables.generation,
            Slot::Second => *second = tables.generation,
        }
        // Two writes: the first must be complete before any program uses it.
        self.write_control()?;
        self.active = which;
        self.control.active = u32::from(which.number());
        self.write_control()
    }

    fn write_control(&mut self) -> Result<(), Error> {
        let bytes: [u8; CONTROL] = zerocopy::transmute!(self.control);
        self.control_map
            .set(0, bytes, 0)
            .map_err(|error| Error::Setup { what: format!("map .bss: {}", chain(&error)) })
    }

    /// Sums the counters of all processors.
    pub(super) fn losses(&self) -> Losses {
        let mut counts = [0_u64; CAUSES];
        for (count, cause) in counts.iter_mut().zip(0_u32..) {
            if let Ok(values) = self.losses.get(&cause, 0) {
                *count = values.iter().sum();
            }
        }
        let missed = self.bpf.as_ref().map_or(self.missed, probe::misses);
        Losses { probe_missed: missed, ..Losses::from_counts(&counts) }
    }
}

fn settings(options: &CaptureOptions<'_>, layout: &Layout) -> Result<Settings, Error> {
    let (comm_pattern, comm_mask) = match options.comm.as_deref() {
        None => ([0; 2], [0; 2]),
        Some(text) => comm_pattern(text).filter(|_| !text.is_empty()).ok_or_else(|| {
            Error::Option(format!("a process name of {} bytes: 1 to 15 are right", text.len()))
        })?,
    };
    Ok(Settings {
        comm_pattern,
        comm_mask,
        kinds: options.kinds.bits(),
        pid: options.pid.unwrap_or(0),
        pid_ns: machine::pid_namespace()?,
        exit_tells_group_dead: u32::from(layout.exit_tells_group_dead),
        follow: options.follow_children.into(),
        controller: layout.controller(Hierarchy::of_this_system()),
    })
}

/// The kernel takes powers of two from one page on.
fn ring_size(bytes: u32) -> Result<u32, Error> {
    let page = rustix::param::page_size();
    if bytes.is_power_of_two() && bytes as usize >= page {
        return Ok(bytes);
    }
    let bytes = counted(bytes, "byte");
    Err(Error::Option(format!("a ring of {bytes}: powers of two from {page} on are right")))
}

fn take<T>(bpf: &mut Ebpf, name: &str) -> Result<T, Error>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let problem = |what: String| Error::Setup { what: format!("map {name}: {what}") };
    let map = bpf.take_map(name).ok_or_else(|| problem("it is not in the object".to_owned()))?;
    T::try_from(map).map_err(|error| problem(chain(&error)))
}

/// Puts these keys in the place of all others of this generation, which no program looks up now.
fn replace<const WORDS: usize>(
    map: &mut HashMap<MapData, [u64; WORDS], u8>,
    keys: &[[u64; WORDS]],
    which: Slot,
) -> Result<(), Error> {
    let problem = |error: &aya::maps::MapError| Error::Setup {
        what: format!("a table of names: {}", chain(error)),
    };
    let of_this =
        |key: &[u64; WORDS]| key.last().is_some_and(|word| word >> 56 == u64::from(which.number()));
    let there: Vec<[u64; WORDS]> = map.keys().filter_map(Result::ok).filter(of_this).collect();
    for key in there.iter().filter(|key| !keys.contains(key)) {
        map.remove(key).map_err(|error| problem(&error))?;
    }
    for key in keys.iter().filter(|key| !there.contains(key)) {
        map.insert(key, 1, 0).map_err(|error| problem(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_powers_of_two() {
        assert_eq!(ring_size(8 << 20).unwrap(), 8 << 20);
        assert_eq!(ring_size(8 << 20 | 1).unwrap_err().exit_code(), 2);
        assert!(ring_size(0).is_err());
        assert!(ring_size(16).is_err());
    }
}
