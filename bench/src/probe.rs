//! Runs of the driver's program on packets of our own (BPF_PROG_TEST_RUN), timed by the kernel.

use crate::empty;
use crate::ground::{Ground, join, pin, thread_in};
use crate::lab::{DEVICE, INSIDE, INSIDE_V6};
use anyhow::{Context, Result, bail};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, loaded_programs};
use serde_json::Value;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

/// The program at the zone's device for what comes in, and an empty one beside it.
pub struct Probe {
    netns: PathBuf,
    program: u32,
    empty: empty::Empty,
    context: [u8; CONTEXT],
}

/// Bytes of `struct __sk_buff` up to `ifindex`, which stands last.
const CONTEXT: usize = 44;

impl Probe {
    /// Finds the program that is attached.
    pub fn at_ingress(ground: &Ground) -> Result<Self> {
        let filters = ground.done(
            true,
            &["tc", "-j", "filter", "show", "dev", DEVICE, "ingress"],
        )?;
        let filters: Value = serde_json::from_str(&filters).context("tc speaks otherwise")?;
        let program =
            find_program(&filters).context("no program is attached to the zone's device")?;
        let links = ground.done(true, &["ip", "-j", "link", "show", DEVICE])?;
        let links: Value = serde_json::from_str(&links).context("ip speaks otherwise")?;
        let device = links[0]["ifindex"]
            .as_u64()
            .context("the device has no number")? as u32;
        let mut context = [0; CONTEXT];
        context[CONTEXT - 4..].copy_from_slice(&device.to_ne_bytes());
        Ok(Self {
            netns: ground.netns(),
            program,
            empty: empty::Empty::load()?,
            context,
        })
    }

    /// Nanoseconds of one run on this packet, the mean of so many.
    pub fn cost(&self, packet: &[u8], runs: u32) -> Result<f64> {
        let packet = packet.to_vec();
        self.with(move |timed| timed.ours(&packet, runs))
    }

    /// Both in turns: ours and the empty program, so many runs each time.
    pub fn beside_empty(&self, packet: &[u8], runs: u32, rounds: usize) -> Result<Vec<f64>> {
        let packet = packet.to_vec();
        self.with(move |timed| {
            (0..rounds)
                .map(|_| Ok(timed.ours(&packet, runs)? - timed.nothing(&packet, runs)?))
                .collect()
        })
    }

    /// One run on each packet, ours and the empty program in turns: nanoseconds of each.
    pub fn each_once(&self, packets: Vec<Vec<u8>>) -> Result<Singles> {
        self.with(move |timed| {
            let mut singles = Singles::default();
            for packet in &packets {
                singles.ours.push(timed.ours(packet, 1)?);
                singles.empty.push(timed.nothing(packet, 1)?);
            }
            Ok(singles)
        })
    }

    /// Runs happen in the zone's namespace, where the device's number means the device, on one processor.
    fn with<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Timed) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (program, empty, context) = (self.program, self.empty.id(), self.context);
        join(thread_in(&self.netns, None, move || {
            pin(1)?;
            what(&Timed {
                program: opened(program)?,
                empty: opened(empty)?,
                context,
            })
        })?)
    }
}

/// Single runs, in nanoseconds.
#[derive(Default)]
pub struct Singles {
    /// Of the driver's program.
    pub ours: Vec<f64>,
    /// Of the empty one: what is measured of the measuring itself.
    pub empty: Vec<f64>,
}

struct Timed {
    program: SchedClassifier,
    empty: SchedClassifier,
    context: [u8; CONTEXT],
}

impl Timed {
    fn ours(&self, packet: &[u8], runs: u32) -> Result<f64> {
        self.run(&self.program, packet, runs)
    }

    fn nothing(&self, packet: &[u8], runs: u32) -> Result<f64> {
        self.run(&self.empty, packet, runs)
    }

    fn run(&self, program: &SchedClassifier, packet: &[u8], runs: u32) -> Result<f64> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.ctx_in = Some(&self.context);
        options.repeat = runs;
        let result = program
            .test_run(options)
            .context("the kernel does not run the program")?;
        Ok(nanoseconds(result.duration))
    }
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

fn opened(id: u32) -> Result<SchedClassifier> {
    for program in loaded_programs() {
        // Others come and go meanwhile.
        let Ok(program) = program else { continue };
        if program.id() == id {
            return SchedClassifier::from_program_info(program, "measured".into())
                .context("the program at the device is of another kind");
        }
    }
    bail!("the program {id} is gone")
}

/// The first `"prog": {"id": …}` of what `tc` says.
fn find_program(said: &Value) -> Option<u32> {
    match said {
        Value::Object(fields) => fields
            .get("prog")
            .and_then(|program| program["id"].as_u64())
            .map(|id| id as u32)
            .or_else(|| fields.values().find_map(find_program)),
        Value::Array(values) => values.iter().find_map(find_program),
        _ => None,
    }
}

/// Ethernet frames with a UDP packet of 18 bytes to the zone's address.
pub struct Udp;
/// See [`Udp`].
pub const UDP: Udp = Udp;

impl Udp {
    /// Over IPv4.
    pub fn v4(&self, source: [u8; 4], from: u16, to: u16) -> Vec<u8> {
        let inside: Ipv4Addr = INSIDE.parse().unwrap_or(Ipv4Addr::LOCALHOST);
        let mut frame = ethernet([8, 0]);
        frame.extend([0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
        frame.extend(source);
        frame.extend(inside.octets());
        datagram(frame, from, to)
    }

    /// Over IPv6.
    pub fn v6(&self, source: [u8; 16], from: u16, to: u16) -> Vec<u8> {
        let inside: Ipv6Addr = INSIDE_V6.parse().unwrap_or(Ipv6Addr::LOCALHOST);
        let mut frame = ethernet([0x86, 0xDD]);
        frame.extend([0x60, 0, 0, 0, 0, 26, 17, 64]);
        frame.extend(source);
        frame.extend(inside.octets());
        datagram(frame, from, to)
    }
}

fn ethernet(carries: [u8; 2]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend(carries);
    frame
}

fn datagram(mut frame: Vec<u8>, from: u16, to: u16) -> Vec<u8> {
    frame.extend(from.to_be_bytes());
    frame.extend(to.to_be_bytes());
    frame.extend([0, 26, 0, 0]);
    frame.extend([b'.'; 18]);
    frame
}

/// Numbers that look random and are the same each time (xorshift).
pub struct Scatter(u64);

impl Scatter {
    /// From this seed on.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
