//! The thread that reads what is kept to the peers that ask.

use crate::capabilities;
use crate::troubles::Trouble;
use anyhow::{Result, anyhow};
use control::{HistoryPage, HistoryRow};
use history::PageRequest;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::error;

/// Longest time that the control socket's thread waits for a page, once; the peer asks again for what takes longer.
const PAGE_TIMEOUT: Duration = Duration::from_millis(50);
/// Users for whom a page may be read at once.
const MOST_IN_HAND: usize = 16;

/// Handle of the thread that reads the history. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub struct HistoryReader {
    ask: Sender<Asked>,
    /// Pages that are being read, or were and nobody has heard them yet: one for each user.
    in_hand: Arc<Mutex<HashMap<Option<u32>, InHand>>>,
    /// Trouble about what is read.
    trouble: Trouble,
}

type Read = Result<HistoryPage, String>;

type Asked = (PageRequest, SyncSender<Read>);

struct InHand {
    asked: PageRequest,
    hear: Receiver<Read>,
    /// Result of the reading, if it was looked at for another request.
    read: Option<Read>,
}

impl InHand {
    /// Returns whether the page has been read.
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
    pub fn begin(folder: PathBuf) -> Self {
        let (ask, asked) = channel();
        let trouble = Trouble::default();
        let mut unread = Unread {
            trouble: trouble.clone(),
            found: 0,
        };
        let started = std::thread::Builder::new()
            .name("history reader".to_owned())
            .spawn(move || read(&folder, &asked, &mut unread));
        if let Err(cause) = started {
            error!("nobody can be shown the history: {cause}");
        }
        Self {
            ask,
            in_hand: Arc::default(),
            trouble,
        }
    }

    /// Returns the trouble about what is read.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// A page of it. One that takes long is waited for once, and not to its end: a slow disk keeps nobody from asking
    /// for something else. It is there when it is asked for again.
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
        let sent = self.ask.send((asked.clone(), tell));
        sent.map_err(|_| NO_READER.to_owned())?;
        // Behind others' it would be waited for in vain.
        let patience = if in_hand.is_empty() {
            PAGE_TIMEOUT
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

/// Rows that can't be read, in the reading of all that is kept, of all users, that is in hand.
struct Unread {
    trouble: Trouble,
    found: u64,
}

impl Unread {
    /// Says so, until a reading of all that is kept has none.
    fn note(&mut self, folder: &Path, asked: &PageRequest, page: &history::Page) {
        if page.unread > 0 {
            self.trouble.stands([format!(
                "rows of the history in {} can't be read and are left out where it is shown, as those that a later release wrote: \
                 install that one again, or let them be until they are forgotten",
                folder.display()
            )]);
        }
        if asked.user.is_some() || asked.program.is_some() || asked.since > 0 {
            return;
        }
        let before = if asked.after == 0 { 0 } else { self.found };
        self.found = before + page.unread;
        if page.next.is_none() && self.found == 0 {
            self.trouble.is_over();
        }
    }
}

fn read(folder: &Path, asked: &Receiver<Asked>, unread: &mut Unread) {
    let without = capabilities::give_up();
    for (request, tell) in asked {
        let page = without
            .as_ref()
            .map_err(|cause| anyhow!("giving up capabilities: {cause}"))
            .and_then(|()| Ok(history::page(folder, &request)?));
        page.iter()
            .for_each(|page| unread.note(folder, &request, page));
        let page = page.map(shown).map_err(|cause| {
            format!(
                "the history in {} can't be read: {cause:#}",
                folder.display()
            )
        });
        // The peer that asked may have gone.
        let _nobody_waits = tell.send(page);
    }
}

fn shown(page: history::Page) -> HistoryPage {
    HistoryPage {
        rows: page.rows.into_iter().map(shown_row).collect(),
        next: page.next,
        turn: page.turn,
        unread: page.unread,
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use history::RequestedProgram;
    use std::time::Instant;

    #[test]
    fn a_page_that_takes_long_keeps_nobody_waiting_and_is_there_when_it_is_asked_for_again() {
        let (ask, asked) = channel::<Asked>();
        let reader = HistoryReader {
            ask,
            in_hand: Arc::default(),
            trouble: Trouble::default(),
        };
        let of = |user, after| PageRequest {
            after,
            user,
            ..PageRequest::default()
        };
        let not_yet = Err(control::HISTORY_READS.to_owned());
        let page = |next| HistoryPage {
            next: Some(next),
            ..HistoryPage::default()
        };
        // Would each wait, it were minutes.
        const FAR_LESS: Duration = Duration::from_secs(30);
        let begin = Instant::now();
        for _ in 0..1000 {
            assert_eq!(reader.page(of(None, 0)), not_yet);
            assert_eq!(reader.page(of(None, 1)), not_yet);
            assert_eq!(reader.page(of(Some(1000), 0)), not_yet);
        }
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
        let waited = begin.elapsed();
        assert!(waited < FAR_LESS, "{waited:?}");
        drop(asked);
        assert_eq!(reader.page(of(None, 0)), Err(NO_READER.to_owned()));
    }

    #[test]
    fn rows_that_can_not_be_read_are_trouble_until_a_whole_reading_has_none() {
        let trouble = Trouble::default();
        let mut unread = Unread {
            trouble: trouble.clone(),
            found: 0,
        };
        let of = |user, since, after| PageRequest {
            since,
            after,
            user,
            program: None,
        };
        let mut note = |asked: &PageRequest, unread_here, next| {
            let page = history::Page {
                rows: Vec::new(),
                next,
                turn: 0,
                unread: unread_here,
            };
            unread.note(Path::new("/kept"), asked, &page);
            trouble.holds()
        };
        assert!(!note(&of(None, 0, 0), 0, None));
        assert!(note(&of(None, 0, 0), 3, Some(9)));
        let recent = of(None, 1000, 0);
        assert!(note(&recent, 0, None), "what is older is not read");
        let rest = of(None, 0, 9);
        assert!(note(&rest, 0, None), "of this reading some are not read");
        let theirs = of(Some(1000), 0, 0);
        assert!(note(&theirs, 0, None), "others' rows are not theirs");
        let one_program = PageRequest {
            program: Some(RequestedProgram::asked("curl".to_owned())),
            ..PageRequest::default()
        };
        assert!(note(&one_program, 0, None), "others' rows are not its");
        assert!(note(&of(None, 0, 0), 0, Some(9)));
        assert!(!note(&of(None, 0, 9), 0, None));
        assert!(note(&recent, 1, None));
        assert!(!note(&of(None, 0, 0), 0, None));
        assert!(note(&theirs, 1, None));
    }
}
