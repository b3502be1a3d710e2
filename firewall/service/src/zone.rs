//! Protected zone: a network namespace and a control group.

use anyhow::{Context, Result, bail};
use channel::sys::linux::socket;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The zone; the process has entered its network namespace.
pub struct Zone {
    pub cgroup: File,
    /// The kernel's cookie of the zone's network namespace, which no other namespace ever has.
    pub cookie: u64,
}

impl Zone {
    /// Returns the path of the zone's control group by its open descriptor,
    /// whatever becomes of the path it was named by.
    pub fn folder(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.cgroup.as_raw_fd()).into()
    }

    /// Enters the zone's network namespace.
    pub fn enter(netns: Option<&Path>, cgroup: &Path) -> Result<Self> {
        let cgroup = open_cgroup(cgroup)?;
        if let Some(netns) = netns {
            let path = named(netns);
            let file = File::open(&path)
                .with_context(|| format!("can't open the network namespace {}", path.display()))?;
            setns(file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("can't enter {}; run as root", path.display()))?;
        }
        let cookie =
            socket::netns_cookie().context("the kernel does not name its network namespaces")?;
        Ok(Self { cgroup, cookie })
    }
}

pub fn named(netns: &Path) -> PathBuf {
    if netns.components().count() > 1 {
        netns.to_path_buf()
    } else {
        Path::new("/run/netns").join(netns)
    }
}

fn open_cgroup(path: &Path) -> Result<File> {
    if !path.join("cgroup.procs").is_file() || !path.join("cgroup.controllers").is_file() {
        bail!(
            "{} is no control group of version 2; make one below the cgroup2 mount",
            path.display()
        );
    }
    File::open(path).with_context(|| format!("can't open the control group {}", path.display()))
}
