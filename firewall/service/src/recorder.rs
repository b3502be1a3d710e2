//! What happened, kept: a thread hears of it as any app does and hands it to the database, another reads it to whoever asks.
//!
//! Rules that hold here:
//! - It is telemetry. No verdict, no rule and no answer waits for it: it has a ring as any app has, and what finds no room there, or in
//!   the database, is counted.
//! - Both threads give up their capabilities for ever before they look at a byte of a record or of the file.
//! - It is written each second. A service that is killed loses what came since.
//! - It rests four times as long as it has worked, but never for more than a second: a fifth of one processor, unless a second's worth
//!   of records, or a slow disk, keeps it for longer than a quarter of one.
//! - A file that can't be used is put aside and another begun; a disk that takes nothing is tried again.

use crate::address_names::KnownNames;
use crate::asking::address;
use crate::escape::plain;
use crate::firewall::Config;
use crate::program_files::ProgramFiles;
use crate::{capabilities, folders};
use anyhow::{Context, Result, anyhow};
use channel::{Account, Attachment, Item, Mask, Record, Wake};
use channel_abi::Ending;
use control::{HistoryPage, HistoryRow, HistoryStatus, Names, ServiceNames};
use firewall_abi::firewall::{Carried, FlowEntry, packets_and_bytes};
use firewall_abi::kind;
use firewall_abi::packet::{
    Direction, NO_RULE, NO_USER, Packet, PacketMeta, UnknownNumber, Verdict,
};
use history::{
    Batch, Bounds, Contact, Contacts, Conversation, Database, EARLIEST, Failed, PageRequest, Tally,
    Traffic,
};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{error, info};

/// Bytes of its ring.
const RING_BYTES: u32 = 1 << 20;
/// How often what came is written,
const EVERY: Duration = Duration::from_secs(1);
/// and how often, where nothing comes, it is looked whether rows are old.
const SELDOM: Duration = Duration::from_secs(15 * 60);
/// How long what failed is left alone.
const BREATH: Duration = Duration::from_secs(1);
/// How often a thread that waits looks whether it is to end.
const GLANCE: Duration = Duration::from_millis(10);
/// How long a disk that took nothing is left alone.
const BREATH_OF_A_DISK: Duration = Duration::from_secs(10);
/// It rests for so many times as long as it has worked, and not for less than this.
const REST: u32 = 4;
const SHORTEST_REST: Duration = Duration::from_millis(1);
/// Kinds of records that are told apart before they get their names.
const MOST_UNNAMED: usize = 8192;
/// How long the control socket's thread waits for a page, once; whoever asked asks again for what takes longer.
const PATIENCE: Duration = Duration::from_millis(50);
/// Users for whom a page may be read at once.
const MOST_IN_HAND: usize = 16;
/// And how long an end waits for the last write.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// The threads. Dropped, they end, and what came is written.
pub struct Recorder {
    shared: Arc<Shared>,
    reader: HistoryReader,
    writing: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    kept: AtomicU64,
    lost: AtomicU64,
    bytes: AtomicU64,
    put_aside: AtomicBool,
    /// Why nothing is kept at the moment.
    trouble: Mutex<Option<String>>,
}

impl Shared {
    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says it, unless it was said.
    fn fails(&self, cause: &str) {
        let said = format!("what happens is not kept in the history, and is counted: {cause}");
        let mut trouble = self.trouble();
        if trouble.as_ref() != Some(&said) {
            error!("{said}");
            *trouble = Some(said);
        }
    }

    fn works(&self) {
        if self.trouble().take().is_some() {
            info!("what happens is kept in the history again");
        }
    }
}

impl Recorder {
    /// Begins to keep what happens. Without it the firewall guards all the same.
    pub fn begin(config: &Config, addresses: KnownNames) -> Self {
        let shared = Arc::new(Shared::default());
        let folder = config.kept.clone();
        let writer = config.history.map(|bounds| Writer {
            bounds,
            folder: folder.clone(),
            device: config.socket.clone(),
            names: Named {
                service: ServiceNames::new(&config.control),
                addresses,
            },
            shared: shared.clone(),
            database: None,
            again: Instant::now(),
            contacts: None,
            files: ProgramFiles::begin(),
            told: Told::default(),
            unnamed: HashMap::new(),
            batch: Batch::default(),
            before: 0,
            unwritten: 0,
            unset: None,
        });
        let writing = writer.map(|mut writer| {
            std::thread::Builder::new()
                .name("history".to_owned())
                .spawn(move || writer.run())
        });
        let writing = writing.and_then(|started| {
            let started = started.inspect_err(|cause| shared.fails(&cause.to_string()));
            started.ok()
        });
        Self {
            shared,
            reader: HistoryReader::begin(folder),
            writing,
        }
    }

    /// Who reads what is kept, for other threads.
    pub fn reader(&self) -> HistoryReader {
        self.reader.clone()
    }

    /// Why nothing is kept.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble().clone()
    }

    /// How it is, if anything is to be kept.
    pub fn status(&self, bounds: Option<Bounds>) -> Option<HistoryStatus> {
        let Bounds { days, bytes } = bounds?;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Some(HistoryStatus {
            days,
            budget: bytes,
            used: count(&self.shared.bytes),
            kept: count(&self.shared.kept),
            lost: count(&self.shared.lost),
            put_aside: self.shared.put_aside.load(Ordering::Relaxed),
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        let Some(thread) = self.writing.take() else {
            return;
        };
        // The door has let go of it by now, which it hears. A disk that hangs is not waited for.
        let end = Instant::now() + LAST_WRITE;
        while !thread.is_finished() && Instant::now() < end {
            std::thread::sleep(SHORTEST_REST);
        }
    }
}

/// What is counted as one, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Unnamed {
    direction: Direction,
    verdict: u8,
    reason: u8,
    protocol: u8,
    remote: [u8; 16],
    source: Option<[u8; 16]>,
    port: Option<u16>,
    program: [u64; 2],
    process: [u8; 16],
    user: u32,
    rule: u32,
    generation: u32,
}

impl Unnamed {
    fn of(packet: &Packet) -> Result<Self, UnknownNumber> {
        let (flow, decision) = (&packet.flow, &packet.decision);
        let direction = Direction::try_from(flow.direction)?;
        let (remote, source) = match direction {
            Direction::Inbound => (flow.source, None),
            Direction::Outbound => (flow.destination, None),
            Direction::Forward => (flow.destination, Some(flow.source)),
        };
        // Of ICMP it is a code.
        let has_ports = !matches!(flow.protocol, 1 | 58) && flow.destination_port != 0;
        Ok(Self {
            direction,
            verdict: decision.verdict,
            reason: decision.reason,
            protocol: flow.protocol,
            remote,
            source,
            port: has_ports.then_some(flow.destination_port),
            program: packet.program,
            process: packet.name,
            user: packet.user,
            rule: decision.rule,
            generation: decision.generation,
        })
    }

    /// The same of what a connection has carried, and how much that is.
    fn of_carried(carried: &Carried, at: u64) -> Result<(Self, Tally), UnknownNumber> {
        let Carried { key, entry, .. } = carried;
        let direction = Direction::try_from(entry.direction)?;
        let mut from = (key.local, key.local_port, traffic(entry.sent));
        let mut to = (key.remote, key.remote_port, traffic(entry.received));
        // Of what is forwarded the key does not say who began.
        if entry.local_began == 0 {
            std::mem::swap(&mut from, &mut to);
        }
        let (here, there) = match direction {
            Direction::Inbound => (to, from),
            Direction::Outbound | Direction::Forward => (from, to),
        };
        let protocol = key.protocol as u8;
        let port = (!matches!(protocol, 1 | 58) && to.1 != 0).then_some(to.1);
        let seen = Self {
            direction,
            verdict: Verdict::Allow as u8,
            reason: entry.reason,
            protocol,
            remote: there.0,
            source: (direction == Direction::Forward).then_some(here.0),
            port,
            program: entry.program,
            process: zerocopy::transmute!(entry.name),
            user: entry.user,
            rule: entry.rule,
            generation: entry.generation,
        };
        let mut tally = Tally::one(at);
        // What was told as a packet too is one already, and so is what was told of before.
        if entry.state & FlowEntry::TOLD != 0 || entry.logged != 0 {
            tally.count = 0;
        }
        (tally.sent, tally.received) = (here.2, there.2);
        Ok((seen, tally))
    }
}

fn traffic(carried: u64) -> Traffic {
    let (packets, bytes) = packets_and_bytes(carried);
    Traffic { packets, bytes }
}

/// The names behind the numbers: of rules and programs the service's, which is asked as any app asks; of addresses our own.
struct Named {
    service: ServiceNames,
    addresses: KnownNames,
}

impl Named {
    fn name(&mut self, seen: Unnamed) -> Result<Conversation, UnknownNumber> {
        let remote = address(seen.remote);
        // What stands for no program is none's.
        let file = (seen.program != [0; 2] && seen.program[0] != PacketMeta::KERNEL[0])
            .then_some(seen.program);
        let process = if seen.program == PacketMeta::KERNEL {
            "kernel".into()
        } else {
            text(&seen.process).into()
        };
        let rule = (seen.rule != NO_RULE)
            .then(|| self.service.rule(seen.generation, seen.rule))
            .flatten();
        Ok(Conversation {
            direction: seen.direction,
            verdict: seen.verdict.try_into()?,
            reason: seen.reason.try_into()?,
            protocol: seen.protocol,
            remote: Some(remote),
            source: seen.source.map(address),
            port: seen.port,
            program: file.and_then(|file| self.service.program(file)),
            process,
            user: (seen.user != NO_USER).then_some(seen.user),
            rule: rule.map(|rule| rule.id.into()),
            name: self.addresses.name_of(remote),
            contact: Contact::Known,
        })
    }
}

struct Writer {
    bounds: Bounds,
    folder: PathBuf,
    device: PathBuf,
    names: Named,
    shared: Arc<Shared>,
    database: Option<Database>,
    /// When a database that could not be had is looked for again.
    again: Instant,
    /// Which programs have talked before; none: what is written down of them was not read yet.
    contacts: Option<Contacts>,
    files: ProgramFiles,
    /// What the log was told of them.
    told: Told,
    unnamed: HashMap<Unnamed, Tally>,
    batch: Batch,
    /// What rings before this one lost.
    before: u64,
    /// What the database did not take, or nobody could read.
    unwritten: u64,
    /// What a clock that is not set yet said, and when that was.
    unset: Option<(u64, Instant)>,
}

impl Writer {
    /// Until the service ends.
    fn run(&mut self) {
        if let Err(cause) = capabilities::give_up() {
            self.shared
                .fails(&format!("the thread can't give up capabilities: {cause}"));
            return;
        }
        // Whoever asks before anything happens finds a file, or hears that it is none.
        self.tidy();
        while !self.shared.ends.load(Ordering::Acquire) {
            match self.attach() {
                // The service ends, or somebody has stopped the driver and may go on.
                Ok(_) => {}
                Err(cause) => self.shared.fails(&format!("{cause:#}")),
            }
            self.breathe();
        }
    }

    fn breathe(&self) {
        let end = Instant::now() + BREATH;
        while Instant::now() < end && !self.shared.ends.load(Ordering::Acquire) {
            std::thread::sleep(GLANCE);
        }
    }

    /// Attaches, and keeps what comes until it ends.
    fn attach(&mut self) -> Result<Ending> {
        // The door is served once the service is up: this waits for it.
        let device = channel::open(&self.device).context("opening our own device")?;
        let mut attachment =
            device.attach(RING_BYTES, Mask::of(kind::PACKET).and(kind::CARRIED))?;
        let (mut flushed, mut tidied) = (Instant::now(), None);
        loop {
            let rest = match (tidied, self.waits()) {
                (None, _) => GLANCE,
                (_, true) => EVERY.saturating_sub(flushed.elapsed()),
                (_, false) => SELDOM,
            };
            let woken = attachment.wait(Some(rest))?;
            let began = Instant::now();
            self.take(&mut attachment)?;
            let ended = match woken {
                Wake::Ended(ending) => Some(ending),
                _ => None,
            };
            if flushed.elapsed() >= EVERY || ended.is_some() {
                flushed = Instant::now();
                self.count(&attachment.account()?);
                self.flush();
            }
            if tidied.is_none_or(|tidied: Instant| tidied.elapsed() >= BREATH_OF_A_DISK) {
                tidied = if self.tidy() {
                    None
                } else {
                    Some(Instant::now())
                };
            }
            if let Some(ending) = ended {
                self.before += attachment.account()?.kernel.lost_in_all();
                return Ok(ending);
            }
            std::thread::sleep((began.elapsed() * REST).clamp(SHORTEST_REST, EVERY));
        }
    }

    fn waits(&self) -> bool {
        !self.unnamed.is_empty() || !self.batch.is_empty()
    }

    /// Takes what is in the ring.
    fn take(&mut self, attachment: &mut Attachment) -> Result<()> {
        let at = now();
        attachment
            .drain(|item| {
                // What was lost stands in the ledger, with what no record tells of.
                if let Item::Record(record) = item {
                    self.note(record, at);
                }
            })
            .context("reading our own ring")?;
        Ok(())
    }

    fn note(&mut self, record: Record<'_>, at: u64) {
        let seen = if record.kind() == kind::CARRIED {
            let carried = record.read::<Carried>().ok();
            carried.map(|carried| Unnamed::of_carried(&carried, at))
        } else {
            let packet = record.read::<Packet>().ok();
            packet.map(|packet| Unnamed::of(&packet).map(|seen| (seen, Tally::one(at))))
        };
        let Some(Ok((seen, one))) = seen else {
            self.unwritten += 1;
            return;
        };
        self.unnamed
            .entry(seen)
            .and_modify(|tally| tally.add(&one))
            .or_insert(one);
        if self.unnamed.len() >= MOST_UNNAMED {
            self.name();
        }
    }

    /// Gives what came its names.
    fn name(&mut self) {
        for (file, program, look) in self.files.found() {
            if let Some(contacts) = &mut self.contacts {
                contacts.looked(&program, file, look);
            }
        }
        for (seen, tally) in std::mem::take(&mut self.unnamed) {
            match self.names.name(seen) {
                Ok(conversation) => {
                    let conversation = self.meet(conversation, seen.program, &tally);
                    self.batch.add(conversation, &tally);
                }
                Err(UnknownNumber(_)) => self.unwritten += tally.count,
            }
        }
    }

    /// Finds out whether its program talks for the first time, and says so.
    fn meet(&mut self, conversation: Conversation, file: [u64; 2], tally: &Tally) -> Conversation {
        let (Some(contacts), Some(program)) = (&mut self.contacts, &conversation.program) else {
            return conversation;
        };
        // Whoever knocks at a program's port in vain has not made it talk.
        let talks =
            conversation.direction == Direction::Outbound || conversation.verdict == Verdict::Allow;
        if !talks {
            return conversation;
        }
        let contact = contacts.meet(program, conversation.user, file, tally.last);
        self.files.look(program, file, tally.last);
        let conversation = Conversation {
            contact,
            ..conversation
        };
        self.told.tell(&conversation, tally.last);
        conversation
    }

    fn count(&self, account: &Account) {
        let lost = self.before + account.kernel.lost_in_all() + self.unwritten;
        self.shared.lost.store(lost, Ordering::Relaxed);
    }

    /// Writes what waits, or counts it.
    fn flush(&mut self) {
        // What is known of programs is had with it.
        let _said_already = self.with(|_| Ok(()));
        self.name();
        if self.batch.is_empty() {
            return;
        }
        let (count, rows) = (self.batch.count(), self.batch.take());
        match self.with(|database| database.write(&rows)) {
            Some(()) => {
                self.shared.kept.fetch_add(count, Ordering::Relaxed);
                self.shared.works();
            }
            None => {
                self.unwritten += count;
                self.shared.lost.fetch_add(count, Ordering::Relaxed);
            }
        }
        self.write_contacts();
    }

    /// Writes down which programs have talked, behind what they did: between the two a first contact would be told twice, and else never.
    fn write_contacts(&mut self) {
        let changes = self.contacts.as_mut().map(Contacts::take_changes);
        let changes = changes.unwrap_or_default();
        if changes.is_empty() {
            return;
        }
        let written = self.with(|database| database.write_programs(&changes));
        if let (None, Some(contacts)) = (written, &mut self.contacts) {
            contacts.put_back(changes);
        }
    }

    /// Has what was seen before the clock was set have happened when it did.
    fn follow_clock(&mut self, now: u64) {
        if now < EARLIEST {
            self.unset.get_or_insert((now, Instant::now()));
            return;
        }
        let Some((then, at)) = self.unset else { return };
        self.flush();
        let by = now.saturating_sub(then + at.elapsed().as_secs());
        if self.with(|database| database.set_clock(by)).is_some() {
            self.unset = None;
        }
    }

    /// True: there is more to do.
    fn tidy(&mut self) -> bool {
        self.follow_clock(now());
        let tidied = self.with(|database| Ok((database.tidy(now())?, database.size()?)));
        let Some((more, bytes)) = tidied else {
            return false;
        };
        self.shared.bytes.store(bytes, Ordering::Relaxed);
        more
    }

    /// Does this with the database, if it can be had. A file that is broken is given up, and the next time another is begun.
    fn with<T>(&mut self, work: impl FnOnce(&mut Database) -> Result<T, Failed>) -> Option<T> {
        if self.database.is_none() && Instant::now() < self.again {
            return None;
        }
        let done = self
            .opened()
            .and_then(|database| work(database).map_err(Some));
        done.map_err(|failed| {
            if let Some(failed) = &failed {
                let folder = self.folder.display();
                self.shared
                    .fails(&format!("{folder}: {failed}; make room or mend the folder"));
            }
            // Broken, it is put aside as it is opened again; gone, it is made again.
            self.database = None;
            self.again = match failed {
                Some(Failed::Broken(_)) => Instant::now(),
                _ => Instant::now() + BREATH_OF_A_DISK,
            };
        })
        .ok()
    }

    /// The error is said already if there is none.
    fn opened(&mut self) -> Result<&mut Database, Option<Failed>> {
        if self.database.is_none() {
            if let Err(cause) = folders::own(&self.folder) {
                self.shared.fails(&format!("{cause:#}"));
                return Err(None);
            }
            let opened = Database::open(&self.folder, self.bounds).map_err(Some)?;
            if let Some((aside, why)) = opened.put_aside {
                error!(
                    "the history could not be read ({why}): it lies in {}, and another is begun",
                    aside.display()
                );
                self.shared.put_aside.store(true, Ordering::Relaxed);
            }
            let database = opened.database;
            match &mut self.contacts {
                // It may be another file than before.
                Some(contacts) => contacts.write_all(),
                None => {
                    let known = database.programs().map_err(Some)?;
                    self.contacts = Some(Contacts::new(known, self.bounds.bytes));
                }
            }
            self.database = Some(database);
        }
        self.database.as_mut().ok_or(None)
    }
}

/// What the log is told of programs that talk for the first time: so many in a minute, and then how many more.
#[derive(Default)]
struct Told {
    minute: u64,
    many: u64,
}

impl Told {
    /// Lines of a minute.
    const MOST: u64 = 20;

    fn tell(&mut self, of: &Conversation, at: u64) {
        let what = match of.contact {
            Contact::Known => return,
            Contact::First => "talks for the first time",
            Contact::Changed => "talks for the first time since its file has changed",
        };
        let minute = at / history::MINUTE;
        if minute != self.minute {
            let more = self.many.saturating_sub(Self::MOST);
            if more > 0 {
                info!(
                    "{more} more programs have talked for the first time: gatebell history --first"
                );
            }
            (self.minute, self.many) = (minute, 0);
        }
        self.many += 1;
        if self.many > Self::MOST {
            return;
        }
        let program = of.program.as_deref().unwrap_or_default();
        let user = of
            .user
            .map_or("no user".to_owned(), |user| format!("user {user}"));
        let remote = of
            .remote
            .map_or("many".to_owned(), |remote| remote.to_string());
        let port = of
            .port
            .map_or(String::new(), |port| format!(" port {port}"));
        let way = of.direction.name();
        let became = of.verdict.name();
        info!("{program} ({user}) {what}: {way} {remote}{port}, {became}");
    }
}

/// Who reads what is kept, in a thread of its own. Cheap to clone; with the last one it ends.
#[derive(Clone)]
pub struct HistoryReader {
    ask: Sender<Asked>,
    /// What is being read, or was and nobody has heard it yet: one page for each user.
    in_hand: Arc<Mutex<HashMap<Option<u32>, InHand>>>,
}

type Read = Result<HistoryPage, String>;
type Asked = (PageRequest, SyncSender<Read>);

struct InHand {
    asked: PageRequest,
    hear: Receiver<Read>,
    /// What came of it, if it was looked at for another request.
    read: Option<Read>,
}

impl InHand {
    /// Whether it has been read.
    fn is_done(&mut self) -> bool {
        if self.read.is_none() {
            self.read = match self.hear.try_recv() {
                Ok(read) => Some(read),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Err(NO_READER.to_owned())),
            };
        }
        self.read.is_some()
    }
}

const NO_READER: &str = "the thread that reads the history is gone; restart the service";

impl HistoryReader {
    fn begin(folder: PathBuf) -> Self {
        let (ask, asked) = channel();
        let started = std::thread::Builder::new()
            .name("history reader".to_owned())
            .spawn(move || read(&folder, &asked));
        if let Err(cause) = started {
            error!("nobody can be shown the history: {cause}");
        }
        Self {
            ask,
            in_hand: Arc::default(),
        }
    }

    /// A page of it. One that takes long is waited for once, and not to its end: a slow disk keeps nobody from asking for something
    /// else. It is there when it is asked for again.
    ///
    /// # Errors
    /// Why there is none; [`control::HISTORY_READS`]: not yet.
    pub fn page(&self, asked: PageRequest) -> Result<HistoryPage, String> {
        let mut in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        let not_yet = || Err(control::HISTORY_READS.to_owned());
        if let Some(mut before) = in_hand.remove(&asked.user) {
            before.is_done();
            match before.read.take() {
                Some(read) if before.asked == asked => return read,
                // Nobody wants that any more.
                Some(_) => {}
                None => {
                    in_hand.insert(asked.user, before);
                    return not_yet();
                }
            }
        }
        if in_hand.len() >= MOST_IN_HAND {
            // Of those who have gone.
            in_hand.retain(|_, other| !other.is_done());
        }
        if in_hand.len() >= MOST_IN_HAND {
            return not_yet();
        }
        let (tell, hear) = sync_channel(1);
        let sent = self.ask.send((asked, tell));
        sent.map_err(|_| NO_READER.to_owned())?;
        // Behind others' it would be waited for in vain.
        let patience = if in_hand.is_empty() {
            PATIENCE
        } else {
            Duration::ZERO
        };
        match hear.recv_timeout(patience) {
            Ok(read) => read,
            Err(RecvTimeoutError::Disconnected) => Err(NO_READER.to_owned()),
            Err(RecvTimeoutError::Timeout) => {
                let read = None;
                in_hand.insert(asked.user, InHand { asked, hear, read });
                not_yet()
            }
        }
    }
}

fn read(folder: &std::path::Path, asked: &Receiver<Asked>) {
    let without = capabilities::give_up();
    for (request, tell) in asked {
        let page = without
            .as_ref()
            .map_err(|cause| anyhow!("giving up capabilities: {cause}"))
            .and_then(|()| Ok(history::page(folder, request)?));
        let page = page.map(shown).map_err(|cause| {
            format!(
                "the history in {} can't be read: {cause:#}",
                folder.display()
            )
        });
        // Whoever asked may have gone.
        let _nobody_waits = tell.send(page);
    }
}

fn shown(page: history::Page) -> HistoryPage {
    HistoryPage {
        rows: page.rows.into_iter().map(shown_row).collect(),
        next: page.next,
        turn: page.turn,
    }
}

fn shown_row(row: history::Row) -> HistoryRow {
    let history::Row {
        start,
        span,
        conversation: of,
        tally,
    } = row;
    let text = |text: Option<Arc<str>>| text.map(|text| text.to_string());
    HistoryRow {
        start,
        seconds: span,
        direction: of.direction.name().to_owned(),
        verdict: of.verdict.name().to_owned(),
        reason: of.reason.name().to_owned(),
        protocol: of.protocol,
        remote: of.remote,
        source: of.source,
        port: of.port,
        program: text(of.program),
        process: of.process.to_string(),
        user: of.user,
        rule: text(of.rule),
        name: text(of.name),
        contact: of.contact.name().map(str::to_owned),
        count: tally.count,
        first: tally.first,
        last: tally.last,
        packets_sent: tally.sent.packets,
        bytes_sent: tally.sent.bytes,
        packets_received: tally.received.packets,
        bytes_received: tally.received.bytes,
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

fn text(bytes: &[u8]) -> String {
    let whole = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    plain(whole)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use zerocopy::FromZeros;

    fn writer(folder: &Path) -> Writer {
        Writer {
            bounds: Bounds {
                days: 1,
                bytes: 1 << 20,
            },
            folder: folder.to_owned(),
            device: folder.join("no-device"),
            names: Named {
                service: ServiceNames::new(&folder.join("no-service")),
                addresses: KnownNames::default(),
            },
            shared: Arc::default(),
            database: None,
            again: Instant::now(),
            contacts: None,
            files: ProgramFiles::begin(),
            told: Told::default(),
            unnamed: HashMap::new(),
            batch: Batch::default(),
            before: 0,
            unwritten: 0,
            unset: None,
        }
    }

    fn refused(port: u16) -> Packet {
        let mut packet = Packet::new_zeroed();
        (packet.flow.direction, packet.flow.protocol) = (Direction::Outbound as u8, 6);
        packet.flow.destination_port = port;
        (packet.decision.verdict, packet.decision.reason) = (2, 2);
        (packet.decision.rule, packet.user) = (NO_RULE, 1000);
        packet
    }

    impl Writer {
        fn sees(&mut self, packet: &Packet) {
            let seen = Unnamed::of(packet).unwrap();
            self.unnamed.insert(seen, Tally::one(now()));
            self.flush();
        }

        fn counted(&self) -> (u64, u64, bool) {
            let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
            let Shared { kept, lost, .. } = &*self.shared;
            (count(kept), count(lost), self.shared.trouble().is_some())
        }
    }

    #[test]
    fn what_a_disk_does_not_take_is_counted_and_said_until_it_takes_again() {
        let folder = std::env::temp_dir().join(format!("gatebell-recorder-{}", std::process::id()));
        let _none_left = fs::remove_dir_all(&folder);
        // In its place lies a file: no folder can be made.
        fs::write(&folder, b"").unwrap();
        let mut writer = writer(&folder);
        writer.sees(&refused(23));
        assert_eq!(writer.counted(), (0, 1, true));
        // It is not tried at each write.
        fs::remove_file(&folder).unwrap();
        writer.sees(&refused(24));
        assert_eq!(writer.counted(), (0, 2, true));
        writer.again = Instant::now();
        writer.sees(&refused(25));
        assert_eq!(writer.counted(), (1, 2, false));
        // A file that is none is put aside.
        writer.database = None;
        fs::write(folder.join(history::FILE), vec![0xa5; 100_000]).unwrap();
        for port in 26..28 {
            writer.again = Instant::now();
            writer.sees(&refused(port));
        }
        let (kept, lost, trouble) = writer.counted();
        assert_eq!(
            (kept + lost, trouble),
            (5, false),
            "each is one or the other"
        );
        assert!(writer.shared.put_aside.load(Ordering::Relaxed));
        let page = history::page(&folder, PageRequest::default()).unwrap();
        assert_eq!(page.rows.last().unwrap().conversation.port, Some(27));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_was_seen_before_the_clock_was_set_happened_when_it_did() {
        let folder = std::env::temp_dir().join(format!("gatebell-clock-{}", std::process::id()));
        let _none_left = fs::remove_dir_all(&folder);
        let mut writer = writer(&folder);
        writer.follow_clock(5);
        let seen = Unnamed::of(&refused(23)).unwrap();
        writer.unnamed.insert(seen, Tally::one(65));
        writer.follow_clock(66);
        let set = now();
        writer.follow_clock(set);
        assert_eq!(writer.unset, None);
        let page = history::page(&folder, PageRequest::default()).unwrap();
        let last: Vec<_> = page.rows.iter().map(|row| row.tally.last).collect();
        let (first, minute) = (set - 5 + 65, history::MINUTE);
        assert!(
            last.len() == 1 && (first - minute..=first).contains(&last[0]),
            "{last:?}"
        );
        // Another one that is right moves nothing.
        writer.follow_clock(set + 1000);
        let again = history::page(&folder, PageRequest::default()).unwrap();
        assert_eq!(again.rows, page.rows);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_page_that_takes_long_keeps_nobody_waiting_and_is_there_when_it_is_asked_for_again() {
        let (ask, asked) = channel::<Asked>();
        let reader = HistoryReader {
            ask,
            in_hand: Arc::default(),
        };
        let of = |user, after| PageRequest {
            since: 0,
            after,
            user,
        };
        let not_yet = Err(control::HISTORY_READS.to_owned());
        let page = |next| HistoryPage {
            next: Some(next),
            ..HistoryPage::default()
        };
        let begin = Instant::now();
        for _ in 0..100 {
            assert_eq!(reader.page(of(None, 0)), not_yet);
            assert_eq!(reader.page(of(None, 1)), not_yet);
            assert_eq!(reader.page(of(Some(1000), 0)), not_yet);
        }
        let waited = begin.elapsed();
        assert!(waited < Duration::from_secs(1), "{waited:?}");
        let read: Vec<_> = asked.try_iter().collect();
        assert_eq!(read.len(), 2, "each user's is read once");
        for (request, tell) in read {
            tell.send(Ok(page(request.user.unwrap_or(0).into())))
                .unwrap();
        }
        assert_eq!(reader.page(of(Some(1000), 0)), Ok(page(1000)));
        assert_eq!(reader.page(of(None, 0)), Ok(page(0)));
        // However many users ask and go away, so many pages are kept.
        for user in 0..1000 {
            assert_eq!(reader.page(of(Some(user), 0)), not_yet);
        }
        assert_eq!(asked.try_iter().count(), MOST_IN_HAND);
        assert!(begin.elapsed() < Duration::from_secs(1));
        drop(asked);
        assert_eq!(reader.page(of(None, 0)), Err(NO_READER.to_owned()));
    }

    #[test]
    fn the_port_that_is_kept_is_the_one_that_was_asked_for_and_of_what_has_none_there_is_none() {
        let mut packet = refused(443);
        packet.flow.source_port = 50_000;
        let kept = |packet: &Packet| Unnamed::of(packet).unwrap().port;
        assert_eq!(kept(&packet), Some(443));
        for protocol in [1, 58] {
            packet.flow.protocol = protocol;
            assert_eq!(kept(&packet), None);
        }
        packet.flow.direction = 9;
        assert!(Unnamed::of(&packet).is_err(), "no number is guessed at");
    }

    #[test]
    fn what_a_connection_carries_is_told_of_the_end_that_sent_it_and_counts_once() {
        use firewall_abi::firewall::carried;
        let mut told = Carried::new_zeroed();
        (told.key.local, told.key.remote) = ([1; 16], [2; 16]);
        (told.key.local_port, told.key.remote_port) = (50_000, 443);
        told.key.protocol = 6;
        told.entry = FlowEntry {
            direction: Direction::Outbound as u8,
            reason: 2,
            local_began: 1,
            sent: carried(3, 1 << 36),
            received: carried(1 << 26, 7),
            ..FlowEntry::NEW
        };
        let of = |told: &Carried| {
            let (seen, tally) = Unnamed::of_carried(told, 60).unwrap();
            let carried = [tally.sent, tally.received].map(|it| (it.packets, it.bytes));
            (seen.remote, seen.source, seen.port, tally.count, carried)
        };
        let (sent, received) = ((3, 1 << 36), (1 << 26, 7));
        assert_eq!(of(&told), ([2; 16], None, Some(443), 1, [sent, received]));
        told.entry.state = FlowEntry::TOLD;
        assert_eq!(of(&told).3, 0, "it was told of before");
        (told.entry.state, told.entry.logged) = (0, 1);
        assert_eq!(of(&told).3, 0, "its first packet was told");
        // What began outside: the port that was asked for is ours.
        (told.entry.direction, told.entry.local_began) = (Direction::Inbound as u8, 0);
        assert_eq!(of(&told).0, [2; 16]);
        assert_eq!((of(&told).2, of(&told).4), (Some(50_000), [sent, received]));
        // Of what is forwarded, sent is what the end has that began.
        told.entry.direction = Direction::Forward as u8;
        told.key.protocol = 17 | firewall_abi::firewall::FlowKey::FORWARDED;
        assert_eq!(
            of(&told),
            ([1; 16], Some([2; 16]), Some(50_000), 0, [received, sent])
        );
        told.entry.direction = 9;
        assert!(Unnamed::of_carried(&told, 60).is_err());
    }
}
