//! Stored programs that have talked.

use super::{Database, Failed, signed};
use crate::{Change, Contacts, KnownFile, Look};
use rusqlite::params;

/// Number of an unknown user in the table.
const NO_USER: i64 = -1;

impl Database {
    /// Reads the programs that have talked, those that talked last first.
    ///
    /// # Errors
    /// Fails if the file is broken or gone.
    pub fn programs(&self) -> Result<Vec<KnownFile>, Failed> {
        let most = Contacts::most_files(self.bounds.bytes);
        let mut read = self.connection.prepare(
            "SELECT program, user, device, inode, size, changed, last FROM programs ORDER BY last DESC LIMIT ?1",
        )?;
        let mut found = read.query([signed(most as u64)])?;
        let mut programs = Vec::new();
        while let Some(columns) = found.next()? {
            let number = |n: usize| columns.get::<_, i64>(n);
            let program: String = columns.get(0)?;
            let (size, changed): (Option<i64>, Option<i64>) = (columns.get(4)?, columns.get(5)?);
            programs.push(KnownFile {
                program: program.into(),
                user: u32::try_from(number(1)?).ok(),
                file: [number(2)?.cast_unsigned(), number(3)?.cast_unsigned()],
                look: size.zip(changed).map(|(size, changed_ns)| Look {
                    size: size.cast_unsigned(),
                    changed_ns,
                }),
                last: u64::try_from(number(6)?).unwrap_or(0),
            });
        }
        Ok(programs)
    }

    /// Writes changes to the stored programs: all of them, or on an error none.
    ///
    /// # Errors
    /// Fails if the file is full, broken or gone.
    pub fn write_programs(&mut self, changes: &[Change]) -> Result<(), Failed> {
        let written = self.put_programs(changes);
        self.unless_broken(written)
    }

    fn put_programs(&mut self, changes: &[Change]) -> Result<(), Failed> {
        let transaction = self.connection.transaction()?;
        {
            let mut put = transaction.prepare(
                "INSERT OR REPLACE INTO programs (program, user, device, inode, size, changed, last) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            let mut take = transaction.prepare(
                "DELETE FROM programs WHERE program = ?1 AND user = ?2 AND device = ?3 AND inode = ?4",
            )?;
            for change in changes {
                let (Change::Known(of) | Change::Forgotten(of)) = change;
                let user = of.user.map_or(NO_USER, i64::from);
                let [device, inode] = of.file.map(u64::cast_signed);
                if matches!(change, Change::Forgotten(_)) {
                    take.execute(params![&*of.program, user, device, inode])?;
                    continue;
                }
                let size = of.look.map(|look| look.size.cast_signed());
                let changed = of.look.map(|look| look.changed_ns);
                let last = signed(of.last);
                put.execute(params![
                    &*of.program,
                    user,
                    device,
                    inode,
                    size,
                    changed,
                    last
                ])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
