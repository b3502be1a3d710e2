//! Reports of the firewall: its status, its counters, and what it holds.

use super::{Firewall, devices};
use crate::named_sets::NotJoined;
use crate::rejected::AnswerCounts;
use crate::rulebook::{LoadedRules, MemoryBudget, refused};
use crate::surroundings::Surroundings;
use crate::troubles::Cause;
use anyhow::Result;
use channel::server::{DeviceServer, RingMemory, Room};
use control::{
    Account, Accounts, AddressName, AddressNames, Counted, Hits, InForce, Memory, NameStats,
    Refused, RejectStats, RuleNames, RuleText, Stats, Status,
};
use firewall_abi::dns::AnswersSeen;
use firewall_abi::rejected::RejectedSeen;
use std::time::Instant;

impl Firewall {
    /// Returns the firewall's status.
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
            since: self.started,
            adopted: self.driver.adopted(),
            netns: self.config.netns.clone(),
            cgroup: self.config.cgroup.clone(),
            devices: devices(),
            pins: self.config.pins.clone(),
            rules: held.map_or(nothing, LoadedRules::in_force),
            lease: self.rulebook.lease(),
            fail_mode: held
                .map(|held| held.fail_mode)
                .unwrap_or_default()
                .name()
                .to_owned(),
            kernel_memory: self.memory(),
            history: self.recorder.status(self.config.history),
            lists: self.subscriptions.lists(),
            networks: self.network_status(&Surroundings::default()),
            trouble: {
                self.look_at_sets();
                self.troubles.all()
            },
        }
    }

    /// Updates the troubles of joining sets by names and of lists, which come and go with time.
    pub(super) fn look_at_sets(&mut self) {
        self.troubles.of(Cause::NamedSets).stands(
            self.addresses
                .unjoined()
                .into_iter()
                .chain(self.unheard_resolver.clone()),
        );
        self.troubles
            .of(Cause::Lists)
            .stands(self.subscriptions.broken());
        let lists = self.subscriptions.lists();
        for cause in [Cause::ListNotTaken, Cause::ListOld] {
            let troubles = lists.iter().filter_map(|list| list.trouble.clone());
            let of_this = troubles.filter(|trouble| trouble.cause == cause.name());
            self.troubles.of(cause).stands(of_this);
        }
    }

    /// Returns the driver's counters. The connections are those of now, or of a moment ago if counting them takes long.
    pub fn stats(&mut self) -> Result<Stats, Refused> {
        let now = Instant::now();
        if self.last_sweep.is_none_or(|last| last.may_be_followed(now)) {
            self.forget_idle().map_err(refused)?;
        }
        let generation = self.rulebook.in_force().map_or(0, |held| held.generation);
        Ok(Stats::of(
            generation,
            self.driver.verdicts().map_err(refused)?,
            self.flows,
            self.name_stats().map_err(refused)?,
            self.reject_stats().map_err(refused)?,
        ))
    }

    pub(super) fn name_stats(&self) -> Result<NameStats> {
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

    fn reject_stats(&self) -> Result<RejectStats> {
        let RejectedSeen { handed, lost } = self.driver.rejected_seen()?;
        let AnswerCounts {
            answered,
            limited,
            failed,
        } = self.rejected.answered();
        Ok(RejectStats {
            handed,
            lost,
            answered,
            limited,
            failed,
        })
    }

    /// Returns the names of addresses that were learned after this turn.
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

    /// Returns the number of decisions of each rule in force.
    pub fn hits(&mut self) -> Result<Hits, Refused> {
        let generation = self.rulebook.in_force().map_or(0, |held| held.generation);
        let hits = self
            .driver
            .hits(self.rulebook.index_in_force())
            .map_err(refused)?;
        Ok(Hits { generation, hits })
    }

    /// Returns the accounts of every app.
    #[must_use]
    pub fn accounts(&mut self) -> Accounts {
        let Some(server) = &self.device_server else {
            return Accounts {
                taken: 0,
                released: 0,
                apps: Vec::new(),
                past: Counted::default(),
                balances: true,
            };
        };
        let references = server.references();
        let apps: Vec<Account> = server
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

    /// Returns the text of the rules that are in force: the candidate's while a lease runs.
    #[must_use]
    pub fn rules(&mut self) -> RuleText {
        let folder = self.config.rule_folder();
        let file =
            std::path::absolute(&self.config.rules).unwrap_or_else(|_| self.config.rules.clone());
        let unwritten = self.rule_file.is_unwritten();
        match self.rulebook.in_force() {
            Some(held) => held.rule_text(folder, file, unwritten),
            None => RuleText {
                generation: 0,
                name: None,
                text: None,
                folder,
                file,
                unwritten,
            },
        }
    }

    /// Returns the names of this generation's rules, if they are known.
    #[must_use]
    pub fn rule_names(&mut self, generation: u32) -> Option<RuleNames> {
        self.keep_names();
        self.rule_names.get(generation).cloned()
    }

    /// Returns the path of a program that a record names: its file system's device and its inode.
    #[must_use]
    pub fn program(&mut self, id: [u64; 2]) -> Option<String> {
        self.driver.program(id).ok().flatten()
    }

    pub(super) fn memory(&mut self) -> Memory {
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

    pub(super) fn rings(&mut self) -> RingMemory {
        self.device_server
            .as_mut()
            .map(DeviceServer::memory)
            .unwrap_or_default()
    }

    /// Returns the kernel memory that rings leave to tables.
    pub(super) fn budget(&mut self) -> MemoryBudget {
        let (whole, rings) = (self.config.kernel_memory, self.rings());
        MemoryBudget {
            whole,
            tables: whole.saturating_sub(rings.attached + rings.let_go),
        }
    }

    /// Returns the kernel memory that tables leave to rings. Others than root have a share of their own, so that they
    /// can't keep root from changing the rules.
    pub(super) fn room(&self) -> Room {
        let whole = self.config.kernel_memory;
        let all = whole.saturating_sub(self.driver.memory().sum());
        Room {
            all,
            others: all.min(whole / 4),
        }
    }
}
