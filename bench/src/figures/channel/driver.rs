//! The driver that the channel is measured with, loaded and served in this very process: `bench/driver`.

use crate::bpf;
use crate::ground::{go_on, join, pin};
use crate::load::Done;
use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::maps::Map;
use aya::programs::SchedClassifier;
use channel::server::{DeviceServer, Parts, Policy};
use channel::sys::linux::{Linux, ObjectMap, TypedMap, bpf::create_ring};
use channel::{Attachment, Kind, Mask, Pace};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of a ring.
pub const RING: u32 = 1 << 20;
/// Kind of the driver's records.
const RECORD: Kind = Kind::new::<0>();
/// The programs that make a record each time they are run.
const PROGRAMS: [&str; 6] = [
    "channel_64",
    "channel_1024",
    "bare_64",
    "bare_1024",
    "silent_64",
    "silent_1024",
];
const BARE: &str = "BARE";
const LOST: &str = "LOST";

/// The loaded driver and its device. Dropped, both are gone.
pub struct Driver {
    programs: BTreeMap<&'static str, OwnedFd>,
    bare: ObjectMap<OwnedFd>,
    lost: TypedMap<OwnedFd, u32, u64>,
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<Result<()>>>,
}

/// Pace at which records are made.
#[derive(Clone, Copy, Debug)]
pub enum Writing {
    /// Number of records, one right after the other.
    Flood(u32),
    /// Number of records, and the time between two.
    Beat(u32, Duration),
}

/// Records that were made.
pub struct Made {
    /// Number of records, and the time that they took.
    pub done: Done,
    /// Mean time of one run of the program, in nanoseconds.
    pub program_ns: f64,
}

impl Driver {
    /// Loads it, and serves its device in this folder.
    pub fn start(object: &Path, folder: &Path) -> Result<Self> {
        let mut loaded = Ebpf::load_file(object)
            .with_context(|| format!("can't load the driver {}", object.display()))?;
        let programs = PROGRAMS
            .into_iter()
            .map(|name| Ok((name, program(&mut loaded, name)?)))
            .collect::<Result<_>>()?;
        let Some(Map::ArrayOfMaps(bare)) = loaded.map(BARE) else {
            bail!("the driver has no map {BARE}");
        };
        let bare = ObjectMap::open(bare.fd().as_fd().try_clone_to_owned()?)?;
        let Some(Map::Array(lost)) = loaded.map(LOST) else {
            bail!("the driver has no map {LOST}");
        };
        let lost = TypedMap::open(lost.fd().as_fd().try_clone_to_owned()?)?;
        let (socket, stop) = (
            folder.join("channel.sock"),
            Arc::new(AtomicBool::new(false)),
        );
        let mut server =
            DeviceServer::open(&mut loaded, &socket, Policy::default(), Parts::default())?;
        let asked = stop.clone();
        let server = std::thread::spawn(move || {
            // The programs live as long as they are served.
            let _loaded = loaded;
            // Pairs with the release store of the drop; nothing but the wish itself is handed over.
            while !asked.load(Ordering::Acquire) {
                server.turn(Duration::from_millis(20), &[])?;
            }
            Ok(())
        });
        Ok(Self {
            programs,
            bare,
            lost,
            socket,
            stop,
            server: Some(server),
        })
    }

    /// Attaches an app.
    pub fn attach(&self, pace: Pace) -> Result<Attachment<Linux>> {
        let attached = channel::open(&self.socket)?.attach(RING, Mask::of(RECORD))?;
        Ok(attached.with_pace(pace))
    }

    /// Puts so many bare rings into their places.
    pub fn rings(&self, count: usize) -> Result<Rings<'_>> {
        let mut rings = Rings {
            map: &self.bare,
            lost: &self.lost,
            rings: Vec::new(),
        };
        for place in 0..count {
            let ring = create_ring(RING).context("the kernel makes no ring")?;
            rings.lost.set(&(place as u32), &0)?;
            rings.map.put(place as u32, &ring)?;
            rings.rings.push(ring);
        }
        Ok(rings)
    }

    /// Has a program make records, on processor 0.
    pub fn make(&self, program: &str, writing: Writing) -> Result<Made> {
        go_on()?;
        let program = self.programs.get(program);
        let program = program.context("the driver has no such program")?;
        let program = program.try_clone()?;
        join(std::thread::spawn(move || {
            pin(0)?;
            match writing {
                Writing::Flood(count) => at_once(&program, count),
                Writing::Beat(count, pause) => one_by_one(&program, count, pause),
            }
        }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(server) = self.server.take() {
            let _ended = server.join();
        }
    }
}

fn program(loaded: &mut Ebpf, name: &str) -> Result<OwnedFd> {
    let program = loaded.program_mut(name);
    let program = program.with_context(|| format!("the driver has no program {name}"))?;
    let program: &mut SchedClassifier = program.try_into()?;
    program
        .load()
        .with_context(|| format!("the kernel refused the program {name}"))?;
    Ok(program.fd()?.as_fd().try_clone_to_owned()?)
}

fn at_once(program: &OwnedFd, count: u32) -> Result<Made> {
    let start = Instant::now();
    let mean = bpf::run(program.as_fd(), count)?;
    Ok(Made {
        done: Done::since(start, count.into()),
        program_ns: mean.as_nanos() as f64,
    })
}

/// Between two it looks at the clock, and never sleeps: a processor that wakes first would be measured too.
fn one_by_one(program: &OwnedFd, count: u32, pause: Duration) -> Result<Made> {
    let (start, mut took) = (Instant::now(), Duration::ZERO);
    for number in 0..count {
        while start.elapsed() < pause * number {
            std::hint::spin_loop();
        }
        took += bpf::run(program.as_fd(), 1)?;
    }
    Ok(Made {
        done: Done::since(start, count.into()),
        program_ns: took.as_nanos() as f64 / f64::from(count.max(1)),
    })
}

/// Bare rings in their places. Dropped, they are taken out.
pub struct Rings<'a> {
    map: &'a ObjectMap<OwnedFd>,
    lost: &'a TypedMap<OwnedFd, u32, u64>,
    /// The rings.
    pub rings: Vec<OwnedFd>,
}

impl Rings<'_> {
    /// Records that found no room in the ring of this place, as the program counted them.
    pub fn lost(&self, place: usize) -> Result<u64> {
        let lost = self.lost.get(&(place as u32))?;
        lost.with_context(|| format!("nobody counts what ring {place} has no room for"))
    }
}

impl Drop for Rings<'_> {
    fn drop(&mut self) {
        for place in 0..self.rings.len() {
            let _gone = self.map.remove(place as u32);
        }
    }
}
