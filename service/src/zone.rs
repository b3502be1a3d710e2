//! What is protected: a network namespace with its devices, and a control group.

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The zone; the process has entered its network namespace.
pub struct Zone {
    pub devices: Vec<Device>,
    pub cgroup: File,
}

/// A device of the zone.
pub struct Device {
    pub name: String,
    pub index: u32,
    /// Bytes before the IP header.
    pub link_header: u32,
}

/// Where the kernel lists its tracepoints.
const TRACEPOINTS: &str = "/sys/kernel/tracing";
/// `ARPHRD_ETHER` and its header's length.
const ETHERNET: &str = "1";
const ETHERNET_HEADER: u32 = 14;

impl Zone {
    /// Enters the zone's network namespace, and a mount namespace of our own: what we mount, nobody else sees.
    pub fn enter(netns: Option<&Path>, devices: &[String], cgroup: &Path) -> Result<Self> {
        let cgroup = open_cgroup(cgroup)?;
        if let Some(netns) = netns {
            let path = named(netns);
            let file = File::open(&path)
                .with_context(|| format!("can't open the network namespace {}", path.display()))?;
            setns(file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("can't enter {}; run as root", path.display()))?;
        }
        mounts().context("can't mount what the kernel tells of itself; run as root")?;
        let devices = devices.iter().map(|name| device(name)).collect::<Result<_>>()?;
        Ok(Self { devices, cgroup })
    }
}

fn named(netns: &Path) -> PathBuf {
    if netns.components().count() > 1 { netns.to_path_buf() } else { Path::new("/run/netns").join(netns) }
}

fn open_cgroup(path: &Path) -> Result<File> {
    if !path.join("cgroup.procs").is_file() || !path.join("cgroup.controllers").is_file() {
        bail!("{} is no control group of version 2; make one below the cgroup2 mount", path.display());
    }
    File::open(path).with_context(|| format!("can't open the control group {}", path.display()))
}

/// sysfs shows the devices of the namespace it was mounted in; tracepoints are found by their files.
fn mounts() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)?;
    mount(Some("tracefs"), TRACEPOINTS, Some("tracefs"), MsFlags::empty(), none)
}

fn device(name: &str) -> Result<Device> {
    let about = Path::new("/sys/class/net").join(name);
    let read = |what: &str| -> Result<String> {
        let text = std::fs::read_to_string(about.join(what))
            .with_context(|| format!("the zone has no device {name}; `ip link` shows those it has"))?;
        Ok(text.trim().to_owned())
    };
    let index = read("ifindex")?.parse().context("a device's number is no number")?;
    let link_header = if read("type")? == ETHERNET { ETHERNET_HEADER } else { 0 };
    Ok(Device { name: name.to_owned(), index, link_header })
}
