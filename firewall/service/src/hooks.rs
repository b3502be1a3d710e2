//! The driver's hooks in the kernel: put there once, kept by their pins, and taken over by the next service with no moment
//! in between in which nobody judges.
//!
//! - The control group's hooks are links: another program is put into a link by one update.
//! - The filters at a device stand at a fixed place, and are replaced there by one message.
//! - A tracepoint's link can't be updated: the new one is attached first and then takes the old one's name. In between a
//!   process is seen by both; but then no app is attached, for the door has released those of the service before and lets
//!   nobody in yet. So nothing is reported twice, and whether the service has ended is noted by whoever sees it.

use crate::pins::Pins;
use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle};
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, Program, ProgramError,
    SchedClassifier, TcAttachType, TracePoint, tc,
};
use channel::sys::linux::bpf;
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

/// The place of our filters on a device: early, and always the same, so that an upgrade finds them.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 0x6B);

/// The filters of a device, by name.
const FILTERS: [(&str, TcAttachType); 2] = [
    ("zone_ingress", TcAttachType::Ingress),
    ("zone_egress", TcAttachType::Egress),
];
/// The control group's hooks that see packets.
const SOCKETS: [(&str, CgroupSkbAttachType); 2] = [
    ("zone_socket_egress", CgroupSkbAttachType::Egress),
    ("zone_socket_ingress", CgroupSkbAttachType::Ingress),
];
const SOCKET_MADE: &str = "socket_made";
const TRACEPOINTS: [(&str, &str); 2] = [
    ("program_started", "sched_process_exec"),
    ("process_ended", "sched_process_exit"),
];

/// How we attach to a control group: nobody else's program there goes before ours.
const ALONE: CgroupAttachMode = CgroupAttachMode::Single;
/// What is attached nowhere.
const CLOCK: &str = "read_clock";

/// Has the kernel check every program, before anything is attached.
pub fn load(object: &mut Ebpf) -> Result<()> {
    for (name, _) in FILTERS {
        let program: &mut SchedClassifier = program(object, name)?;
        program.load().with_context(|| refused(name))?;
    }
    for (name, _) in SOCKETS {
        let program: &mut CgroupSkb = program(object, name)?;
        program.load().with_context(|| refused(name))?;
    }
    let clock: &mut SchedClassifier = program(object, CLOCK)?;
    clock.load().with_context(|| refused(CLOCK))?;
    let makers: &mut CgroupSock = program(object, SOCKET_MADE)?;
    makers.load().with_context(|| refused(SOCKET_MADE))?;
    for (name, _) in TRACEPOINTS {
        let program: &mut TracePoint = program(object, name)?;
        program.load().with_context(|| refused(name))?;
    }
    Ok(())
}

/// Begins to watch who makes sockets in the zone, or takes that over from an earlier service.
pub fn watch_makers(object: &mut Ebpf, pins: &Pins, cgroup: &File) -> Result<()> {
    let makers: &mut CgroupSock = program(object, SOCKET_MADE)?;
    if !taken_over(pins, SOCKET_MADE, cgroup, makers.fd()?.as_fd())? {
        let link = makers
            .attach(cgroup, ALONE)
            .and_then(|id| makers.take_link(id));
        keep(
            pins,
            SOCKET_MADE,
            link.context("watching who makes sockets")?.try_into(),
        )?;
    }
    Ok(())
}

/// Attaches what judges packets and tells of processes in the whole zone, or takes over what an earlier service left there.
pub fn attach(object: &mut Ebpf, pins: &Pins, cgroup: &File) -> Result<()> {
    for (name, event) in TRACEPOINTS {
        let program: &mut TracePoint = program(object, name)?;
        let link = program
            .attach("sched", event)
            .and_then(|id| program.take_link(id));
        keep(
            pins,
            name,
            link.with_context(|| format!("watching {event}"))?
                .try_into(),
        )?;
    }
    for (name, side) in SOCKETS {
        let program: &mut CgroupSkb = program(object, name)?;
        if !taken_over(pins, name, cgroup, program.fd()?.as_fd())? {
            let link = program
                .attach(cgroup, side, ALONE)
                .and_then(|id| program.take_link(id));
            keep(
                pins,
                name,
                link.context("attaching to the zone's control group")?
                    .try_into(),
            )?;
        }
    }
    Ok(())
}

/// What time it is on the driver's clock of connections: see [`firewall_abi::firewall::Ticks`].
pub fn clock_ns(object: &Ebpf) -> Result<u64> {
    let failed = "asking the driver what time it is";
    let clock: &SchedClassifier = object.program(CLOCK).context(failed)?.try_into()?;
    let mut frame = [[0; 8]; 2];
    bpf::run(clock.fd()?.as_fd(), frame.as_flattened_mut()).context(failed)?;
    Ok(u64::from_ne_bytes(frame[0]))
}

/// Puts the filters on a device, in the place of those that are there. Returns whether the device had no place for filters
/// before.
pub fn filter(object: &mut Ebpf, device: &str) -> Result<bool> {
    let made = match tc::qdisc_add_clsact(device) {
        Ok(()) => true,
        Err(error) if raised(&error, io::ErrorKind::AlreadyExists) => false,
        Err(error) => return Err(error).context("can't add the clsact qdisc"),
    };
    for (name, side) in FILTERS {
        let program: &mut SchedClassifier = program(object, name)?;
        let place = SchedClassifierLink::attached(device, side, PRIORITY, HANDLE, None)?;
        let id = match program.attach_to_link(place) {
            Err(error) if nothing_there(&error) => {
                let options = NlOptions {
                    priority: PRIORITY,
                    handle: HANDLE,
                    classid: None,
                };
                program.attach_with_options(device, side, TcAttachOptions::Netlink(options))
            }
            replaced => replaced,
        };
        let link = program.take_link(id.with_context(|| format!("attaching {name}"))?)?;
        // It stays when we go.
        std::mem::forget(link);
    }
    Ok(made)
}

/// Takes our filters off a device, whatever release put them there. Returns how many there were.
pub fn unfilter(device: &str) -> Result<usize> {
    let mut found = 0;
    for (name, side) in FILTERS {
        match tc::qdisc_detach_program(device, side, name) {
            Ok(()) => found += 1,
            Err(error) if nothing(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("taking {name} off {device}")),
        }
    }
    Ok(found)
}

/// Puts the program into the link that is kept for it. False: none is, or it is at another control group.
fn taken_over(pins: &Pins, name: &str, cgroup: &File, program: BorrowedFd<'_>) -> Result<bool> {
    let failed = || format!("taking over the hook {name}");
    let Some(link) = pins.link(name).with_context(failed)? else {
        return Ok(false);
    };
    let here = Some(cgroup.metadata().with_context(failed)?.ino());
    if bpf::link_cgroup(link.as_fd()).with_context(failed)? != here {
        return Ok(false);
    }
    bpf::update_link(link.as_fd(), program).with_context(failed)?;
    Ok(true)
}

fn keep<E: std::error::Error + Send + Sync + 'static>(
    pins: &Pins,
    name: &str,
    link: Result<FdLink, E>,
) -> Result<()> {
    pins.keep_link(
        name,
        link.with_context(|| format!("this kernel's {name} hook is no link; it needs Linux 6.1"))?,
    )
}

fn program<'a, P>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let missing = || format!("the driver's object has no program {name}: another release?");
    Ok(object.program_mut(name).with_context(missing)?.try_into()?)
}

fn refused(name: &str) -> String {
    format!("the kernel did not take the program {name}; Gatebell needs Linux 6.1 or later")
}

/// No filter stands there that could be replaced.
fn nothing_there(error: &ProgramError) -> bool {
    raised(error, io::ErrorKind::NotFound)
}

/// There is no such filter, or nothing for filters to stand at, or the device itself is gone.
fn nothing(error: &tc::TcError) -> bool {
    match error {
        tc::TcError::IoError(error) => {
            error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
        }
        tc::TcError::NetlinkError(error) => {
            matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::EINVAL | libc::ENODEV)
            )
        }
        _ => false,
    }
}

/// Whether an error of this kind is behind it.
fn raised(error: &(dyn std::error::Error + 'static), kind: io::ErrorKind) -> bool {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if this
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == kind)
        {
            return true;
        }
        cause = this.source();
    }
    false
}
