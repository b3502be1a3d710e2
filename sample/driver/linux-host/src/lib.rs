//! Loader of the sample's driver, which the article left out, and its device server.
//!
//! It may depend on `channel` (with `aya` behind it) alone. The driver answers the apps; this program only loads it,
//! lets apps in and, as the owner of the driver's *named* event, clears it.
#![cfg(target_os = "linux")]

mod named;
pub mod tracing;

use aya::programs::TracePoint;
use aya::{Ebpf, maps::Map};
use channel::server::{DeviceServer, DeviceServerError, Parts, Policy};
use channel::sys::linux::ObjectMap;
use named::Named;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time between two looks after the named event.
const TURN: Duration = Duration::from_millis(100);

/// Configuration of the driver's start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Path of the driver: an eBPF object.
    pub object: PathBuf,
    /// Path of the device server's socket.
    pub socket: PathBuf,
    /// Control group whose process creations are reported, or `None` if none are.
    pub zone: Option<PathBuf>,
    /// Limits of the device server.
    pub policy: Policy,
}

/// Error of starting or serving the driver.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The object could not be loaded.
    #[error("can't load the driver {object}: {source}")]
    Load {
        /// Path of the object.
        object: PathBuf,
        /// Error of aya.
        source: Box<aya::EbpfError>,
    },
    /// The kernel would not call the driver at process creations.
    #[error("can't have the kernel call the driver at process creations: {0}")]
    Attach(String),
    /// The control group does not exist, or the driver has no map for it.
    #[error("can't take {zone} as the zone: {source}")]
    Zone {
        /// Path of the control group.
        zone: PathBuf,
        /// Error of the kernel.
        source: io::Error,
    },
    /// The driver has no named event that could be cleared.
    #[error("can't clear the driver's named event: {0}")]
    Named(io::Error),
    /// The device server could not be opened.
    #[error(transparent)]
    DeviceServer(#[from] DeviceServerError),
    /// The device server failed while it served.
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

    /// Returns the device server, to look at its counters.
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
