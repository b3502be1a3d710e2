//! Firewall as a whole: driver, device server, rules and devices, and the requests it answers.
//!
//! A [`Firewall`] lives on the service's main loop. Other threads have a [`Mailbox`]:
//! they hand in work and wait for what comes back.

mod answers;
mod lists;
mod networks;
mod people;
mod reports;
mod rule_changes;
mod rule_file;
mod sets;

pub use crate::mailbox::{Ending, Mailbox, MailboxReceiver};

use crate::address_names;
use crate::answered_programs::AnsweredPrograms;
use crate::asking::{DriverWaker, PermanentAnswers, Questions};
use crate::canary::Canary;
use crate::driver::Driver;
use crate::folders;
use crate::forwarded::Forwarded;
use crate::held_answers::{HeldAnswers, TakenBack};
use crate::keeper::Keeper;
use crate::last_reading::LastReading;
use crate::members::Members;
use crate::pins::{self, Pins};
use crate::programs::{self, ProgramWatch};
use crate::recorder::{HistoryReader, Recorder};
use crate::recover::{self, Locations};
use crate::rejected::RejectAnswerer;
use crate::route_watch::RouteWatch;
use crate::rule_names::KnownGenerations;
use crate::rulebook::Rulebook;
use crate::state::{self, State, WrittenZone};
use crate::subscriptions::Subscriptions;
use crate::sweep::{EVERY, LastLook, Swept};
use crate::troubles::{Cause, Troubles};
use crate::zone::Zone;
use anyhow::{Context, Result};
use channel::server::{DeviceServer, Parts, Policy};
use control::{ChangeNote, Device, FALLBACK_TABLE, Refused, root_socket};
use firewall_abi::rules::NEEDS_LOOPBACK;
use history::Bounds;
use nix::errno::Errno;
use nix::net::if_::if_nameindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Group, chown};
use rules::{Program, Rules};
use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{error, info, warn};

/// Configuration of a service, provided when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Zone's network namespace, or `None` for the one that the service is started in.
    pub netns: Option<PathBuf>,
    /// Zone's control group.
    pub cgroup: PathBuf,
    /// Path of the rule file.
    pub rules: PathBuf,
    /// Path of the driver's object.
    pub driver: PathBuf,
    /// Folder in which the kernel keeps the driver's pins.
    pub pins: PathBuf,
    /// Folder in which the service writes down what the next one has to know.
    pub state: PathBuf,
    /// Folder on a disk in which the service keeps what was good.
    pub kept: PathBuf,
    /// Folder in which the fetcher leaves lists.
    pub fetched: PathBuf,
    /// Path of the socket at which apps attach.
    pub socket: PathBuf,
    /// Path of the control socket at which `gatebell` finds the service.
    pub control: PathBuf,
    /// Maximum number of bytes of kernel memory that the service may take.
    pub kernel_memory: u64,
    /// Bounds of the history that is kept, or `None` if none is.
    pub history: Option<Bounds>,
    /// Path of the program of nftables, for where no driver judges.
    pub nft: PathBuf,
    /// Path of the socket at which systemd starts the process that answers rejected packets, or `None` if the service
    /// starts it itself.
    pub rejected: Option<PathBuf>,
    /// Path of the socket at which systemd starts the process that finds sockets which are older than the driver, or
    /// `None` if the service finds them itself.
    pub older_sockets: Option<PathBuf>,
}

impl Config {
    /// Returns the places to look in for what such a service leaves.
    #[must_use]
    pub fn locations(&self) -> Locations {
        Locations {
            state: self.state.clone(),
            pins: self.pins.clone(),
            sockets: self.sockets(),
            netns: self.netns.clone(),
            nft: self.nft.clone(),
        }
    }

    /// Returns the sockets by which anybody finds the service.
    fn sockets(&self) -> Vec<PathBuf> {
        vec![
            self.socket.clone(),
            self.control.clone(),
            root_socket(&self.control),
        ]
    }

    fn rule_file(&self) -> String {
        self.rules.display().to_string()
    }

    fn rule_folder(&self) -> PathBuf {
        let file = std::path::absolute(&self.rules).unwrap_or_else(|_| self.rules.clone());
        file.parent().unwrap_or(&file).to_owned()
    }
}

/// Firewall: driver, device server, rules and devices.
pub struct Firewall {
    config: Config,
    state: State,
    driver: Driver,
    pins: Pins,
    zone: Zone,
    /// Sender of the packets that show whether hooks judge.
    canary: Canary,
    /// Check whether any forwarded packet comes by the hooks.
    forwarded: Forwarded,
    /// Time at which it was last looked whether all hooks are where they were put.
    hooks_looked: Instant,
    rulebook: Rulebook,
    /// State of the rule file, as far as it is known.
    rule_file: rule_file::RuleFile,
    /// Note on the rules that are tried out, or were last.
    tried_out: Option<ChangeNote>,
    /// Names of the rules of each generation that records may still speak of.
    rule_names: KnownGenerations,
    /// Watch on the files of programs that rules name.
    programs: ProgramWatch,
    /// Watch on the routes by which networks are known.
    routes: RouteWatch,
    /// Programs that rules named when the service before this one ended.
    earlier_programs: Vec<Program>,
    /// Time of the next look at processes that run from files which their paths have left: soon, for once one has ended
    /// its file's number may be given to anybody's.
    former_due: Instant,
    /// Device server at which apps attach, or `None` if it could not be opened and no app can attach.
    device_server: Option<DeviceServer>,
    /// Number of connections that the last sweep left.
    flows: u64,
    last_sweep: Option<LastLook>,
    /// Time at which the service started, in seconds since 1970.
    started: u64,
    /// Thread that follows the lists that rules subscribe to, and which those are.
    subscriptions: Subscriptions,
    lists: lists::Lists,
    /// Writer of what was good to a disk.
    keeper: Arc<Keeper>,
    /// Addresses that have joined sets.
    members: Members,
    /// Questions to people.
    questions: Questions,
    /// Waker of the main loop for a question; whether it has woken it, since questions were last read from the driver's
    /// table; and when that was.
    driver_waker: DriverWaker,
    is_woken: bool,
    questions_read: Option<LastLook>,
    /// Answers for always in their file, and all answers that the driver has.
    permanent: PermanentAnswers,
    held_answers: HeldAnswers,
    /// Answers that were taken back, and when the rules were last asked again about what they had allowed.
    taken_back: TakenBack,
    reclassified: Option<LastLook>,
    /// Programs that answers are about, and when their files were looked at last.
    answered_programs: AnsweredPrograms,
    answered_looked: Option<LastLook>,
    /// Names by which addresses were asked for.
    addresses: address_names::AddressNames,
    /// Generation whose sets have the names that they ask for.
    names_followed: Option<u32>,
    /// Reason why the driver does not hand on what a resolver on this machine answers.
    unheard_resolver: Option<String>,
    /// Time at which the rules were last compiled because of addresses that joined sets by names.
    named_compiled: Option<Instant>,
    /// Process that answers rejected packets.
    rejected: RejectAnswerer,
    /// Threads that keep what happens. Behind the device server, which lets go of it.
    recorder: Recorder,
    /// Timer of the next look for what is no good or missing.
    retry: RetryTimer,
    /// Reading of the rules that are not as they should be, as it was last.
    last_reading: RefCell<LastReading>,
    /// Troubles: what is not as it should be.
    troubles: Troubles,
}

impl Firewall {
    /// Starts the firewall: takes over what an earlier service left in the kernel, or begins anew. When this returns,
    /// packets are judged.
    pub(crate) fn start(config: Config) -> Result<Self> {
        let (locations, mut entered) = (config.locations(), config.netns.is_none());
        Self::enter_and_begin(config, &mut entered).map_err(|error| {
            // Where another service lives, or hooks are that an earlier one left, a driver judges.
            if entered && !state::is_held(&locations.state) && !pins::are_hooks(&locations.pins) {
                locations.fallback().put_in_force(error)
            } else {
                error
            }
        })
    }

    fn enter_and_begin(config: Config, entered: &mut bool) -> Result<Self> {
        let pins = Pins::open(&config.pins)?;
        let state = State::take(&config.state)?;
        let begins = !pins.is_there();
        let locations = config.locations();
        let begun = Zone::enter(config.netns.as_deref(), &config.cgroup).and_then(|zone| {
            *entered = true;
            Self::begin(config, state, pins, zone)
        });
        begun.map_err(|error| {
            // What an earlier service left stays in force. What we began alone is no
            // firewall yet, and is taken out again.
            match begins.then(|| recover::take_out(&locations)) {
                Some(Err(left)) => error.context(left.to_string()),
                _ => error,
            }
        })
    }

    fn begin(config: Config, state: State, pins: Pins, zone: Zone) -> Result<Self> {
        let mut driver = Driver::load(&config.driver, &pins)?;
        let rulebook = Rulebook::found(&driver, &state)?;
        if !driver.adopted() {
            programs::name_running(&driver);
        }
        // The device server before the hooks: an app that is attached by then misses nothing.
        let device_server = open_device_server(&mut driver, &config.socket);
        let device_server = device_server.context("no app can attach");
        let keeper = Arc::new(Keeper::open(&config.kept));
        let subscriptions = Subscriptions::begin(&config.fetched, &config.rules, keeper.clone());
        let members = Members::found(&driver, &config.kept, sets::now()?)?;
        let waker = DriverWaker::of(&driver)?;
        let permanent = PermanentAnswers::open(&config.kept);
        let held = HeldAnswers::after(state.answers().as_deref());
        let addresses = address_names::AddressNames::learn(&driver);
        let mut rejected = RejectAnswerer::answer(&driver, config.rejected.clone());
        let canary = Canary::by(rejected.take_canaries(), driver.canary_word());
        let recorder = Recorder::begin(&config, addresses.known());
        let watch = ProgramWatch::new();
        let mut troubles = Troubles::default();
        troubles.note(Cause::DeviceServer, &device_server);
        for (cause, trouble) in [
            (Cause::ProgramFiles, watch.trouble()),
            (Cause::Kept, keeper.trouble()),
            (Cause::LostMembers, members.trouble()),
            (Cause::AnswersFile, permanent.trouble()),
            (Cause::State, state.trouble()),
            (Cause::Names, addresses.trouble()),
            (Cause::Rejected, rejected.trouble()),
            (Cause::Recorder, recorder.trouble()),
            (Cause::HistoryRows, recorder.reading_trouble()),
        ] {
            troubles.hear_of(cause, trouble);
        }
        let earlier = keeper.last_good().map(|good| good.programs);
        let mut firewall = Self {
            config,
            state,
            canary,
            forwarded: Forwarded::default(),
            driver,
            pins,
            zone,
            hooks_looked: Instant::now(),
            rulebook,
            rule_file: rule_file::RuleFile::default(),
            tried_out: None,
            rule_names: KnownGenerations::default(),
            programs: watch,
            routes: RouteWatch::default(),
            earlier_programs: earlier.unwrap_or_default(),
            former_due: Instant::now(),
            device_server: device_server.ok(),
            flows: 0,
            last_sweep: None,
            started: now(),
            subscriptions,
            lists: lists::Lists::default(),
            keeper,
            members,
            questions: Questions::numbered_from(Duration::from_nanos(sets::now()?.boot_ns)),
            driver_waker: waker,
            is_woken: false,
            questions_read: None,
            permanent,
            held_answers: held,
            taken_back: TakenBack::default(),
            reclassified: None,
            answered_programs: AnsweredPrograms::default(),
            answered_looked: None,
            addresses,
            names_followed: None,
            unheard_resolver: None,
            named_compiled: None,
            rejected,
            recorder,
            retry: RetryTimer::default(),
            last_reading: RefCell::default(),
            troubles,
        };
        // Of what is in force now records come until the next rules are.
        firewall.keep_names();
        // A lease may have ended while no service was there.
        firewall.expire();
        firewall.first_answers();
        // Of what is on disk the kernel may have nothing yet, and the rules may ask no set.
        firewall.first_members();
        firewall.first_rules()?;
        firewall.first_networks();
        firewall.follow_names();
        firewall.follow_lists();
        let answering = firewall.rejected.sockets();
        firewall.driver.attach(
            &firewall.pins,
            &firewall.zone,
            answering,
            firewall.config.older_sockets.as_deref(),
        )?;
        firewall.take_out_fallback();
        firewall.write_down();
        for folder in firewall.pins.remove_others()? {
            info!(
                "took off the hooks that an earlier release had left in {}",
                folder.display()
            );
        }
        Ok(firewall)
    }

    /// Removes the fallback, as a driver judges.
    fn take_out_fallback(&mut self) {
        let taken = self.config.locations().fallback().take_out();
        let taken = taken.with_context(|| {
            format!(
                "nftables' table {FALLBACK_TABLE} may refuse beside the rules; `nft delete table inet {FALLBACK_TABLE}` takes it out"
            )
        });
        for what in self.noted(Cause::Fallback, taken).into_iter().flatten() {
            info!("a driver judges again, and {what} is gone");
        }
    }

    /// Does what there is to do, or waits for it at most this long. A descriptor of `beside` ends the wait too.
    pub(crate) fn turn(&mut self, timeout: Duration, beside: &[BorrowedFd<'_>]) -> Result<()> {
        let again = self.is_troubled().then(|| self.retry.rest());
        // What is taken out of the kernel, nobody tells us of.
        let look = EVERY.saturating_sub(self.hooks_looked.elapsed());
        let has_former = self
            .rulebook
            .programs()
            .any(|program| !program.former.is_empty());
        let former = has_former.then(|| self.former_due.saturating_duration_since(Instant::now()));
        // One whose end could not be written down is over in the driver all the same.
        let lease = self.rulebook.time_left();
        let lease = lease.map(|left| {
            if self.troubles.holds(Cause::Lease) {
                left.max(EVERY)
            } else {
                left
            }
        });
        let timeout = [
            lease,
            self.programs.due(),
            self.follow_networks(),
            again,
            Some(look),
            former,
            self.questions_due(Instant::now()),
            self.taken_back_due(Instant::now()),
            self.members.due(),
        ]
        .into_iter()
        .flatten()
        .fold(timeout, Duration::min);
        let room = self.room();
        self.follow_names();
        self.follow_lists();
        let mut wakers = vec![self.driver_waker.as_fd()];
        wakers.extend(self.subscriptions.waker());
        wakers.extend(self.programs.waker());
        wakers.extend(self.routes.wakers());
        wakers.extend(self.addresses.waker());
        wakers.extend(self.rejected.waker());
        wakers.extend(beside);
        match &mut self.device_server {
            Some(server) => {
                server.set_room(room);
                server.turn(timeout, &wakers)?;
            }
            None => wait(timeout, &wakers)?,
        }
        self.meet_networks();
        self.meet_who_answers();
        self.join_by_name();
        self.take_list_news();
        self.ask_people();
        self.ask_about_taken_back();
        if self.hooks_looked.elapsed() >= EVERY {
            self.heal();
            self.rejected.look_after(&self.driver);
            if self.troubles.holds(Cause::Fallback) {
                self.take_out_fallback();
            }
            self.tidy_answers(false);
            self.tidy_members();
            self.look_for_resolvers();
            self.look_at_sets();
        }
        self.keep_members(false);
        let has_former = self
            .rulebook
            .programs()
            .any(|program| !program.former.is_empty());
        if self.programs.changed() || has_former && Instant::now() >= self.former_due {
            self.former_due = Instant::now() + EVERY;
            self.renew();
        }
        if self.is_troubled() && self.retry.is_due() {
            self.look_again();
        }
        Ok(())
    }

    /// Tells the driver the sockets of the process that answers rejected packets, where they are new, so that its
    /// packets pass.
    fn meet_who_answers(&mut self) {
        if self.rejected.meet() {
            self.canary.take(self.rejected.take_canaries());
            let put = self.driver.answer_by(self.rejected.sockets());
            self.noted(
                Cause::Answering,
                put.context("telling the driver who answers what is rejected"),
            );
        }
    }

    /// Returns whether something outside may have come to be right by itself: a disk that is mounted later, a user who
    /// is known only once the network is there.
    fn is_troubled(&self) -> bool {
        let causes = [Cause::StandIn, Cause::Missing, Cause::Programs];
        causes.into_iter().any(|cause| self.troubles.holds(cause))
    }

    /// Forgets connections that nobody has used for long. Returns when to do so again at the latest.
    pub(crate) fn sweep(&mut self) -> Duration {
        let swept = self.forget_idle();
        let swept = self.noted(Cause::Sweep, swept.context("looking for idle connections"));
        // What failed is tried again soon.
        swept.map_or(EVERY, |swept| swept.rest())
    }

    fn forget_idle(&mut self) -> Result<Swept> {
        let begun = Instant::now();
        let swept = self.driver.sweep_flows();
        self.last_sweep = Some(LastLook::new(begun, Instant::now()));
        self.flows = swept.as_ref().map_or(self.flows, |swept| swept.left);
        swept
    }

    /// Has the driver report what connections have carried, for somebody who looks.
    pub(crate) fn tell_carried(&mut self) {
        let now = Instant::now();
        if self.last_sweep.is_none_or(|last| last.may_be_followed(now)) {
            self.sweep();
        }
    }

    /// Puts back what somebody took out of the kernel.
    fn heal(&mut self) {
        self.hooks_looked = Instant::now();
        let silent = self.silent_hooks();
        let unproved = self.forwarded.silent(&self.driver);
        let mut known = silent.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
        known.extend(unproved.iter().flatten().map(|&hook| hook.to_owned()));
        let healed = self.driver.heal(&self.pins, &self.zone, &known);
        let healed = healed.and_then(|mut gone| {
            silent?;
            self.pins.outlive_us()?;
            let unproved = unproved?;
            gone.retain(|name| !unproved.contains(&name.as_str()));
            Ok(gone)
        });
        let gone = healed.map_err(|cause| {
            anyhow::anyhow!("hooks are gone and can't be put back, so that packets pass unjudged, now or once the service ends: {cause:#}; restart the service")
        });
        let gone = self.noted(Cause::Hooks, gone).unwrap_or_default();
        if !gone.is_empty() {
            let gone = gone.join(", ");
            warn!("these hooks or tables were gone, and are there again: {gone}");
        }
    }

    /// Returns the hooks by which a packet of our own does not come. Where rules judge what stays on the machine, there
    /// is none: it would be one of theirs.
    fn silent_hooks(&self) -> Result<Vec<String>> {
        let head = self.driver.head(self.rulebook.index_in_force())?;
        if head.is_none_or(|head| head.needs & NEEDS_LOOPBACK != 0) {
            return Ok(Vec::new());
        }
        self.canary.silent(&self.driver)
    }

    /// Ends every app's reference. What is attached in the kernel stays.
    pub(crate) fn detach_apps(&mut self) {
        self.device_server
            .iter_mut()
            .for_each(DeviceServer::detach_all);
        self.keep_members(true);
    }

    /// Returns a reader of the history, for a thread that may wait for it.
    pub(crate) fn history(&self) -> HistoryReader {
        self.recorder.reader()
    }

    fn write_down(&self) {
        self.state.write(&WrittenZone {
            netns: self.config.netns.clone(),
            cgroup: self.config.cgroup.clone(),
            pins: self.config.pins.clone(),
            sockets: self.config.sockets(),
        });
    }

    /// Notes the result of something that should not fail: a failure is logged, and shown in the status until the same
    /// thing succeeds.
    fn noted<T>(&mut self, cause: Cause, result: Result<T>) -> Option<T> {
        self.troubles.note(cause, &result);
        result.ok()
    }
}

/// Returns the devices of the network namespace that the main loop is in, or none where the kernel does not say.
fn devices() -> Vec<Device> {
    let listed = if_nameindex().into_iter().flat_map(|devices| {
        devices
            .iter()
            .map(|device| Device {
                name: device.name().to_string_lossy().into_owned(),
                index: device.index(),
            })
            .collect::<Vec<_>>()
    });
    listed.collect()
}

/// Lets the group's members in, if there is such a group: the device server shows each of them what is theirs to see.
fn open_to_group(socket: &Path) -> Result<()> {
    if let Some(group) = Group::from_name(control::GROUP)? {
        chown(socket, None, Some(group.gid))?;
        fs::set_permissions(socket, Permissions::from_mode(0o660))?;
    }
    Ok(())
}

/// Opens the device server, its socket in a folder that is made if it is not there.
fn open_device_server(driver: &mut Driver, socket: &Path) -> Result<DeviceServer> {
    if let Some(folder) = socket.parent() {
        if !folder.exists() {
            folders::own(folder)?;
        }
        // Who can write there can have apps talk to another service.
        folders::check(folder)?;
    }
    let policy = Policy {
        share_of: engine::quota::of_user,
        ..Policy::default()
    };
    let server = DeviceServer::open(driver.object(), socket, policy, Parts::default())?;
    if let Err(cause) = open_to_group(socket).context("can't open the device to the group") {
        error!("{cause:#}; only root can attach");
    }
    Ok(server)
}

/// Waits until one of these descriptors is ready, or the time is over.
fn wait(timeout: Duration, wakers: &[BorrowedFd<'_>]) -> Result<()> {
    let mut fds: Vec<_> = wakers
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(cause) => Err(cause).context("waiting"),
    }
}

fn bad_file(wrong: &Refused) -> String {
    format!("the rule file is no good; mend it and reload: {wrong}")
}

/// Returns what the rules name and could not be had.
fn missing(rules: &Rules) -> Vec<String> {
    rules.troubles().iter().map(ToString::to_string).collect()
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// Timer of looks for what is missing: soon at first, then more and more seldom.
struct RetryTimer {
    due: Instant,
    rest: Duration,
}

impl Default for RetryTimer {
    fn default() -> Self {
        Self {
            due: Instant::now() + EVERY,
            rest: EVERY,
        }
    }
}

impl RetryTimer {
    const LONGEST: Duration = Duration::from_secs(60);

    fn rest(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    fn is_due(&mut self) -> bool {
        let is_due = self.rest().is_zero();
        if is_due {
            self.rest = (self.rest * 2).min(Self::LONGEST);
            self.due = Instant::now() + self.rest;
        }
        is_due
    }
}
