//! What the article left out: it installs and starts the sample's driver. And it is the device server.
//!
//! It may depend on `channel` (with `aya` behind it) alone. The driver answers the apps; this program only loads it,
//! lets apps in and, as the owner of the driver's *named* event, clears it.
#![cfg(target_os = "linux")]

mod named;
pub mod tracing;

use aya::programs::TracePoint;
use aya::{Ebpf, maps::Map};
use channel::server::{DeviceServer, DoorError, Parts, Policy};
use channel::sys::linux::ObjectMap;
use named::Named;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the named event is looked after.
const TURN: Duration = Duration::from_millis(100);

/// How the driver is to be started.
#[derive(Clone, Debug)]
pub struct Config {
    /// The driver: an eBPF object.
    pub object: PathBuf,
    /// Where the device server shall be.
    pub socket: PathBuf,
    /// The control group whose process creations are reported. `None`: none are.
    pub zone: Option<PathBuf>,
    /// Who may come in.
    pub policy: Policy,
}

/// Why the driver could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The object could not be loaded.
    #[error("can't load the driver {object}: {source}")]
    Load {
        /// Which.
        object: PathBuf,
        /// What aya says of it.
        source: Box<aya::EbpfError>,
    },
    /// The kernel would not call the driver at process creations.
    #[error("can't have the kernel call the driver at process creations: {0}")]
    Attach(String),
    /// The control group is none, or the driver has no map for it.
    #[error("can't take {zone} as the zone: {source}")]
    Zone {
        /// Which.
        zone: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The driver has no named event that could be cleared.
    #[error("can't clear the driver's named event: {0}")]
    Named(io::Error),
    /// The device server.
    #[error(transparent)]
    DeviceServer(#[from] DoorError),
    /// The device server, while it was served.
    #[error(transparent)]
    Channel(#[from] channel::Error),
}

/// The driver, loaded and started. Dropped, it is stopped: apps get their tombstones first, then the kernel unloads it.
#[derive(Debug)]
pub struct Sample {
    server: DeviceServer,
    named: Named,
    _driver: Ebpf,
}

impl Sample {
    /// Installs and starts the driver.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let failed = |source| StartError::Load {
            object: config.object.clone(),
            source: Box::new(source),
        };
        let mut driver = Ebpf::load_file(&config.object).map_err(failed)?;
        if let Some(zone) = &config.zone {
            watch(&driver, zone).map_err(|source| StartError::Zone {
                zone: zone.clone(),
                source,
            })?;
            attach(&mut driver)?;
        }
        let named = Named::of(&driver).map_err(StartError::Named)?;
        let parts = Parts {
            command: Some("operate"),
            named: Some("NAMED"),
        };
        let server = DeviceServer::open(&mut driver, &config.socket, config.policy, parts)?;
        Ok(Self {
            server,
            named,
            _driver: driver,
        })
    }

    /// Serves the apps for a moment. `stop` wakes it.
    pub fn turn(&mut self, stop: BorrowedFd<'_>) -> Result<(), StartError> {
        self.server.turn(TURN, &[stop])?;
        self.named.look_after();
        Ok(())
    }

    /// The device server, to look at its books.
    #[must_use]
    pub fn server(&self) -> &DeviceServer {
        &self.server
    }
}

/// Tells the driver which control group is its zone.
fn watch(driver: &Ebpf, zone: &Path) -> io::Result<()> {
    let Some(Map::CgroupArray(map)) = driver.map("ZONE") else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let group = File::open(zone)?;
    ObjectMap::open(map.fd())?.put(0, &group)
}

/// Has the kernel call the driver at each process creation.
fn attach(driver: &mut Ebpf) -> Result<(), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Attach(error.to_string());
    let program = driver
        .program_mut("process_created")
        .ok_or_else(|| failed(&"the driver has no such program"))?;
    let program: &mut TracePoint = program
        .try_into()
        .map_err(|e: aya::programs::ProgramError| failed(&e))?;
    program.load().map_err(|e| failed(&e))?;
    let attached = tracing::with_tracefs(|| program.attach("sched", "sched_process_exec"));
    attached
        .map_err(|e| failed(&e))?
        .map(drop)
        .map_err(|e| failed(&e))
}
