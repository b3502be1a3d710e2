//! The driver's hooks in the kernel: put there once, kept by their pins, and taken over by the next service with no
//! moment in between in which nobody judges.
//!
//! - In the IP stack (netfilter) stand programs that go on with those of a table: another one takes its place there by
//!   one update. The hooks themselves stay.
//! - The control group's hooks are links: another program is put into a link by one update.
//! - A tracepoint's link can't be updated: the new one is attached first and then takes the old one's name. In between
//!   a process is seen by both. As a service starts no app is attached, for the device server has released those of the
//!   service before and lets nobody in yet: nothing is reported twice. Where such a link is put back while apps are
//!   attached, a process that begins or ends in between may be.
//!   Whether the service has ended either program notes that sees it.

use crate::checking::Check;
use crate::netfilter::LoadedProgram;
use crate::pins::Pins;
use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, CgroupSockAddr, Program,
    ProgramError, RawTracePoint, SchedClassifier,
};
use channel::sys::linux::ObjectMap;
use channel::sys::linux::bpf::{self, NetfilterPlace};
use firewall_abi::firewall::FlowKey;
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use zerocopy::IntoBytes;

/// Hooks of the IP stack where packets are judged: `NF_INET_`, the program at the hook, and the one it goes on with,
/// whose index in the table is its index here.
const STACK: [(u32, &str, &str); 3] = [
    (1, "enter_local_in", "zone_local_in"),
    (2, "enter_forward", "zone_forward"),
    (3, "enter_local_out", "zone_local_out"),
];
/// The program that hands on what passes and carries an answer of DNS:
/// the indices behind theirs in that table are its own.
const DNS_ANSWER: &str = "zone_dns_answer";
const DNS_QUESTION: &str = "zone_dns_question";
/// The one that hands on what was rejected.
const REJECTED: &str = "zone_rejected";
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`, by what their links are called.
const FAMILIES: [(u32, &str); 2] = [(2, "ipv4"), (10, "ipv6")];
/// Behind whatever translates what comes in and goes out (-100), ahead of what does so last (100), and not in others'
/// usual place. Only one program may stand at each: an upgrade that brings other tables takes the
/// second while the first is on.
const PRIORITIES: [i32; 2] = [50, 60];

/// The control group's hooks that see who makes a socket or names its own address, and when a socket is released.
const SOCKETS: [&str; 4] = [
    "socket_made",
    "socket_bound4",
    "socket_bound6",
    "socket_released",
];
/// Program that judges what depends on the receiver.
const RECEIVER: &str = "zone_socket";
/// Programs that see connects and sends.
const CALLS: [&str; 4] = ["connects4", "connects6", "sends4", "sends6"];
const TRACEPOINTS: [(&str, &str); 2] = [
    ("program_started", "sched_process_exec"),
    ("process_ended", "sched_process_exit"),
];

/// Mode in which the service attaches to a control group: nobody else's program there goes before ours.
const ALONE: CgroupAttachMode = CgroupAttachMode::Single;
/// Programs that are attached nowhere: the service runs them. This one reads the clock by which connections grow old,
const READ_CLOCK: &str = "read_clock";
/// this one forgets a connection if it is silent,
const FORGET_SILENT: &str = "forget_silent";
/// this one has the rules asked again about a connection,
const RECLASSIFY: &str = "reclassify";
/// and this one reports what a connection has carried.
const TELL_CARRIED: &str = "tell_carried";

/// Each program that aya keeps, to be checked by the kernel. Two more, of the channel's, are the device server's.
pub fn checks(object: &mut Ebpf) -> Result<Vec<Check<'_, Option<LoadedProgram>>>> {
    let tracepoints = TRACEPOINTS.map(|(name, _)| name);
    let names: Vec<&str> = [
        &SOCKETS[..],
        &CALLS,
        &[
            RECEIVER,
            READ_CLOCK,
            FORGET_SILENT,
            RECLASSIFY,
            TELL_CARRIED,
        ],
        &tracepoints,
    ]
    .concat();
    for name in &names {
        object.program(name).with_context(|| missing(name))?;
    }
    let programs = object.programs_mut();
    let ours = programs.filter(|(name, _)| names.contains(name));
    let check = |(name, program): (&'_ str, _)| -> Check<'_, _> {
        let name = name.to_owned();
        Box::new(move || {
            load(program).with_context(|| refused(&name))?;
            Ok(None)
        })
    };
    Ok(ours.map(check).collect())
}

fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::CgroupSock(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        Program::RawTracePoint(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Begins to watch whose sockets are in the zone, or takes that over from an earlier service.
pub fn watch_owners(object: &mut Ebpf, pins: &Pins, cgroup: &File) -> Result<()> {
    for name in SOCKETS {
        let program: &mut CgroupSock = program(object, name)?;
        if !taken_over(pins, name, cgroup, program.fd()?.as_fd())? {
            let link = program
                .attach(cgroup, ALONE)
                .and_then(|id| program.take_link(id));
            let link = link.with_context(|| format!("attaching {name} to the control group"))?;
            keep(pins, name, link.try_into())?;
        }
    }
    for name in CALLS {
        let program: &mut CgroupSockAddr = program(object, name)?;
        if !taken_over(pins, name, cgroup, program.fd()?.as_fd())? {
            let link = program
                .attach(cgroup, ALONE)
                .and_then(|id| program.take_link(id));
            let link = link.with_context(|| format!("attaching {name} to the control group"))?;
            keep(pins, name, link.try_into())?;
        }
    }
    Ok(())
}

/// Has what a socket gets judged there, if that depends on who it is; or takes that over from an earlier service.
pub fn judge_receivers(object: &mut Ebpf, pins: &Pins, cgroup: &File) -> Result<()> {
    let receiver: &mut CgroupSkb = program(object, RECEIVER)?;
    if !taken_over(pins, RECEIVER, cgroup, receiver.fd()?.as_fd())? {
        let link = receiver
            .attach(cgroup, CgroupSkbAttachType::Ingress, ALONE)
            .and_then(|id| receiver.take_link(id));
        let link = link.context("attaching to what the zone's sockets get")?;
        keep(pins, RECEIVER, link.try_into())?;
    }
    Ok(())
}

/// Attaches what tells of processes, in the place of what an earlier service left there.
pub fn watch_processes(object: &mut Ebpf, pins: &Pins) -> Result<()> {
    for (name, event) in TRACEPOINTS {
        let program: &mut RawTracePoint = program(object, name)?;
        let link = program.attach(event).and_then(|id| program.take_link(id));
        let link = link.with_context(|| format!("watching {event}"))?;
        pins.keep_link(name, link.into())?;
    }
    Ok(())
}

/// Programs at the hooks of the IP stack, with the pins of their links.
pub struct Stack<'a> {
    /// Programs at the hooks, and those that they go on with.
    pub programs: &'a [LoadedProgram],
    /// Folder in which the programs' links are pinned.
    pub pins: &'a Pins,
    /// Links that could not be kept. They hold as long as the service does.
    pub held: &'a mut Vec<(String, OwnedFd)>,
    /// Links that are kept, and by whose hooks no packet comes.
    pub silent: &'a [String],
}

/// Has packets judged by these programs: those that stand in the IP stack go on with them from now on,
/// and what is missing there is attached.
pub fn judge(table: &ObjectMap<impl AsFd>, stack: Stack<'_>) -> Result<()> {
    for (index, name) in table_of_programs() {
        table
            .put(index, &found(stack.programs, name)?.program)
            .with_context(|| format!("putting {name} in its place"))?;
    }
    stand_in_stack(stack).map(drop)
}

/// Returns the index and name of each program in the table.
fn table_of_programs() -> impl Iterator<Item = (u32, &'static str)> {
    let judges = STACK.iter().map(|(_, _, judge)| *judge);
    (0..).zip(judges.chain([DNS_ANSWER, DNS_QUESTION, REJECTED]))
}

/// Looks whether everything is where it was put, and puts it there again. Returns what was gone.
pub fn heal(
    object: &mut Ebpf,
    table: &ObjectMap<impl AsFd>,
    stack: Stack<'_>,
    cgroup: &File,
) -> Result<Vec<String>> {
    let (programs, pins) = (stack.programs, stack.pins);
    let mut gone = Vec::new();
    for (index, name) in table_of_programs() {
        let program = found(programs, name)?;
        let stands = table.id(index).context("reading who judges")?;
        if stands != Some(program.id) {
            table
                .put(index, &program.program)
                .with_context(|| format!("putting {name} in its place"))?;
            gone.push(name.to_owned());
        }
    }
    gone.extend(stand_in_stack(stack)?);
    let here = Some(cgroup.metadata()?.ino());
    for name in SOCKETS.into_iter().chain(CALLS).chain([RECEIVER]) {
        let link = pins.link(name)?;
        let at = link
            .map(|link| bpf::link_cgroup(link.as_fd()))
            .transpose()?;
        if at.flatten() != here {
            gone.push(name.to_owned());
        }
    }
    for (name, _) in TRACEPOINTS {
        if pins.link(name)?.is_none() {
            gone.push(name.to_owned());
        }
    }
    if gone
        .iter()
        .any(|name| TRACEPOINTS.iter().any(|(tracepoint, _)| name == tracepoint))
    {
        watch_processes(object, pins)?;
    }
    if gone
        .iter()
        .any(|name| SOCKETS.contains(&&**name) || CALLS.contains(&&**name))
    {
        watch_owners(object, pins, cgroup)?;
    }
    if gone.iter().any(|name| name == RECEIVER) {
        judge_receivers(object, pins, cgroup)?;
    }
    Ok(gone)
}

/// Attaches in the IP stack what is not there. Returns what was not.
/// What can't be kept is an error, once all of it is attached.
fn stand_in_stack(stack: Stack<'_>) -> Result<Vec<String>> {
    let Stack {
        programs,
        pins,
        held,
        silent,
    } = stack;
    let (mut attached, mut unkept) = (Vec::new(), None);
    for (hook, entry, _) in STACK {
        let program = found(programs, entry)?.program.as_fd();
        for (family, name) in FAMILIES {
            let name = format!("{entry}_{name}");
            let failed = || format!("attaching {name}; {NO_NETFILTER}");
            let earlier = held.iter().position(|(held, _)| *held == name);
            let kept = match earlier {
                Some(n) => bpf::netfilter_place(held[n].1.as_fd()).with_context(failed)?,
                None => place_of(pins, &name)?,
            };
            let kept = kept.filter(|place| place.family == family && place.hook == hook);
            let link = match kept {
                // The kernel tells nobody whether a link was taken off. Its place is free only then, or another's.
                Some(place) if !silent.contains(&name) => {
                    in_place(program, place).with_context(failed)?
                }
                _ => Some(in_stack(program, family, hook).with_context(failed)?),
            };
            let is_new = link.is_some();
            let earlier = earlier.map(|n| held.swap_remove(n).1);
            // One that could not be kept may be by now.
            let Some(link) = link.or(earlier) else {
                continue;
            };
            if let Err(failed) = pins.keep(&name, link.as_fd()) {
                held.push((name.clone(), link));
                unkept.get_or_insert(failed);
            }
            if is_new {
                attached.push(name);
            }
        }
    }
    match unkept {
        Some(failed) => Err(failed.context(UNKEPT)),
        None => Ok(attached),
    }
}

/// Consequence for people if links can't be kept.
const UNKEPT: &str = "what judges ends with the service";

/// Attaches a program at a place; none: it is taken.
fn in_place(program: BorrowedFd<'_>, place: NetfilterPlace) -> io::Result<Option<OwnedFd>> {
    match bpf::link_netfilter(program, place) {
        Err(taken) if taken.raw_os_error() == Some(libc::EBUSY) => Ok(None),
        link => link.map(Some),
    }
}

/// Takes away the hooks in the IP stack that an earlier service has left in another network namespace.
pub fn leave_stack(pins: &Pins) -> Result<()> {
    for (_, entry, _) in STACK {
        for (_, family) in FAMILIES {
            pins.drop_link(&format!("{entry}_{family}"))?;
        }
    }
    Ok(())
}

/// Likely cause if nothing can be attached to netfilter.
const NO_NETFILTER: &str = "Gatebell needs Linux 6.6 or later with CONFIG_NETFILTER_BPF_LINK";

/// Returns the place of a hook, or `None` if its link is not kept.
fn place_of(pins: &Pins, name: &str) -> Result<Option<NetfilterPlace>> {
    let failed = || format!("looking at the hook {name}");
    let Some(link) = pins.link(name).with_context(failed)? else {
        return Ok(None);
    };
    bpf::netfilter_place(link.as_fd()).with_context(failed)
}

/// Attaches a program in the IP stack, at the first priority that is free.
fn in_stack(program: BorrowedFd<'_>, family: u32, hook: u32) -> io::Result<OwnedFd> {
    let [first, second] =
        PRIORITIES.map(|priority| NetfilterPlace::defragmented(family, hook, priority));
    match in_place(program, first)? {
        Some(link) => Ok(link),
        None => bpf::link_netfilter(program, second),
    }
}

fn found<'a>(programs: &'a [LoadedProgram], name: &str) -> Result<&'a LoadedProgram> {
    let missing = || format!("the driver's object has no program {name}: another release?");
    let program = programs.iter().find(|program| program.name == name);
    program.with_context(missing)
}

/// Returns the time of the driver's clock of connections: see [`firewall_abi::firewall::Ticks`].
pub fn clock_ns(object: &Ebpf) -> Result<u64> {
    let failed = "asking the driver what time it is";
    let clock: &SchedClassifier = object.program(READ_CLOCK).context(failed)?.try_into()?;
    let mut frame = [[0; 8]; 2];
    bpf::run(clock.fd()?.as_fd(), frame.as_flattened_mut()).context(failed)?;
    Ok(u64::from_ne_bytes(frame[0]))
}

/// Has the driver forget a connection, if it is silent.
pub fn forget_silent(object: &Ebpf, key: &FlowKey) -> Result<()> {
    about(object, FORGET_SILENT, key).context("forgetting a connection")
}

/// Has the rules asked again about a connection with its next packet.
pub fn reclassify(object: &Ebpf, key: &FlowKey) -> Result<()> {
    about(object, RECLASSIFY, key).context("having the rules asked again about a connection")
}

/// Has the driver tell what a connection has carried since that was last told.
pub fn tell_carried(object: &Ebpf, key: &FlowKey) -> Result<()> {
    about(object, TELL_CARRIED, key).context("having it told what a connection has carried")
}

/// Runs a program of this name about a connection.
fn about(object: &Ebpf, program: &str, key: &FlowKey) -> Result<()> {
    let program: &SchedClassifier = object
        .program(program)
        .with_context(|| missing(program))?
        .try_into()?;
    let mut key = *key;
    bpf::run(program.fd()?.as_fd(), key.as_mut_bytes())?;
    Ok(())
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
    let link = link.with_context(|| format!("this kernel's {name} hook is no link"))?;
    pins.keep_link(name, link)
}

fn program<'a, P>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = object.program_mut(name);
    Ok(program.with_context(|| missing(name))?.try_into()?)
}

fn missing(name: &str) -> String {
    format!("the driver's object has no program {name}: another release?")
}

fn refused(name: &str) -> String {
    format!("the kernel did not take the program {name}")
}
