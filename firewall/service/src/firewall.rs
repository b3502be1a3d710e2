//! The firewall as a whole: driver, door, rules and devices, and what can be asked of it.
//!
//! A [`Firewall`] lives on the service's main loop. Other threads have a [`Mailbox`]: they hand in work and wait for what comes
//! back.

mod people;
mod sets;

pub use crate::mailbox::{Ending, Mailbox, MailboxReceiver};

use crate::address_names;
use crate::answered_programs::AnsweredPrograms;
use crate::asking::{Always, DriverWaker, Questions};
use crate::driver::Driver;
use crate::folders;
use crate::keeper::{Keeper, KeptLists};
use crate::last_good::{Compiled, LastGood};
use crate::lease::{Budget, Held, New, Rulebook, refused};
use crate::members::Members;
use crate::named_sets::NotJoined;
use crate::pins::Pins;
use crate::programs::{self, Watch};
use crate::recorder::{HistoryReader, Recorder};
use crate::recover::{self, Places};
use crate::rule_names::KnownGenerations;
use crate::stand_in;
use crate::state::{State, Written};
use crate::sweep::{EVERY, LastSweep, Swept};
use crate::troubles::{Cause, Troubles};
use crate::zone::Zone;
use anyhow::{Context, Result, anyhow};
use channel::server::{DeviceServer, Parts, Policy, RingMemory, Room};
use control::{
    Account, Accounts, AddressName, AddressNames, Applied, ChangeNote, Counted, Device, Hits,
    InForce, Memory, NameStats, Refused, RuleNames, RuleText, Stats, Status,
};
use firewall_abi::dns::AnswersSeen;
use history::Bounds;
use nix::errno::Errno;
use nix::net::if_::if_nameindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Group, chown};
use rules::{Program, Rules};
use std::fs::{self, Permissions};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::{History, NewChange};
use tracing::{error, info, warn};

/// What a service is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The zone's network namespace; none: the one that the service is started in.
    pub netns: Option<PathBuf>,
    /// The zone's control group.
    pub cgroup: PathBuf,
    /// The rule file.
    pub rules: PathBuf,
    /// The driver's object.
    pub driver: PathBuf,
    /// Where the kernel keeps the driver.
    pub pins: PathBuf,
    /// Where the service writes down what the next one has to know.
    pub state: PathBuf,
    /// Where it keeps, on a disk, what was good.
    pub kept: PathBuf,
    /// Where apps find the door.
    pub socket: PathBuf,
    /// Where `gatebell` finds the service.
    pub control: PathBuf,
    /// Bytes of kernel memory that it may take.
    pub kernel_memory: u64,
    /// How much is kept of what happened; none: nothing is.
    pub history: Option<Bounds>,
}

impl Config {
    /// Where to look for what such a service leaves.
    #[must_use]
    pub fn places(&self) -> Places {
        Places {
            state: self.state.clone(),
            pins: self.pins.clone(),
            sockets: vec![self.socket.clone(), self.control.clone()],
        }
    }

    fn rule_file(&self) -> String {
        self.rules.display().to_string()
    }

    fn rule_folder(&self) -> PathBuf {
        let file = std::path::absolute(&self.rules).unwrap_or_else(|_| self.rules.clone());
        file.parent().unwrap_or(&file).to_owned()
    }
}

/// The devices of the network namespace that the main loop is in. Where the kernel does not say, none.
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

/// Lets the group's members in, if there is such a group: the door shows each of them what is theirs to see.
fn open_to_group(socket: &Path) -> Result<()> {
    if let Some(group) = Group::from_name(control::GROUP)? {
        chown(socket, None, Some(group.gid))?;
        fs::set_permissions(socket, Permissions::from_mode(0o660))?;
    }
    Ok(())
}

/// The door, in a folder that is made if it is not there.
fn open_door(driver: &mut Driver, socket: &Path) -> Result<DeviceServer> {
    if let Some(folder) = socket.parent() {
        if !folder.exists() {
            folders::own(folder)?;
        }
        // Who can write there can have apps talk to another service.
        folders::check(folder)?;
    }
    let door = DeviceServer::open(driver.object(), socket, Policy::default(), Parts::default())?;
    if let Err(cause) = open_to_group(socket).context("can't open the door to the group") {
        error!("{cause:#}; only root can attach");
    }
    Ok(door)
}

/// Waits for one of these.
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

/// What the rules name and could not be had.
fn missing(rules: &Rules) -> Vec<String> {
    rules.troubles().iter().map(ToString::to_string).collect()
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// When to look again: soon at first, then more and more seldom.
struct Again {
    due: Instant,
    rest: Duration,
}

impl Default for Again {
    fn default() -> Self {
        Self {
            due: Instant::now() + EVERY,
            rest: EVERY,
        }
    }
}

impl Again {
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

/// The firewall: driver, door, rules and devices.
pub struct Firewall {
    config: Config,
    state: State,
    driver: Driver,
    pins: Pins,
    zone: Zone,
    /// When it was last looked whether all of it is where it was put.
    looked: Instant,
    rulebook: Rulebook,
    names: KnownGenerations,
    programs: Watch,
    /// The programs that rules named when the service before this one ended.
    earlier: Vec<Program>,
    /// When those are looked at that run from files which their paths have left.
    former: Again,
    /// None: see `no_door`.
    door: Option<DeviceServer>,
    flows: u64,
    swept: Option<LastSweep>,
    since: u64,
    keeper: Keeper,
    /// What has joined sets.
    members: Members,
    /// What people are asked.
    questions: Questions,
    /// Whether the driver has asked something that is not met yet, and when that was done last.
    rung: bool,
    met: Option<LastSweep>,
    always: Always,
    answered: AnsweredPrograms,
    waker: DriverWaker,
    /// What addresses were asked for by.
    addresses: address_names::AddressNames,
    /// The generation whose sets have the names that they ask for.
    names_followed: Option<u32>,
    /// When the rules were compiled last because of what joined sets by names.
    named_compiled: Option<Instant>,
    /// Who keeps what happens. Behind the door, which lets go of it.
    recorder: Recorder,
    /// What holds in the place of the rule file, which is no good: said until it is.
    stand_in: Option<String>,
    /// What is wrong with the rule file on disk.
    bad_file: Option<String>,
    /// What the rules in force name and could not be had.
    missing: Vec<String>,
    /// When what is no good or missing is looked for again.
    again: Again,
    /// Why apps can't attach.
    no_door: Option<String>,
    /// Which hooks are gone.
    open: Option<String>,
    /// What else failed and still does.
    failures: Troubles,
}

impl Firewall {
    /// Starts it: takes over what an earlier service left in the kernel, or begins anew. When this returns, packets are
    /// judged.
    pub(crate) fn start(config: Config) -> Result<Self> {
        // Before we may get mounts of our own: what is mounted for this, everybody is to see.
        let pins = Pins::open(&config.pins)?;
        let state = State::take(&config.state)?;
        let begins = !pins.is_there();
        let places = config.places();
        let entered = Zone::enter(config.netns.as_deref(), &config.cgroup)
            .and_then(|zone| Self::begin(config, state, pins, zone));
        entered.map_err(|error| {
            // What an earlier service left stays in force. What we began alone is no firewall yet, and is taken out again.
            match begins.then(|| recover::take_out(&places)) {
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
        // The door before the hooks: an app that is attached by then misses nothing.
        let door = open_door(&mut driver, &config.socket);
        let no_door = door
            .as_ref()
            .err()
            .map(|cause| format!("no app can attach: {cause:#}"));
        no_door.iter().for_each(|said| error!("{said}"));
        let keeper = Keeper::open(&config.kept);
        let members = Members::found(&driver, &config.kept, sets::now()?)?;
        let waker = DriverWaker::of(&driver)?;
        let always = Always::open(&config.kept);
        let addresses = address_names::AddressNames::learn(&driver);
        let recorder = Recorder::begin(&config, addresses.known());
        let earlier = keeper.last_good().map(|good| good.programs);
        let mut firewall = Self {
            programs: Watch::new(),
            since: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
            config,
            state,
            driver,
            pins,
            zone,
            looked: Instant::now(),
            rulebook,
            names: KnownGenerations::default(),
            door: door.ok(),
            flows: 0,
            swept: None,
            keeper,
            members,
            questions: Questions::numbered_from(Duration::from_nanos(sets::now()?.boot_ns)),
            rung: false,
            met: None,
            always,
            answered: AnsweredPrograms::default(),
            waker,
            addresses,
            names_followed: None,
            named_compiled: None,
            recorder,
            earlier: earlier.unwrap_or_default(),
            former: Again::default(),
            stand_in: None,
            bad_file: None,
            missing: Vec::new(),
            again: Again::default(),
            no_door,
            open: None,
            failures: Troubles::default(),
        };
        // Of what is in force now records come until the next rules are.
        firewall.keep_names();
        // A lease may have ended while no service was there.
        firewall.expire();
        firewall.first_answers();
        // Of what is on disk the kernel may have nothing yet, and the rules may ask no set.
        firewall.first_members()?;
        firewall.first_rules()?;
        firewall.follow_names();
        firewall.driver.attach(&firewall.pins, &firewall.zone)?;
        firewall.write_down();
        for folder in firewall.pins.remove_others()? {
            info!(
                "took off the hooks that an earlier release had left in {}",
                folder.display()
            );
        }
        Ok(firewall)
    }

    /// The rule file's; or what the kernel has, if the file is no good; or what was good last; or the built-in minimum. Whatever
    /// is wrong, something holds.
    fn first_rules(&mut self) -> Result<()> {
        if self.reload().is_ok() {
            return Ok(());
        }
        if let Some(held) = self.rulebook.confirmed() {
            error!(
                "generation {} stays in force, which the kernel still has",
                held.generation
            );
            return Ok(());
        }
        self.stand_in()
    }

    fn stand_in(&mut self) -> Result<()> {
        let (candidates, unusable) = stand_in::candidates(&self.keeper);
        unusable.iter().for_each(|why| error!("{why}"));
        let mut failed = None;
        for (good, what) in candidates {
            let budget = self.budget();
            let put =
                self.rulebook
                    .put_last_good(&self.driver, &self.state, good, &self.members, budget);
            match put {
                Ok(_) => {
                    let said = format!(
                        "THE RULE FILE IS NOT IN FORCE, but {what}; mend {}, then `systemctl reload gatebell`",
                        self.config.rule_file()
                    );
                    error!("{said}");
                    self.stand_in = Some(said);
                    // Programs may be other files than when those were good.
                    self.renew();
                    return Ok(());
                }
                Err(cause) => {
                    error!("{what} can't be put in force: {cause:#}");
                    failed = Some(cause);
                }
            }
        }
        Err(failed.unwrap_or_else(|| anyhow!("there are no rules at all")))
    }

    /// Does what there is to do, or waits for it at most this long. `beside` wakes it too.
    pub(crate) fn turn(&mut self, timeout: Duration, beside: &[BorrowedFd<'_>]) -> Result<()> {
        let again = self.is_troubled().then(|| self.again.rest());
        // What is taken out of the kernel, nobody tells us of.
        let look = EVERY.saturating_sub(self.looked.elapsed());
        let has_former = self
            .rulebook
            .programs()
            .any(|program| !program.former.is_empty());
        let former = has_former.then(|| self.former.rest());
        // One whose end could not be written down is over in the driver all the same.
        let lease = self.rulebook.time_left();
        let lease = lease.map(|left| {
            if self.failures.holds(Cause::Lease) {
                left.max(EVERY)
            } else {
                left
            }
        });
        let timeout = [
            lease,
            self.programs.due(),
            again,
            Some(look),
            former,
            self.questions_due(Instant::now()),
            self.members.due(),
        ]
        .into_iter()
        .flatten()
        .fold(timeout, Duration::min);
        let room = self.room();
        self.follow_names();
        let mut wakers = vec![self.waker.as_fd()];
        wakers.extend(self.programs.waker());
        wakers.extend(self.addresses.waker());
        wakers.extend(beside);
        match &mut self.door {
            Some(door) => {
                door.set_room(room);
                door.turn(timeout, &wakers)?;
            }
            None => wait(timeout, &wakers)?,
        }
        self.join_by_name();
        self.ask_people();
        if self.looked.elapsed() >= EVERY {
            self.heal();
            self.tidy_answers(false);
            self.tidy_members();
            self.addresses.look_for_resolvers();
        }
        self.keep_members(false);
        let has_former = self
            .rulebook
            .programs()
            .any(|program| !program.former.is_empty());
        if self.programs.changed() || has_former && self.former.is_due() {
            self.former = Again::default();
            self.renew();
        }
        if self.is_troubled() && self.again.is_due() {
            self.look_again();
        }
        Ok(())
    }

    /// Whether something that stands outside may have come to be right by itself: a disk that is mounted later, a user who is
    /// known only once the network is there.
    fn is_troubled(&self) -> bool {
        self.stand_in.is_some() || !self.missing.is_empty() || self.failures.holds(Cause::Programs)
    }

    /// Looks again for what was no good or missing.
    fn look_again(&mut self) {
        if self.failures.holds(Cause::Programs) {
            self.renew();
        }
        if self.stand_in.is_some() {
            // Said already, unless it is something else by now.
            let before = self.bad_file.take();
            self.bad_file = match self.reload_file() {
                Ok(applied) => {
                    info!(
                        "the rule file is good now; generation {} is in force",
                        applied.generation
                    );
                    None
                }
                Err(wrong) => Some(bad_file(&wrong)),
            };
            if let Some(other) = self.bad_file.as_ref().filter(|_| self.bad_file != before) {
                error!("{other}");
            }
            return;
        }
        let text = self.rulebook.confirmed().and_then(|held| held.text.clone());
        let Some((name, text)) = text else {
            return;
        };
        let Ok(rules) = self.read(&name, &text) else {
            return;
        };
        if missing(&rules) == self.missing && !self.failures.holds(Cause::Rules) {
            return;
        }
        let taken = self.take(&name, &text, &rules, false);
        if let Some(applied) = self.noted(Cause::Rules, taken.map_err(anyhow::Error::from)) {
            info!(
                "what the rules name has changed; generation {} knows it",
                applied.generation
            );
        }
    }

    /// Makes these the confirmed rules, and keeps them for a start at which the rule file is no good.
    fn take(
        &mut self,
        name: &str,
        text: &str,
        rules: &Rules,
        ends_lease: bool,
    ) -> Result<Applied, Refused> {
        let budget = self.budget();
        let new = New {
            name,
            text,
            rules,
            members: &self.members,
            budget,
        };
        let before = self.rulebook.confirmed().map(|held| held.generation);
        let taken = self
            .rulebook
            .confirm_at_once(&self.driver, &self.state, new, ends_lease);
        let (held, compiled) = taken.map_err(|error| self.how_far(before, refused(error)))?;
        self.are_good(&held, rules, compiled);
        Ok(self.applied(&held, rules))
    }

    fn are_good(&mut self, held: &Held, rules: &Rules, compiled: Compiled) {
        self.stand_in = None;
        self.failures.note(Cause::Rules, &Ok(()));
        self.missing = missing(rules);
        self.missing.iter().for_each(|trouble| error!("{trouble}"));
        let Some((name, text)) = held.text.clone() else {
            return;
        };
        self.keeper.keep(LastGood {
            name,
            text,
            since: now(),
            troubled: !self.missing.is_empty(),
            programs: held.programs.clone(),
            compiled: Ok(compiled),
        });
    }

    /// Tidies up after a lease whose time is over. Returns the generation that is no longer tried out.
    pub(crate) fn expire(&mut self) -> Option<u32> {
        let ended = self.rulebook.expire(&self.driver, &self.state);
        self.noted(Cause::Lease, ended.context("ending a lease")).flatten().inspect(|generation| {
            warn!("generation {generation} was not confirmed in time; the confirmed rules are back");
        })
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
        let swept = self.driver.forget_idle_flows();
        self.swept = Some(LastSweep::new(begun, Instant::now()));
        self.flows = swept.as_ref().map_or(self.flows, |swept| swept.left);
        swept
    }

    /// Has it told what connections have carried, for somebody who looks.
    pub(crate) fn tell_carried(&mut self) {
        let now = Instant::now();
        if self.swept.is_none_or(|last| last.may_be_followed(now)) {
            self.sweep();
        }
    }

    /// Puts back what somebody took out of the kernel.
    fn heal(&mut self) {
        self.looked = Instant::now();
        let healed = self.driver.heal(&self.pins, &self.zone);
        self.open = healed.as_ref().err().map(|cause| {
            format!("hooks are gone and can't be put back, so that packets pass unjudged: {cause:#}; restart the service")
        });
        match (&self.open, healed) {
            (Some(open), _) => error!("{open}"),
            (None, Ok(gone)) if !gone.is_empty() => {
                let gone = gone.join(", ");
                warn!("these hooks were gone, and are there again: {gone}");
            }
            _ => {}
        }
    }

    /// Ends every app's reference. What is attached in the kernel stays.
    pub(crate) fn detach_apps(&mut self) {
        self.door.iter_mut().for_each(DeviceServer::detach_all);
        self.keep_members(true);
    }

    /// Who reads what was kept, for a thread that may wait for it.
    pub(crate) fn history(&self) -> HistoryReader {
        self.recorder.reader()
    }

    /// How it is.
    #[must_use]
    pub fn status(&mut self) -> Status {
        let nothing = InForce {
            generation: 0,
            name: None,
            rules: 0,
        };
        let held = self.rulebook.in_force();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            contract: firewall_abi::VERSION,
            pid: std::process::id(),
            since: self.since,
            adopted: self.driver.adopted(),
            netns: self.config.netns.clone(),
            cgroup: self.config.cgroup.clone(),
            devices: devices(),
            pins: self.config.pins.clone(),
            rules: held.map_or(nothing, Held::in_force),
            lease: self.rulebook.lease(),
            fail_mode: held
                .map(|held| held.fail_mode)
                .unwrap_or_default()
                .name()
                .to_owned(),
            kernel_memory: self.memory(),
            history: self.recorder.status(self.config.history),
            trouble: self.troubles(),
        }
    }

    /// What is not as it should be, worst first.
    fn troubles(&self) -> Vec<String> {
        let Self {
            stand_in,
            bad_file,
            missing,
            failures,
            no_door,
            open,
            ..
        } = self;
        let said = [open, stand_in, bad_file].into_iter().flatten();
        let said = said.chain(missing).chain(failures.iter());
        let said = said.chain(no_door).cloned();
        let unkept = [
            self.programs.trouble(),
            self.keeper.trouble(),
            self.always.trouble(),
            self.state.trouble(),
            self.addresses.trouble(),
            self.recorder.trouble(),
        ];
        said.chain(unkept.into_iter().flatten()).collect()
    }

    /// Takes these rules. `name` is what they are called in messages. Without a lease they are confirmed at once, and the
    /// rule file is replaced; with one they hold until then and no longer, unless [`Self::confirm`] comes first. A second
    /// lease takes the candidate's place, never that of the confirmed rules.
    pub fn apply(
        &mut self,
        name: &str,
        text: &str,
        lease: Option<Duration>,
        note: ChangeNote,
        by: String,
    ) -> Result<Applied, Refused> {
        let in_force = self.rulebook.in_force().map_or(0, |held| held.generation);
        if note.replaces.is_some_and(|read| read != in_force) {
            return Err(Refused::Replaced);
        }
        let rules = self.read(name, text)?;
        let Some(time) = lease else {
            let mut applied = self.take(name, text, &rules, true)?;
            let what = note.what.unwrap_or_else(|| format!("apply {name}"));
            let change = NewChange {
                by,
                what,
                undoes: note.undoes,
            };
            applied.change = self.write_file(text, change)?;
            info!("generation {} is in force", applied.generation);
            return Ok(applied);
        };
        let budget = self.budget();
        let new = New {
            name,
            text,
            rules: &rules,
            members: &self.members,
            budget,
        };
        let held = self
            .rulebook
            .try_out(&self.driver, &self.state, new, time)
            .map_err(refused)?;
        info!(
            "generation {} is in force for {} s, unless it is confirmed",
            held.generation,
            time.as_secs()
        );
        Ok(self.applied(&held, &rules))
    }

    /// Makes the candidate the confirmed rules, and then replaces the rule file.
    pub fn confirm(&mut self, by: String) -> Result<Applied, Refused> {
        let before = self.rulebook.confirmed().map(|held| held.generation);
        let confirmed = self.rulebook.confirm(&self.driver, &self.state);
        let held = confirmed.map_err(|error| self.how_far(before, error))?;
        info!("generation {} is confirmed", held.generation);
        let Some((name, text)) = held.text.clone() else {
            return Err(self.incomplete("their text is lost: apply them again".to_owned()));
        };
        let change = NewChange {
            by,
            what: format!("confirm {name}"),
            undoes: None,
        };
        let change = self.write_file(&text, change)?;
        // They are confirmed. Whoever tried them out has seen their warnings; files that they name may be gone by now.
        let applied = match self.read(&name, &text) {
            Ok(rules) => {
                self.are_good(&held, &rules, Compiled::of(rules.compile(held.generation)));
                self.applied(&held, &rules)
            }
            Err(unreadable) => self.confirmed_unread(&held, &unreadable),
        };
        Ok(Applied { change, ..applied })
    }

    /// Ends the lease: the confirmed rules are back.
    pub fn revert(&mut self) -> Result<InForce, Refused> {
        self.rulebook.revert(&self.driver, &self.state)?;
        let held = self.rulebook.confirmed().ok_or(Refused::NoLease)?;
        info!("the lease is ended; generation {} is back", held.generation);
        Ok(held.in_force())
    }

    /// Reads the rule file again, as SIGHUP does. A lease that runs goes on.
    pub fn reload(&mut self) -> Result<Applied, Refused> {
        let reloaded = self.reload_file();
        self.bad_file = reloaded.as_ref().err().map(|wrong| {
            error!("{wrong}");
            bad_file(wrong)
        });
        reloaded
    }

    /// What the driver counted. The connections are those of now, or of a moment ago if counting them takes long.
    pub fn stats(&mut self) -> Result<Stats, Refused> {
        let now = Instant::now();
        if self.swept.is_none_or(|last| last.may_be_followed(now)) {
            self.forget_idle().map_err(refused)?;
        }
        let generation = self.rulebook.in_force().map_or(0, |held| held.generation);
        Ok(Stats::of(
            generation,
            self.driver.verdicts().map_err(refused)?,
            self.flows,
            self.name_stats().map_err(refused)?,
        ))
    }

    fn name_stats(&self) -> Result<NameStats> {
        let AnswersSeen {
            handed,
            lost,
            questions_lost,
        } = self.driver.answers_seen()?;
        let (known, unread) = self.addresses.counted();
        let NotJoined {
            unasked,
            strange,
            no_room,
        } = self.addresses.not_joined();
        Ok(NameStats {
            known,
            answers: handed,
            lost,
            unread,
            questions_lost,
            unasked,
            strange,
            no_room,
        })
    }

    /// The names of addresses that were learned after this turn.
    #[must_use]
    pub fn address_names(&self, since: u64) -> AddressNames {
        let (learned, turn) = self.addresses.since(since);
        let names = learned.into_iter().map(|learned| AddressName {
            address: learned.address,
            name: learned.name.to_string(),
            seconds_left: learned.left.as_secs(),
        });
        AddressNames {
            names: names.collect(),
            turn,
        }
    }

    /// How often each rule has decided.
    pub fn hits(&mut self) -> Result<Hits, Refused> {
        let generation = self.rulebook.in_force().map_or(0, |held| held.generation);
        let hits = self
            .driver
            .hits(self.rulebook.place_in_force())
            .map_err(refused)?;
        Ok(Hits { generation, hits })
    }

    /// Every app's books.
    #[must_use]
    pub fn accounts(&mut self) -> Accounts {
        let Some(door) = &self.door else {
            return Accounts {
                taken: 0,
                released: 0,
                apps: Vec::new(),
                past: Counted::default(),
                balances: true,
            };
        };
        let references = door.references();
        let apps: Vec<Account> = door
            .accounts()
            .map(|app| Account {
                slot: app.slot,
                pid: app.pid,
                user: app.user,
                counted: app.totals.into(),
                balances: app.totals.balances(),
                lies: app.lies,
            })
            .collect();
        let attached =
            references.taken.checked_sub(references.released) == Some(references.attached);
        let balances =
            attached && references.past.balances() && apps.iter().all(|app| app.balances);
        let (taken, released, past) = (
            references.taken,
            references.released,
            references.past.into(),
        );
        Accounts {
            taken,
            released,
            apps,
            past,
            balances,
        }
    }

    /// The text of the rules that are judged by now: the candidate's while a lease runs.
    #[must_use]
    pub fn rules(&mut self) -> RuleText {
        let folder = self.config.rule_folder();
        let file =
            std::path::absolute(&self.config.rules).unwrap_or_else(|_| self.config.rules.clone());
        match self.rulebook.in_force() {
            Some(held) => held.rule_text(folder, file),
            None => RuleText {
                generation: 0,
                name: None,
                text: None,
                folder,
                file,
            },
        }
    }

    /// The names of this generation's rules, if they are known.
    #[must_use]
    pub fn rule_names(&mut self, generation: u32) -> Option<RuleNames> {
        self.keep_names();
        self.names.get(generation).cloned()
    }

    /// The path of a program that a record names: its file system's device and its inode.
    #[must_use]
    pub fn program(&mut self, id: [u64; 2]) -> Option<String> {
        self.driver.program(id).ok().flatten()
    }

    fn read(&self, name: &str, text: &str) -> Result<Rules, Refused> {
        let machine = KeptLists::beside(&self.config.rules, &self.keeper);
        let mut rules = rules::parse(name, text, &machine).map_err(|errors| {
            Refused::Rules(errors.findings().iter().map(ToString::to_string).collect())
        })?;
        let known = self.rulebook.programs().chain(&self.earlier);
        programs::keep_former(&mut rules, known);
        self.members.combine(&mut rules).map_err(Refused::System)?;
        Ok(rules)
    }

    fn reload_file(&mut self) -> Result<Applied, Refused> {
        let name = self.config.rule_file();
        let text = fs::read_to_string(&self.config.rules).map_err(|cause| {
            Refused::System(format!("can't read the rule file {name}: {cause}"))
        })?;
        let rules = self.read(&name, &text)?;
        for warning in rules.warnings() {
            warn!("{warning}");
        }
        let before = self.rulebook.confirmed().and_then(|held| held.text.clone());
        let mut applied = self.take(&name, &text, &rules, false)?;
        if let Some((_, before)) = before.filter(|(_, before)| *before != text) {
            let change = NewChange {
                by: "whoever wrote the file".to_owned(),
                what: "change the file by hand".to_owned(),
                undoes: None,
            };
            let kept = self.keep(&before, change);
            applied.change = self.noted(
                Cause::History,
                kept.context("the rules before this change are not kept"),
            );
        }
        Ok(applied)
    }

    /// Keeps the names of what is in force, of which nobody here has read the text yet.
    fn keep_names(&mut self) {
        let (confirmed, in_force) = (self.rulebook.confirmed(), self.rulebook.in_force());
        for held in confirmed.into_iter().chain(in_force) {
            if let Some((file, text)) = &held.text {
                self.names.insert_text(held.generation, file, text);
            }
        }
    }

    fn applied(&mut self, held: &Held, rules: &Rules) -> Applied {
        let file = held.text.as_ref().map_or("", |(name, _)| name);
        self.names.insert(held.generation, file, rules);
        self.programs.follow(self.rulebook.programs());
        self.follow_names();
        let lease = self
            .rulebook
            .lease()
            .filter(|lease| lease.generation == held.generation);
        let warnings = rules
            .warnings()
            .iter()
            .chain(rules.troubles())
            .map(ToString::to_string)
            .collect();
        Applied {
            generation: held.generation,
            rules: held.count,
            warnings,
            lease,
            change: None,
        }
    }

    /// The kernel has them by now; the disk is to have them after the next start too. The change's number, if the state before
    /// is kept.
    fn write_file(&mut self, text: &str, change: NewChange) -> Result<Option<u64>, Refused> {
        // Where there was nothing to keep, nothing is known of whether it could be.
        let kept = self.keep_file(text, change).transpose().and_then(|kept| {
            let why = "the rule file's state before this change is not kept";
            self.noted(Cause::History, kept.context(why))
        });
        let written = store::replace(&self.config.rules, text.as_bytes())
            .with_context(|| format!("can't write {}", self.config.rules.display()));
        self.bad_file = written.as_ref().err().map(|cause| {
            format!(
                "the rules in force are not in the rule file, and are lost with the next start: {cause:#}"
            )
        });
        written.map(|()| kept).map_err(|cause| {
            self.incomplete(format!(
                "the rule file is the old one, and its rules return with the next start: {cause:#}; put that right and \
                 apply the rules again"
            ))
        })
    }

    /// Keeps what the rule file holds before it holds this text, for who wants it back.
    fn keep_file(&self, text: &str, change: NewChange) -> Result<Option<u64>> {
        let Ok(before) = fs::read_to_string(&self.config.rules) else {
            // There is none yet, or it is no text: nothing to keep.
            return Ok(None);
        };
        if before == text {
            return Ok(None);
        }
        self.keep(&before, change).map(Some)
    }

    fn keep(&self, before: &str, change: NewChange) -> Result<u64> {
        // Nobody is waited for: this thread has a firewall to run.
        let history = History::beside(&self.config.rules);
        Ok(history.try_hold()?.keep(before, change)?.number)
    }

    /// What an error means for whoever asked, given the generation that was confirmed before: the kernel may have the rules
    /// although what came after failed.
    fn how_far(&self, before: Option<u32>, error: Refused) -> Refused {
        let now = self.rulebook.confirmed().map(|held| held.generation);
        if now == before {
            return error;
        }
        self.incomplete(format!(
            "not all of it could be written down: {error}; apply the rules again"
        ))
    }

    fn incomplete(&self, rest: String) -> Refused {
        Refused::Incomplete {
            generation: self.rulebook.in_force().map_or(0, |held| held.generation),
            confirmed: self.rulebook.lease().is_none(),
            rest,
        }
    }

    /// What was confirmed, where its text can't be read any more: that is a warning, for everything is done.
    fn confirmed_unread(&mut self, held: &Held, unreadable: &Refused) -> Applied {
        self.keep_names();
        self.programs.follow(self.rulebook.programs());
        let warning = format!(
            "the rules are confirmed, but can't be read again, and the service can't start with them: {unreadable}"
        );
        Applied {
            generation: held.generation,
            rules: held.count,
            warnings: vec![warning],
            lease: None,
            change: None,
        }
    }

    /// A program that rules name may be another file by now.
    fn renew(&mut self) {
        let renewed = self.renewed();
        if let Some(generation) = self
            .noted(
                Cause::Programs,
                renewed.context("following a program's new file"),
            )
            .flatten()
        {
            info!(
                "a program that rules name is another file now; generation {generation} knows it"
            );
        }
        self.keep_names();
        self.programs.follow(self.rulebook.programs());
    }

    fn renewed(&mut self) -> Result<Option<u32>> {
        let budget = self.budget();
        let machine = KeptLists::beside(&self.config.rules, &self.keeper);
        self.rulebook
            .renew(&self.driver, &self.state, &machine, &self.members, budget)
    }

    fn memory(&mut self) -> Memory {
        let (taken, rings) = (self.driver.memory(), self.rings());
        Memory {
            budget: self.config.kernel_memory,
            used: taken.sum() + rings.attached + rings.let_go,
            tables: taken.own,
            rules: taken.rules,
            sets: taken.sets,
            rings: rings.attached,
            rings_let_go: rings.let_go,
        }
    }

    fn rings(&mut self) -> RingMemory {
        self.door
            .as_mut()
            .map(DeviceServer::memory)
            .unwrap_or_default()
    }

    /// What rings leave to tables.
    fn budget(&mut self) -> Budget {
        let (whole, rings) = (self.config.kernel_memory, self.rings());
        Budget {
            whole,
            tables: whole.saturating_sub(rings.attached + rings.let_go),
        }
    }

    /// What tables leave to rings. Others than root have a share of their own, so that they can't keep root from changing the
    /// rules.
    fn room(&self) -> Room {
        let whole = self.config.kernel_memory;
        let all = whole.saturating_sub(self.driver.memory().sum());
        Room {
            all,
            others: all.min(whole / 4),
        }
    }

    fn write_down(&self) {
        self.state.write(&Written {
            netns: self.config.netns.clone(),
            cgroup: self.config.cgroup.clone(),
            pins: self.config.pins.clone(),
            sockets: vec![self.config.socket.clone(), self.config.control.clone()],
        });
    }

    /// What should not fail and did: said, and shown in the status until the same thing succeeds.
    fn noted<T>(&mut self, cause: Cause, result: Result<T>) -> Option<T> {
        if let Some(new) = self.failures.note(cause, &result) {
            error!("{new}");
        }
        result.ok()
    }
}
