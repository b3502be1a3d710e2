//! Cost of a packet in the programs that see it: by the kernel's statistics of each program, and by a stopwatch of two
//! programs around whatever stands between them in the IP stack, ours or nftables.

use crate::bpf::{EACH, Instruction, Numbers, Place, Program};
use crate::gatebell::Gatebell;
use crate::ground::{Ground, join, thread_in};
use anyhow::{Context, Result, ensure};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

/// `NF_INET_PRE_ROUTING`, `NF_INET_LOCAL_IN` and `NF_INET_LOCAL_OUT`.
pub const PRE_ROUTING: u32 = 0;
const LOCAL_IN: u32 = 1;
/// See [`PRE_ROUTING`].
pub const LOCAL_OUT: u32 = 3;
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const V4: u32 = 2;
const V6: u32 = 10;
/// Right before ours.
const BEFORE_OURS: i32 = 49;

const ACCEPT: [Instruction; 2] = [
    Instruction::of(0xB7, 0, 0, 0, 1),
    Instruction::of(0x95, 0, 0, 0, 0),
];

/// The service's programs, counted by the kernel, and an empty one that stands in the IP stack beside them.
pub struct Probe {
    ids: BTreeSet<u32>,
    empty: u32,
    _standing: (Program, Vec<OwnedFd>),
    _counts: OwnedFd,
}

impl Probe {
    /// Has the kernel count from now on what each program takes, which costs each run something.
    pub fn of(gatebell: &Gatebell, ground: &Ground) -> Result<Self> {
        let program = Program::load(&ACCEPT)?;
        let empty = program.id()?;
        let places = [(V4, LOCAL_IN), (V4, LOCAL_OUT), (V6, LOCAL_IN)];
        let standing = stand(ground, program, places, BEFORE_OURS)?;
        Ok(Self {
            ids: gatebell.programs(),
            empty,
            _standing: standing,
            _counts: enable_stats(Stats::RunTime).context("this kernel counts no programs")?,
        })
    }

    /// Returns the costs of the programs while something was done.
    pub fn over(&self, what: impl FnOnce() -> Result<()>) -> Result<Costs> {
        let before = self.read();
        what()?;
        let mut costs = self.read();
        for (name, taken) in &mut costs.0 {
            let before = before.0.get(name).copied().unwrap_or_default();
            taken.runs -= before.runs;
            taken.ns -= before.ns;
        }
        Ok(costs)
    }

    fn read(&self) -> Costs {
        let mut costs = Costs::default();
        // Others come and go meanwhile.
        for program in loaded_programs().flatten() {
            let name = if program.id() == self.empty {
                EMPTY
            } else if self.ids.contains(&program.id()) {
                program.name_as_str().unwrap_or_default()
            } else {
                continue;
            };
            let taken = costs.0.entry(name.to_owned()).or_default();
            taken.runs += program.run_count() as f64;
            taken.ns += program.run_time().as_nanos() as f64;
        }
        costs
    }
}

/// No program of the driver's has such a name.
const EMPTY: &str = "";
/// Program that is called in the IP stack for inbound packets, and goes on with the one that judges.
pub const COMES_IN: &str = "enter_local_in";
/// Program for outbound packets; see [`COMES_IN`].
pub const GOES_OUT: &str = "enter_local_out";
/// Program that is called where a socket gets a packet.
pub const AT_SOCKET: &str = "zone_socket";

/// Costs of programs, by name.
#[derive(Default)]
pub struct Costs(BTreeMap<String, Cost>);

#[derive(Clone, Copy, Default)]
struct Cost {
    runs: f64,
    ns: f64,
}

impl Costs {
    /// Nanoseconds of one run of these programs, more than of one of the empty one.
    pub fn above_empty(&self, names: &[&str]) -> Result<f64> {
        let mean = |names: &[&str]| {
            let of = names.iter().filter_map(|name| self.0.get(*name));
            let (runs, ns) = of.fold((0.0, 0.0), |(runs, ns), cost| {
                (runs + cost.runs, ns + cost.ns)
            });
            ensure!(runs > 0.0, "no packet came by {names:?}");
            Ok(ns / runs)
        };
        Ok(mean(names)? - mean(&[EMPTY])?)
    }

    /// The runs and the nanoseconds of each program that ran, the dearest first;
    /// of the empty one's the same number of runs is left out.
    pub fn each(&self) -> Vec<(&str, f64, f64)> {
        let empty = self.0.get(EMPTY).copied().unwrap_or_default();
        let nothing = empty.ns / empty.runs.max(1.0);
        let ran = self
            .0
            .iter()
            .filter(|(name, cost)| !name.is_empty() && cost.runs > 0.0);
        let mut each: Vec<_> = ran
            .map(|(name, cost)| (name.as_str(), cost.runs, cost.ns - nothing * cost.runs))
            .collect();
        each.sort_by(|a, b| b.2.total_cmp(&a.2));
        each
    }
}

/// Two programs in the zone's IP stack: the first notes when a packet of IPv4 comes by,
/// the second how long ago that was.
pub struct Stopwatch {
    numbers: Numbers,
    processors: u32,
    _standing: [(Program, Vec<OwnedFd>); 2],
}

/// The longest that a program takes: what took longer was interrupted by another program.
const INTERRUPTED_NS: i32 = 500_000;

impl Stopwatch {
    /// Attaches the stopwatch at a hook, around the programs between two priorities.
    pub fn around(ground: &Ground, hook: u32, from: i32, to: i32) -> Result<Self> {
        let processors = std::thread::available_parallelism()?.get() as u32;
        let numbers = Numbers::make(processors)?;
        let first = Program::load(&start(numbers.descriptor()))?;
        let second = Program::load(&stop(numbers.descriptor()))?;
        let standing = [
            stand(ground, first, [(V4, hook)], from)?,
            stand(ground, second, [(V4, hook)], to)?,
        ];
        Ok(Self {
            numbers,
            processors,
            _standing: standing,
        })
    }

    /// Nanoseconds from the one to the other, the mean of the packets that come by while something is done.
    pub fn over(&self, what: impl FnOnce() -> Result<()>) -> Result<f64> {
        let (ns, packets) = self.read()?;
        what()?;
        let (later_ns, later_packets) = self.read()?;
        ensure!(later_packets > packets, "no packet came by the stopwatch");
        Ok((later_ns - ns) as f64 / (later_packets - packets) as f64)
    }

    fn read(&self) -> Result<(u64, u64)> {
        let mut sum = (0, 0);
        for processor in 0..self.processors {
            let [_, ns, packets]: [u64; EACH] = self.numbers.read(processor)?;
            sum = (sum.0 + ns, sum.1 + packets);
        }
        Ok(sum)
    }
}

/// Puts a program at these places, in the zone's network namespace.
fn stand<const PLACES: usize>(
    ground: &Ground,
    program: Program,
    places: [(u32, u32); PLACES],
    priority: i32,
) -> Result<(Program, Vec<OwnedFd>)> {
    join(thread_in(&ground.netns(), None, move || {
        let stands = |(family, hook)| {
            program.stand(Place {
                family,
                hook,
                priority,
            })
        };
        let links = places.into_iter().map(stands).collect::<Result<_>>()?;
        Ok((program, links))
    })?)
}

/// `r6` is this processor's numbers, of the map with this descriptor; where there are none,
/// it goes on behind `left` more instructions.
fn find(map: i32, left: i16) -> [Instruction; 9] {
    const fn of(code: u8, to: u8, from: u8, offset: i16, number: i32) -> Instruction {
        Instruction::of(code, to, from, offset, number)
    }
    [
        of(0x85, 0, 0, 0, GET_PROCESSOR),
        of(0x63, 10, 0, -4, 0),
        of(0xBF, 2, 10, 0, 0),
        of(0x07, 2, 0, 0, -4),
        of(0x18, 1, 1, 0, map),
        of(0, 0, 0, 0, 0),
        of(0x85, 0, 0, 0, LOOK_UP),
        of(0x15, 0, 0, left + 1, 0),
        of(0xBF, 6, 0, 0, 0),
    ]
}

/// Helpers, by their numbers.
const LOOK_UP: i32 = 1;
const GET_NS: i32 = 5;
const GET_PROCESSOR: i32 = 8;

/// Writes down what time it is.
fn start(map: i32) -> Vec<Instruction> {
    let note = [
        Instruction::of(0x85, 0, 0, 0, GET_NS),
        Instruction::of(0x7B, 6, 0, 0, 0),
    ];
    [&find(map, note.len() as i16)[..], &note, &ACCEPT].concat()
}

/// Adds up how long ago that was, and counts it, once.
fn stop(map: i32) -> Vec<Instruction> {
    const fn of(code: u8, to: u8, from: u8, offset: i16, number: i32) -> Instruction {
        Instruction::of(code, to, from, offset, number)
    }
    let now = [of(0x85, 0, 0, 0, GET_NS), of(0xBF, 7, 0, 0, 0)];
    let sum = [
        // What was noted is taken.
        of(0x79, 1, 6, 0, 0),
        of(0xB7, 2, 0, 0, 0),
        of(0x7B, 6, 2, 0, 0),
        of(0x15, 1, 0, 8, 0),
        of(0x1F, 7, 1, 0, 0),
        of(0x25, 7, 0, 6, INTERRUPTED_NS),
        of(0x79, 1, 6, 8, 0),
        of(0x0F, 1, 7, 0, 0),
        of(0x7B, 6, 1, 8, 0),
        of(0x79, 1, 6, 16, 0),
        of(0x07, 1, 0, 0, 1),
        of(0x7B, 6, 1, 16, 0),
    ];
    [&now[..], &find(map, sum.len() as i16), &sum, &ACCEPT].concat()
}
