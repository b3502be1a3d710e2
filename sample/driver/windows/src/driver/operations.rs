//! Requests of an app to the sample's driver, checked, and the notices that it sends.

use channel::driver::table::{Buffer, Platform, Table};
use channel::driver::wdm::{Again, EventReference, Nt, OpenFile};
use channel::{Header, Refusal};
use sample_abi::{MAX_COUNT, MAX_INTERVAL_US, Notice, Operate, Operation, Seen, kind};

/// Largest number of notices that are sent without a thread of the driver's own: by one tick of a timer, whose routine
/// runs above all threads, or from within the request itself.
const MOST_AT_ONCE: u32 = 64;
/// Shortest time between ticks, in microseconds.
const TICK_US: u32 = 1000;

/// A request, checked: its numbers are within what the contract allows, and its answer has room.
pub struct Asked {
    pub operation: Operation,
    pub count: u32,
    pub interval_us: u32,
    request: Operate,
}

impl Asked {
    /// Checks a buffer, in which everything is untrusted.
    pub fn parse(buffer: &Buffer<'_>) -> Result<Self, Refusal> {
        let request: Operate = buffer.request()?;
        if buffer.output < size_of::<Operate>() {
            return Err(Refusal::Room);
        }
        if request.count > MAX_COUNT || request.interval_us > MAX_INTERVAL_US {
            return Err(Refusal::Range);
        }
        let operation = Operation::try_from(request.operation)?;
        Ok(Self {
            operation,
            count: request.count,
            interval_us: request.interval_us,
            request,
        })
    }

    /// Answers with the request again, with what the driver saw.
    pub fn answer(
        &self,
        table: &Table<Nt>,
        file: &OpenFile,
        before: bool,
        offered: u32,
        buffer: &mut Buffer<'_>,
    ) -> Result<usize, Refusal> {
        let mut answer = self.request;
        answer.header.refusal = 0;
        answer.seen = Seen {
            before: before.into(),
            after: table
                .event(file)
                .as_ref()
                .is_ok_and(EventReference::is_signalled)
                .into(),
            offered,
            waiting: table.waiting(file)? as u32,
        };
        buffer.answer(&answer)
    }

    /// Returns whether the notices are few and at once: no thread is worth it.
    pub fn is_short(&self) -> bool {
        self.interval_us == 0 && self.count <= MOST_AT_ONCE
    }

    /// Sends the notices; returns how many, which are fewer if the app lets go or `sleep` is given up.
    pub fn notify(&self, table: &Table<Nt>, file: &OpenFile, sleep: impl Fn(u32) -> bool) -> u32 {
        for number in 0..self.count {
            if send(table, file, number.into(), false).is_err() {
                return number;
            }
            if number + 1 < self.count && sleep(self.interval_us) {
                return number + 1;
            }
        }
        self.count
    }
}

/// State of notices that come from a timer.
pub struct Ticking {
    sent: u64,
    count: u64,
    interval_us: u32,
    started_ns: u64,
}

impl Ticking {
    pub fn new(asked: &Asked) -> Self {
        let (count, interval_us) = (asked.count.into(), asked.interval_us);
        Self {
            sent: 0,
            count,
            interval_us,
            started_ns: Nt::now_ns(),
        }
    }

    /// Sends the notices that are due by now: a timer's ticks are coarser than an app's interval may be.
    pub fn tick(&mut self, table: &Table<Nt>, file: &OpenFile) -> Again {
        let microseconds = Nt::now_ns().saturating_sub(self.started_ns) / 1000;
        let due = microseconds
            .checked_div(self.interval_us.into())
            .unwrap_or(self.count)
            .min(self.count);
        for number in (self.sent..due).take(MOST_AT_ONCE as usize) {
            if send(table, file, number, true).is_err() {
                return Again::Never;
            }
            self.sent = number + 1;
        }
        if self.sent < self.count {
            Again::In(self.interval_us.max(TICK_US))
        } else {
            Again::Never
        }
    }
}

/// Sends one notice with a payload to one app.
fn send(table: &Table<Nt>, file: &OpenFile, number: u64, from_timer: bool) -> Result<(), Refusal> {
    let notice = Notice {
        header: Header::default(),
        number,
        from_timer: from_timer.into(),
    };
    table.offer_to(file, kind::NOTICE, &notice)
}
