//! The thread that hears of what happens, as any app does, and hands it to the database.

use super::seen::{Named, Unnamed};
use super::told::Told;
use super::{SHORTEST_REST, Shared};
use crate::program_files::ProgramFiles;
use crate::{capabilities, folders};
use anyhow::{Context, Result};
use channel::{Account, Attachment, Item, Mask, Record, Wake};
use channel_abi::Ending;
use firewall_abi::firewall::Carried;
use firewall_abi::kind;
use firewall_abi::packet::{Direction, Packet, UnknownNumber, Verdict};
use history::{Batch, Bounds, Contacts, Conversation, Database, EARLIEST, Failed, Tally};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::error;

/// Size of the recorder's ring, in bytes.
const RING_BYTES: u32 = 1 << 20;
/// Interval of writing what came.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of looking for old rows, where nothing comes.
const TIDY_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// Time for which what failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Interval at which a waiting thread looks whether it is to end.
const END_CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// Time for which a disk that took nothing is left alone.
const DISK_RETRY_AFTER: Duration = Duration::from_secs(10);
/// Factor by which the thread rests longer than it has worked.
const REST_FACTOR: u32 = 4;
/// Kinds of records that are told apart before they get their names.
const MOST_UNNAMED: usize = 8192;

/// Reader of the recorder's ring, with the records that wait to be written.
pub struct Writer {
    bounds: Bounds,
    folder: PathBuf,
    device: PathBuf,
    names: Named,
    shared: Arc<Shared>,
    database: Option<Database>,
    /// Moment at which a database that could not be had is looked for again.
    again: Instant,
    /// Programs that have talked before; `None`: the database's contacts were not read yet.
    contacts: Option<Contacts>,
    files: ProgramFiles,
    /// Limiter of log messages about new programs.
    told: Told,
    unnamed: HashMap<Unnamed, Tally>,
    batch: Batch,
    /// Number of records that rings before this one lost.
    before: u64,
    /// Number of records that the database did not take, or nobody could read.
    unwritten: u64,
    /// Time that a clock said which is not set yet, and the moment of that.
    unset: Option<(u64, Instant)>,
}

impl Writer {
    /// One that has not begun yet.
    pub fn new(
        folder: PathBuf,
        device: PathBuf,
        names: Named,
        bounds: Bounds,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            bounds,
            folder,
            device,
            names,
            shared,
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

    /// Until the service ends.
    pub fn run(&mut self) {
        if let Err(cause) = capabilities::give_up() {
            self.shared
                .fails(&format!("the thread can't give up capabilities: {cause}"));
            return;
        }
        // A peer that asks before anything happens finds a file, or hears that it is none.
        self.tidy();
        while !self.shared.ends.load(Ordering::Acquire) {
            match self.attach() {
                // The service ends, or somebody has stopped the driver and may go on.
                Ok(_) => {}
                Err(cause) => self.shared.fails(&format!("{cause:#}")),
            }
            self.wait_to_retry();
        }
    }

    fn wait_to_retry(&self) {
        let end = Instant::now() + RETRY_AFTER;
        while Instant::now() < end && !self.shared.ends.load(Ordering::Acquire) {
            std::thread::sleep(END_CHECK_INTERVAL);
        }
    }

    /// Attaches, and keeps what comes until it ends.
    fn attach(&mut self) -> Result<Ending> {
        // The device is served once the service is up: this waits for it.
        let device = channel::open(&self.device).context("opening our own device")?;
        let mut attachment =
            device.attach(RING_BYTES, Mask::of(kind::PACKET).and(kind::CARRIED))?;
        let (mut flushed, mut tidied) = (Instant::now(), None);
        loop {
            let rest = match (tidied, self.waits()) {
                (None, _) => END_CHECK_INTERVAL,
                (_, true) => WRITE_INTERVAL.saturating_sub(flushed.elapsed()),
                (_, false) => TIDY_INTERVAL,
            };
            let woken = attachment.wait(Some(rest))?;
            let began = Instant::now();
            self.take(&mut attachment)?;
            let ended = match woken {
                Wake::Ended(ending) => Some(ending),
                _ => None,
            };
            if flushed.elapsed() >= WRITE_INTERVAL || ended.is_some() {
                flushed = Instant::now();
                self.count(&attachment.account()?);
                self.flush();
            }
            if tidied.is_none_or(|tidied: Instant| tidied.elapsed() >= DISK_RETRY_AFTER) {
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
            std::thread::sleep(
                (began.elapsed() * REST_FACTOR).clamp(SHORTEST_REST, WRITE_INTERVAL),
            );
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
            carried.map(|carried| Unnamed::of_carried(carried, at))
        } else {
            let packet = record.read::<Packet>().ok();
            packet.map(|packet| Unnamed::of(packet).map(|seen| (seen, Tally::one(at))))
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
        // A packet that was refused at a program's port has not made it talk.
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

    /// Writes down which programs have talked, behind what they did:
    /// between the two a first contact would be told twice, and else never.
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

    /// Does this with the database, if it can be had. A file that is broken is given up,
    /// and the next time another is begun.
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
                _ => Instant::now() + DISK_RETRY_AFTER,
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

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::super::example::refused;
    use super::*;
    use crate::address_names::KnownNames;
    use control::ServiceNames;
    use history::PageRequest;
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::AtomicU64;

    fn writer(folder: &Path) -> Writer {
        let names = Named {
            service: ServiceNames::new(&folder.join("no-service")),
            addresses: KnownNames::default(),
        };
        let bounds = Bounds {
            days: 1,
            bytes: 1 << 20,
        };
        let device = folder.join("no-device");
        Writer::new(folder.to_owned(), device, names, bounds, Arc::default())
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
            (count(kept), count(lost), self.shared.trouble.holds())
        }
    }

    #[test]
    fn what_a_disk_does_not_take_is_counted_and_said_until_it_takes_again() {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path().join("history");
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
        let page = history::page(&folder, &PageRequest::default()).unwrap();
        assert_eq!(page.rows.last().unwrap().conversation.port, Some(27));
    }

    #[test]
    fn what_was_seen_before_the_clock_was_set_happened_when_it_did() {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path().join("history");
        let mut writer = writer(&folder);
        writer.follow_clock(5);
        let seen = Unnamed::of(&refused(23)).unwrap();
        writer.unnamed.insert(seen, Tally::one(65));
        writer.follow_clock(66);
        let set = now();
        writer.follow_clock(set);
        assert_eq!(writer.unset, None);
        let page = history::page(&folder, &PageRequest::default()).unwrap();
        let last: Vec<_> = page.rows.iter().map(|row| row.tally.last).collect();
        let (first, minute) = (set - 5 + 65, history::MINUTE);
        assert!(
            last.len() == 1 && (first - minute..=first).contains(&last[0]),
            "{last:?}"
        );
        // Another one that is right moves nothing.
        writer.follow_clock(set + 1000);
        let again = history::page(&folder, &PageRequest::default()).unwrap();
        assert_eq!(again.rows, page.rows);
    }
}
