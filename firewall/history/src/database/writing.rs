//! Writer of rows: one for each conversation of each minute.

use super::{Database, Failed, Minute, signed};
use crate::{Conversation, MINUTE, Tally};
use rusqlite::params;
use rusqlite::types::Value;
use std::net::IpAddr;

/// Number of rows whose IDs are kept, at most, so that what is added later in a minute goes to the same row.
const MOST_ROW_IDS: usize = 16 * 1024;

impl Database {
    /// Writes these rows: all of them, or on an error none.
    ///
    /// # Errors
    /// Fails if the file is full, broken or gone. Where it is broken, [`Database::open`] puts it aside.
    pub fn write(&mut self, rows: &[(u64, Conversation, Tally)]) -> Result<(), Failed> {
        if self.row_ids.len() + rows.len() > MOST_ROW_IDS {
            self.row_ids.clear();
        }
        let written = self.add(rows);
        let written = self.unless_broken(written);
        let newest = rows.iter().map(|(start, ..)| *start).max().unwrap_or(0);
        self.row_ids
            .retain(|(start, _), _| start.saturating_add(MINUTE) >= newest);
        // Numbers of rows that were taken back would be others' soon: they are not kept.
        self.row_ids.extend(written?);
        Ok(())
    }

    fn add(&mut self, rows: &[(u64, Conversation, Tally)]) -> Result<Vec<(Minute, i64)>, Failed> {
        let transaction = self.connection.transaction()?;
        let mut new = Vec::new();
        {
            let mut more = transaction.prepare(
                "UPDATE seen SET count = count + ?2, first = min(first, ?3), last = max(last, ?4), \
                 packets_sent = packets_sent + ?5, bytes_sent = bytes_sent + ?6, \
                 packets_received = packets_received + ?7, bytes_received = bytes_received + ?8 WHERE id = ?1",
            )?;
            let mut insert = transaction.prepare(
                "INSERT INTO seen (span, start, others, direction, verdict, reason, protocol, remote, source, port, program, \
                 process, user, rule, name, count, first, last, packets_sent, bytes_sent, packets_received, bytes_received, contact) \
                 VALUES (60, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
            )?;
            for (start, conversation, tally) in rows {
                let key = (*start, conversation.clone());
                let Tally {
                    count,
                    first,
                    last,
                    sent,
                    received,
                } = *tally;
                let [count, first, last] = [count, first, last].map(signed);
                let traffic = [sent.packets, sent.bytes, received.packets, received.bytes];
                let [packets_sent, bytes_sent, packets_received, bytes_received] =
                    traffic.map(signed);
                if let Some(id) = self.row_ids.get(&key) {
                    let changed = more.execute(params![
                        id,
                        count,
                        first,
                        last,
                        packets_sent,
                        bytes_sent,
                        packets_received,
                        bytes_received
                    ])?;
                    if changed == 1 {
                        continue;
                    }
                }
                let of = conversation;
                insert.execute(params![
                    signed(*start),
                    of.is_others(),
                    of.direction as u8,
                    of.verdict as u8,
                    of.reason as u8,
                    of.protocol,
                    of.remote.map(octets),
                    of.source.map(octets),
                    of.port,
                    of.program.as_deref(),
                    &*of.process,
                    of.user,
                    of.rule.as_deref(),
                    of.name.as_deref(),
                    count,
                    first,
                    last,
                    packets_sent,
                    bytes_sent,
                    packets_received,
                    bytes_received,
                    of.contact as u8
                ])?;
                new.push((key, transaction.last_insert_rowid()));
            }
        }
        transaction.commit()?;
        Ok(new)
    }
}

fn octets(address: IpAddr) -> Value {
    Value::Blob(match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}
