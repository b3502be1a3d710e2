//! Rules with the addresses that have joined their sets, as they judge.

use control::SetMember;
use engine::Tables;
use rules::{Joined, Rules, Table};

/// Rules as they judge, with the addresses that have joined their sets by now: by name, by command or by a click.
pub struct Judged {
    /// Rules of the file.
    pub rules: Rules,
    table: Table,
    joined: Joined,
}

impl Judged {
    /// Compiles these rules, with those of the members that have joined a set of theirs.
    ///
    /// # Errors
    /// The tables would be too large.
    pub fn of(mut rules: Rules, members: &[SetMember]) -> Result<Self, String> {
        let members = members.iter();
        let joined = members.map(|member| (member.set.as_str(), member.address));
        let joined = rules.know_joined(joined)?;
        Ok(Self {
            table: rules.compile(1),
            rules,
            joined,
        })
    }

    /// Returns the tables as the engine takes them.
    pub fn tables(&self) -> impl Tables {
        self.joined.beside(self.table.slices())
    }
}
