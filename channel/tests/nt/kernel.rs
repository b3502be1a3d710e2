//! State of the model of NT, and the rules that it holds a driver to. A rule that is broken is written down, and fails
//! the test.

use channel::driver::wdm::nt::{self, DeferredRoutine, NTSTATUS, ProcessNotify};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Interrupt levels.
pub const PASSIVE: u8 = 0;
pub const APC: u8 = 1;
pub const DISPATCH: u8 = 2;
pub const HIGH: u8 = 15;

/// Longest wait of a test: one that is never ended is a broken rule.
pub const PATIENCE: Duration = Duration::from_secs(60);

thread_local! {
    /// Interrupt level of the thread.
    pub static LEVEL: Cell<u8> = const { Cell::new(PASSIVE) };
    pub static REGIONS: Cell<u32> = const { Cell::new(0) };
    /// Process in whose context the thread runs; 0 is the system's.
    pub static PROCESS: Cell<u32> = const { Cell::new(0) };
    /// Spin locks that the thread holds, the last one last.
    pub static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// `true` while the thread runs a deferred routine.
    pub static DEFERRED: Cell<bool> = const { Cell::new(false) };
    /// `true` after the thread has called `PsTerminateSystemThread`, which does not return on NT.
    pub static ENDED: Cell<bool> = const { Cell::new(false) };
}

/// A block of pool, with memory on both sides that nobody may write to.
pub struct Block {
    pub memory: Vec<u128>,
    pub tag: u32,
    pub freed: bool,
}

/// Word of pool that nobody may write to.
pub const GUARD: u128 = 0xFD_FD_FD_FD_FD_FD_FD_FD_FD_FD_FD_FD_FD_FD_FD_FD;
/// Byte that fills memory that was given back.
pub const FREED: u8 = 0xDD;

/// Kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event, `automatic` if whoever is woken resets it.
    Event {
        automatic: bool,
    },
    Thread,
    Device,
}

pub struct Object {
    pub kind: Kind,
    pub signalled: bool,
    /// Number of references that the driver holds.
    pub referenced: u32,
    /// Rights that the driver asked for with each of them.
    pub rights: u32,
    /// `true` if an app made the object.
    pub apps: bool,
}

pub struct Handle {
    pub object: usize,
    pub rights: u32,
}

pub struct User {
    pub sid: [u8; 12],
    pub administrator: bool,
}

/// A request as the I/O manager keeps it.
#[derive(Default)]
pub struct Request {
    pub end: Option<(NTSTATUS, usize)>,
    /// `true` if the request was marked as pending; the next field, if its routine said so.
    pub marked: bool,
    pub pending_returned: bool,
    pub buffer: usize,
    pub buffer_bytes: usize,
    pub output: Vec<u8>,
    pub file: usize,
}

/// State of the machine.
#[derive(Default)]
pub struct Kernel {
    /// `true` while the driver's image is in memory.
    pub image: bool,
    pub broken: Vec<String>,
    pub called: BTreeSet<&'static str>,
    /// Number of the call to fail, of those that can; the next field counts them.
    pub fails: Option<usize>,
    pub could_fail: usize,
    pub failed: Option<&'static str>,
    pub pool: HashMap<usize, Block>,
    pub objects: BTreeMap<usize, Object>,
    pub handles: HashMap<(u32, usize), Handle>,
    pub next_handle: usize,
    pub tokens: i32,
    pub users: HashMap<u32, User>,
    pub links: HashMap<String, bool>,
    pub device: usize,
    /// Access list of the device's security descriptor, once it has one.
    pub protected: Option<Vec<u8>>,
    pub dpcs: HashMap<usize, (DeferredRoutine, usize)>,
    pub timers: HashSet<usize>,
    pub armed: HashMap<usize, (Instant, usize)>,
    pub deferred: u32,
    pub threads: u32,
    pub notify: Option<ProcessNotify>,
    pub notifying: u32,
    pub requests: HashMap<usize, Request>,
    pub names: HashSet<String>,
    /// Locks that were taken while each lock was held.
    pub order: BTreeMap<usize, BTreeSet<usize>>,
    /// Threads of tests, to be waited for.
    pub joins: Vec<std::thread::JoinHandle<()>>,
    pub off: bool,
    /// `true` if requests are cancelled before the driver gets them.
    pub cancelled_early: bool,
    /// Time for which whoever starts a thread is held up in the kernel after that has started.
    pub held_up: Duration,
}

static KERNEL: Mutex<Option<Kernel>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Option<Kernel>> {
    KERNEL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at the machine, or changes it; who waits looks again.
pub fn with<R>(run: impl FnOnce(&mut Kernel) -> R) -> R {
    let result = run(lock().get_or_insert_default());
    CHANGED.notify_all();
    result
}

/// Waits until `look` finds something, or a time is over.
pub fn until<R>(end: Option<Instant>, mut look: impl FnMut(&mut Kernel) -> Option<R>) -> Option<R> {
    let last = Instant::now() + PATIENCE;
    let mut kernel = lock();
    loop {
        if let Some(found) = look(kernel.get_or_insert_default()) {
            CHANGED.notify_all();
            return Some(found);
        }
        let now = Instant::now();
        if end.is_some_and(|end| now >= end) {
            return None;
        }
        if now >= last {
            kernel
                .get_or_insert_default()
                .broken
                .push("a wait that nobody ends".to_owned());
            return None;
        }
        let pause = end.unwrap_or(last).min(last) - now;
        kernel = CHANGED
            .wait_timeout(kernel, pause)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// Notes a broken rule.
pub fn broken(rule: impl Into<String>) {
    let rule = rule.into();
    with(|kernel| kernel.broken.push(rule));
}

/// Checks the rules that hold for each function of the kernel's.
pub fn enter(function: &'static str, highest: u8) {
    let (level, ended) = (LEVEL.get(), ENDED.get());
    with(|kernel| {
        kernel.called.insert(function);
        if !kernel.image {
            let rule = format!("{function}: by a driver that is unloaded");
            kernel.broken.push(rule);
        }
        if level > highest {
            let rule = format!("{function}: at level {level}, its highest is {highest}");
            kernel.broken.push(rule);
        }
        if ended {
            let rule = format!("{function}: by a thread that has ended");
            kernel.broken.push(rule);
        }
    });
}

/// Counts a call that can fail, and returns whether it does.
pub fn fails(function: &'static str) -> bool {
    with(|kernel| {
        let now = kernel.fails == Some(kernel.could_fail);
        kernel.could_fail += 1;
        if now {
            kernel.failed = Some(function);
        }
        now
    })
}

/// Checks that no spin lock is held; but in a deferred routine that of its own place, which nobody waits for but who
/// stops it.
pub fn unlocked(function: &'static str) {
    let its_own = usize::from(DEFERRED.get());
    if HELD.with_borrow(|held| held.len() > its_own) {
        broken(format!("{function}: with a spin lock held"));
    }
}

impl Kernel {
    /// Makes an object, at an address that nothing else has.
    pub fn object(&mut self, kind: Kind, apps: bool) -> usize {
        let address = Box::leak(Box::new([0_u64; 8])).as_ptr().addr();
        let object = Object {
            kind,
            signalled: false,
            referenced: 0,
            rights: u32::MAX,
            apps,
        };
        self.objects.insert(address, object);
        address
    }

    /// Makes a handle of a process, or one of the kernel's own.
    pub fn handle(&mut self, process: u32, object: usize, rights: u32) -> usize {
        self.next_handle += 4;
        let own = if process == 0 { KERNEL_HANDLE } else { 0 };
        let number = self.next_handle | own;
        self.handles
            .insert((process, number), Handle { object, rights });
        number
    }

    /// Returns `Some` if a wait for an object is over; whoever waits for an event that resets itself takes its signal.
    pub fn take_signal(&mut self, object: usize) -> Option<()> {
        let Some(object) = self.objects.get_mut(&object) else {
            self.broken.push("a wait for what is no object".to_owned());
            return Some(());
        };
        let was = object.signalled;
        if object.kind == (Kind::Event { automatic: true }) {
            object.signalled = false;
        }
        was.then_some(())
    }

    /// Checks that the driver asked for this right when it took an app's object.
    pub fn asks_for(&mut self, function: &str, object: usize, right: u32) {
        match self.objects.get(&object) {
            None => self
                .broken
                .push(format!("{function}: of what is no object")),
            Some(it) if it.apps && it.rights & right != right => {
                let rule = format!("{function}: without having asked for the right to");
                self.broken.push(rule);
            }
            Some(it) if it.apps && it.referenced == 0 => {
                let rule = format!("{function}: of an object that was let go of");
                self.broken.push(rule);
            }
            Some(_) => {}
        }
    }

    /// Notes that a lock is taken while others are held: never the other way round too.
    pub fn locks(&mut self, held: &[usize], lock: usize) {
        for other in held {
            if *other == lock {
                self.broken.push("a spin lock taken twice".to_owned());
            } else if self.leads(lock, *other) {
                self.broken.push("spin locks in two orders".to_owned());
            }
            self.order.entry(*other).or_default().insert(lock);
        }
    }

    fn leads(&self, from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut pending = vec![from];
        while let Some(one) = pending.pop() {
            if one == to {
                return true;
            }
            if seen.insert(one) {
                pending.extend(self.order.get(&one).into_iter().flatten());
            }
        }
        false
    }

    /// Checks, once the driver is gone, that nothing of it is left.
    pub fn balances(&mut self) {
        let left: [(&str, usize); 9] = [
            (
                "pool",
                self.pool.values().filter(|block| !block.freed).count(),
            ),
            (
                "references",
                self.objects.values().map(|it| it.referenced as usize).sum(),
            ),
            (
                "handles",
                self.handles
                    .keys()
                    .filter(|(process, _)| *process == 0)
                    .count(),
            ),
            ("tokens", self.tokens.unsigned_abs() as usize),
            ("timers", self.armed.len()),
            ("callbacks", usize::from(self.notify.is_some())),
            (
                "links",
                self.links.values().filter(|driver| **driver).count(),
            ),
            ("devices", usize::from(self.device != 0)),
            ("threads", self.threads as usize),
        ];
        for (what, count) in left.into_iter().filter(|(_, count)| *count != 0) {
            self.broken
                .push(format!("{count} {what} left when the driver was gone"));
        }
        let written = self.pool.values().filter(|block| !block.is_whole()).count();
        if written != 0 {
            self.broken
                .push(format!("{written} blocks of pool written beside or after"));
        }
    }
}

/// Bit by which the kernel's own handles are told.
const KERNEL_HANDLE: usize = 1 << 31;

pub fn is_kernel_handle(handle: usize) -> bool {
    handle & KERNEL_HANDLE != 0
}

impl Block {
    /// Returns whether nobody wrote beside the block, or into it after it was freed.
    pub fn is_whole(&self) -> bool {
        let guards = [self.memory.first(), self.memory.last()];
        let freed = u128::from_ne_bytes([FREED; 16]);
        let inside = &self.memory[1..self.memory.len() - 1];
        guards.into_iter().all(|guard| guard == Some(&GUARD))
            && (!self.freed || inside.iter().all(|word| *word == freed))
    }
}

/// Returns the end of a time that the kernel is given: from now on.
pub fn end_of(timeout: i64) -> Instant {
    assert!(timeout <= 0, "a time from now on");
    Instant::now() + Duration::from_nanos(timeout.unsigned_abs() * 100)
}

/// Status of a call that is made to fail.
pub const NO_MEMORY: NTSTATUS = nt::STATUS_INSUFFICIENT_RESOURCES;
