//! Aging of rows: old ones are added up to longer spans, then forgotten; and rows of a clock that was not set yet are
//! moved.

use super::{Database, Failed, signed};
use crate::{DAY, EARLIEST, HOUR, MINUTE};
use rusqlite::{ErrorCode, Transaction, params};

/// Ages, in seconds, after which minutes become hours, and hours become days.
const MINUTES_KEPT: u64 = DAY;
const HOURS_KEPT: u64 = 14 * DAY;
/// Number of rows that are forgotten at once where there are too many.
const FORGOTTEN_AT_ONCE: u64 = 2000;

impl Database {
    /// Does a part of the upkeep that is due at this time (seconds since 1970): adds up an hour or a day, or forgets
    /// rows. Returns `true` if there is more to do.
    ///
    /// # Errors
    /// Fails if the file is full, broken or gone.
    pub fn tidy(&mut self, now: u64) -> Result<bool, Failed> {
        let tidied = self.tidy_by(now);
        self.unless_broken(tidied)
    }

    fn tidy_by(&mut self, now: u64) -> Result<bool, Failed> {
        if self.is_behind(now)? {
            // Only what takes too much room goes, by whatever clock it came.
            return Ok(self.size()? > self.bounds.bytes / 8 * 7 && self.forget_oldest()?);
        }
        let ended = now.saturating_sub(u64::from(self.bounds.days) * DAY);
        let (minutes, hours) = (
            now.saturating_sub(MINUTES_KEPT) / HOUR * HOUR,
            now.saturating_sub(HOURS_KEPT) / DAY * DAY,
        );
        let mut more = self.roll_or_make_room(MINUTE, HOUR, minutes)?;
        more |= self.roll_or_make_room(HOUR, DAY, hours)?;
        more |= self.forget_old(ended)?;
        // Room for a batch and for the sums of an hour.
        more |= self.size()? > self.bounds.bytes / 8 * 7 && self.forget_oldest()?;
        Ok(more)
    }

    /// Returns whether the clock is behind: before this program was made, or well before the newest row. By such a
    /// clock no rows are added up, and none is too old.
    fn is_behind(&self, now: u64) -> Result<bool, Failed> {
        // By what the index knows.
        let newest: i64 = self.connection.query_row(
            "SELECT max(coalesce((SELECT max(start) FROM seen WHERE span = 60), 0), \
             coalesce((SELECT max(start) FROM seen WHERE span = 3600), 0), \
             coalesce((SELECT max(start) FROM seen WHERE span = 86400), 0))",
            [],
            |row| row.get(0),
        )?;
        let newest = u64::try_from(newest).unwrap_or(0).saturating_sub(HOUR);
        Ok(now < EARLIEST.max(newest))
    }

    /// Moves the rows of the time when the clock was not set yet, by so many seconds, to their real time.
    ///
    /// # Errors
    /// Fails if the file is full, broken or gone.
    pub fn set_clock(&mut self, by: u64) -> Result<(), Failed> {
        let by = signed(by / MINUTE * MINUTE);
        let transaction = self.connection.transaction()?;
        let moved = transaction.execute(
            "UPDATE seen SET start = start + ?1, first = first + ?1, last = last + ?1 WHERE span = 60 AND start < ?2",
            params![by, signed(EARLIEST)],
        )?;
        if moved > 0 {
            turn(&transaction)?;
        }
        transaction.commit()?;
        self.row_ids.clear();
        Ok(())
    }

    /// Adds rows up, or forgets the oldest ones where the sums find no room: sums are written before their rows go, so
    /// else nothing would be added up any more, nor forgotten.
    fn roll_or_make_room(&mut self, from: u64, to: u64, before: u64) -> Result<bool, Failed> {
        match self.roll(from, to, before) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                self.forget_oldest()
            }
            rolled => Ok(rolled?),
        }
    }

    /// Adds the oldest rows of one span up to the next longer one, if they are older than `before`.
    fn roll(&mut self, from: u64, to: u64, before: u64) -> rusqlite::Result<bool> {
        let (from, to, before) = (signed(from), signed(to), signed(before));
        let transaction = self.connection.transaction()?;
        let oldest: Option<i64> = transaction.query_row(
            "SELECT min(start) FROM seen WHERE span = ?1 AND start < ?2",
            params![from, before],
            |row| row.get(0),
        )?;
        let Some(oldest) = oldest else {
            return Ok(false);
        };
        let start = oldest.div_euclid(to) * to;
        transaction.execute(
            "INSERT INTO seen (span, start, others, direction, verdict, reason, protocol, remote, source, port, program, process, \
             user, rule, name, contact, count, first, last, packets_sent, bytes_sent, packets_received, bytes_received) \
             SELECT ?1, ?2, others, direction, verdict, reason, protocol, remote, source, port, program, process, user, rule, name, contact, \
             sum(count), min(first), max(last), sum(packets_sent), sum(bytes_sent), sum(packets_received), sum(bytes_received) \
             FROM seen WHERE span = ?3 AND start >= ?2 AND start < ?2 + ?1 GROUP BY direction, verdict, reason, protocol, remote, \
             source, port, program, process, user, rule, name, contact",
            params![to, start, from],
        )?;
        transaction.execute(
            "DELETE FROM seen WHERE span = ?3 AND start >= ?2 AND start < ?2 + ?1",
            params![to, start, from],
        )?;
        turn(&transaction)?;
        transaction.commit()?;
        self.row_ids.clear();
        Ok(true)
    }

    fn forget_old(&mut self, ended: u64) -> Result<bool, Failed> {
        self.forget(
            // In words that the index answers.
            "DELETE FROM seen WHERE id IN (SELECT id FROM seen WHERE span = 60 AND start <= ?1 - 60 \
             OR span = 3600 AND start <= ?1 - 3600 OR span = 86400 AND start <= ?1 - 86400 LIMIT ?2)",
            signed(ended),
        )
    }

    /// Forgets the oldest rows, of this machine's own programs or of others, whichever have more.
    fn forget_oldest(&mut self) -> Result<bool, Failed> {
        let others: bool = self.connection.query_row(
            "SELECT coalesce(sum(others) * 2 > count(*), 0) FROM seen",
            [],
            |row| row.get(0),
        )?;
        self.forget(
            "DELETE FROM seen WHERE id IN (SELECT id FROM seen WHERE others = ?1 ORDER BY last LIMIT ?2)",
            i64::from(others),
        )
    }

    fn forget(&mut self, statement: &str, which: i64) -> Result<bool, Failed> {
        let transaction = self.connection.transaction()?;
        let gone = transaction.execute(statement, params![which, signed(FORGOTTEN_AT_ONCE)])?;
        if gone > 0 {
            turn(&transaction)?;
            self.row_ids.clear();
        }
        transaction.commit()?;
        Ok(gone > 0)
    }
}

/// Counts up the turn, as rows were added up or forgotten: a reader that goes page by page begins again.
fn turn(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("UPDATE turns SET turn = turn + 1", [])?;
    Ok(())
}
