//! State of the service and its rules, shared by the thread that asks for it and by the pages that show it.
//!
//! - The window never waits for the service: the thread does.
//! - The thread asks once a second while a page that shows it is in sight, and not at all else.
//! - A service that can't be asked is asked again: who comes back is shown again without anybody's doing.

use crate::followed::Followed;
use control::{Accounts, HeldAnswer, Hits, Networks, RuleText, SetMember, Stats, Status};
use rules::Resolver;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod rule_list;
mod set_list;

pub use rule_list::{DefaultRow, RuleList, RuleRow};
pub use set_list::SetRow;

/// Time between two looks.
const REST: Duration = Duration::from_secs(1);

/// Service that is asked. Errors are sentences that say what to do.
pub trait OverviewService {
    /// Returns the state of the firewall.
    fn status(&mut self) -> Result<Status, String>;
    /// Returns the counters of the driver.
    fn stats(&mut self) -> Result<Stats, String>;
    /// Returns every app's account.
    fn accounts(&mut self) -> Result<Accounts, String>;
    /// Returns the number of decisions of each rule.
    fn hits(&mut self) -> Result<Hits, String>;
    /// Returns the text of the rules in force.
    fn rules(&mut self) -> Result<RuleText, String>;
    /// Returns the answers that hold.
    fn answers(&mut self) -> Result<Vec<HeldAnswer>, String>;
    /// Returns the addresses that have joined sets.
    fn members(&mut self) -> Result<Vec<SetMember>, String>;
    /// Returns the rules' networks and the default routes.
    fn networks(&mut self) -> Result<Networks, String>;
    /// Returns the resolver of the names in these rules.
    fn resolver(&self, rules: &RuleText) -> Box<dyn Resolver>;
}

/// Part of the service's state that a page shows: what no page shows is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// State of the firewall, and its rules.
    #[default]
    Rules,
    /// Answers that hold, too.
    Answers,
    /// Addresses that have joined sets, too.
    Sets,
    /// Networks and default routes, too.
    Networks,
}

/// Answers of the service to the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct OverviewSeen {
    /// State of the firewall.
    pub status: Status,
    /// Counters of the driver.
    pub stats: Stats,
    /// Account of every app; for others than root, their own.
    pub accounts: Accounts,
    /// Rules in force.
    pub rules: Arc<RuleList>,
    /// Number of decisions of each rule, if that is known of these very rules.
    pub hits: Option<Vec<u64>>,
    /// End of the lease that runs.
    pub lease_until: Option<Instant>,
    /// Answers that hold, if they were asked for.
    pub answers: Option<Vec<HeldAnswer>>,
    /// Addresses that have joined sets, if they were asked for.
    pub members: Option<Vec<SetMember>>,
    /// Networks and default routes, if they were asked for.
    pub networks: Option<Networks>,
}

/// State of the service, and whether anybody wants to know it.
pub type Overview = Followed<OverviewState>;

/// State of the service as it is known now.
#[derive(Debug, Default)]
pub struct OverviewState {
    seen: Option<Result<Arc<OverviewSeen>, String>>,
    wanted: Option<Part>,
    at_once: bool,
}

impl OverviewState {
    /// Returns the answers of the service to the last look, or the reason for which it gives none; `None` if it was not
    /// asked yet.
    pub fn seen(&self) -> Option<&Result<Arc<OverviewSeen>, String>> {
        self.seen.as_ref()
    }

    fn rests(&self) -> bool {
        self.wanted.is_none() && !self.at_once
    }
}

impl Overview {
    /// Notes the part that a page in sight shows, or `None` if there is no such page.
    pub fn want(&self, wanted: Option<Part>) {
        self.change(|state| {
            let is_news = std::mem::replace(&mut state.wanted, wanted) != wanted;
            state.at_once |= is_news && wanted.is_some();
            is_news
        });
    }

    /// Has the service asked at once: something was changed.
    pub fn ask_at_once(&self) {
        self.change(|state| {
            state.at_once = true;
            true
        });
    }

    /// Asks the service until the end, and calls `changed` when there is something else to show.
    pub fn follow(&self, service: &mut dyn OverviewService, changed: &dyn Fn()) {
        self.be_followed();
        while self.wait_while(OverviewState::rests) {
            self.look().at_once = false;
            if self.turn(service) {
                changed();
            }
            self.rest_while(REST, |state| !state.at_once);
        }
    }

    /// Asks once. Returns `true` if there is something else to show.
    pub fn turn(&self, service: &mut dyn OverviewService) -> bool {
        let before = match self.look().seen() {
            Some(Ok(seen)) => Some(seen.clone()),
            _ => None,
        };
        let part = self.look().wanted.unwrap_or_default();
        let seen = ask(service, part, before.as_deref()).map(Arc::new);
        let mut state = self.look();
        let news = match (&state.seen, &seen) {
            (Some(Ok(before)), Ok(now)) => !before.looks_like(now),
            (Some(Err(before)), Err(now)) => before != now,
            _ => true,
        };
        state.seen = Some(seen);
        news
    }
}

impl OverviewSeen {
    /// Returns whether the two look the same: that time passes is nothing else to show.
    fn looks_like(&self, other: &Self) -> bool {
        let timeless = |seen: &Self| {
            let mut seen = seen.clone();
            seen.lease_until = None;
            if let Some(lease) = &mut seen.status.lease {
                lease.milliseconds_left = 0;
            }
            seen
        };
        timeless(self) == timeless(other)
    }
}

fn ask(
    service: &mut dyn OverviewService,
    part: Part,
    before: Option<&OverviewSeen>,
) -> Result<OverviewSeen, String> {
    let status = service.status()?;
    let lease = status.lease.as_ref();
    let lease_until =
        lease.map(|lease| Instant::now() + Duration::from_millis(lease.milliseconds_left));
    let of = |status: &Status| (status.pid, status.since, status.rules.generation);
    let rules = match before.filter(|before| of(&before.status) == of(&status)) {
        Some(before) => before.rules.clone(),
        None => {
            let text = service.rules()?;
            Arc::new(RuleList::of(&text, &*service.resolver(&text)))
        }
    };
    let hits = service.hits()?;
    let known = hits.generation == rules.generation && hits.hits.len() == rules.rows.len();
    let (mut answers, mut members, mut networks) = (None, None, None);
    match part {
        Part::Rules => {}
        Part::Answers => answers = Some(service.answers()?),
        Part::Sets => members = Some(service.members()?),
        Part::Networks => networks = Some(service.networks()?),
    }
    Ok(OverviewSeen {
        answers,
        members,
        networks,
        stats: service.stats()?,
        accounts: service.accounts()?,
        hits: known.then_some(hits.hits),
        status,
        rules,
        lease_until,
    })
}

#[cfg(target_os = "linux")]
impl OverviewService for crate::questions::AtSocket {
    fn status(&mut self) -> Result<Status, String> {
        self.ask(control::Client::status).map_err(words)
    }

    fn stats(&mut self) -> Result<Stats, String> {
        self.ask(control::Client::stats).map_err(words)
    }

    fn accounts(&mut self) -> Result<Accounts, String> {
        self.ask(control::Client::accounts).map_err(words)
    }

    fn hits(&mut self) -> Result<Hits, String> {
        self.ask(control::Client::hits).map_err(words)
    }

    fn rules(&mut self) -> Result<RuleText, String> {
        self.ask(control::Client::rules).map_err(words)
    }

    fn answers(&mut self) -> Result<Vec<HeldAnswer>, String> {
        self.ask(control::Client::answers).map_err(words)
    }

    fn members(&mut self) -> Result<Vec<SetMember>, String> {
        self.ask(|client| client.set_members(None)).map_err(words)
    }

    fn networks(&mut self) -> Result<Networks, String> {
        self.ask(control::Client::networks).map_err(words)
    }

    fn resolver(&self, rules: &RuleText) -> Box<dyn Resolver> {
        Box::new(rules::SystemResolver::beside(
            &rules.folder.join("rules.toml"),
        ))
    }
}

#[cfg(target_os = "linux")]
fn words(failed: control::Failed) -> String {
    crate::failed::words(&failed)
}

/// Service for tests.
#[cfg(test)]
pub struct OverviewModel {
    /// State of the firewall.
    pub status: Status,
    /// Error that it answers everything with, if it can't be asked.
    pub unreachable: Option<String>,
    /// Text of its rules.
    pub text: String,
    /// Number of decisions of each rule.
    pub hits: Vec<u64>,
    /// Answers that hold.
    pub answers: Vec<HeldAnswer>,
    /// Addresses that have joined sets.
    pub members: Vec<SetMember>,
    /// Default routes.
    pub routes: Vec<control::RouteStatus>,
    /// Counters of the driver.
    pub stats: Stats,
    /// Number of times that its state was asked for.
    pub asked: u32,
}

#[cfg(test)]
impl OverviewModel {
    /// Returns a service with these rules, as generation 4.
    pub fn with(text: &str) -> Self {
        Self {
            status: view::example::status(),
            unreachable: None,
            text: text.to_owned(),
            hits: Vec::new(),
            answers: Vec::new(),
            members: Vec::new(),
            routes: Vec::new(),
            stats: Stats {
                allowed_out: 1_234,
                blocked_in: 56,
                flows: 7,
                flows_most: 4_096,
                ..Stats::default()
            },
            asked: 0,
        }
    }
}

#[cfg(test)]
impl OverviewService for OverviewModel {
    fn status(&mut self) -> Result<Status, String> {
        self.asked += 1;
        match &self.unreachable {
            Some(why) => Err(why.clone()),
            None => Ok(self.status.clone()),
        }
    }

    fn stats(&mut self) -> Result<Stats, String> {
        Ok(self.stats)
    }

    fn accounts(&mut self) -> Result<Accounts, String> {
        Ok(Accounts {
            taken: 3,
            released: 2,
            apps: Vec::new(),
            past: control::Counted::default(),
            balances: true,
        })
    }

    fn hits(&mut self) -> Result<Hits, String> {
        Ok(Hits {
            generation: self.status.rules.generation,
            hits: self.hits.clone(),
        })
    }

    fn rules(&mut self) -> Result<RuleText, String> {
        Ok(RuleText {
            generation: self.status.rules.generation,
            name: Some("rules.toml".to_owned()),
            text: Some(self.text.clone()),
            folder: std::path::PathBuf::new(),
            file: "/etc/gatebell/rules.toml".into(),
            unwritten: false,
        })
    }

    fn answers(&mut self) -> Result<Vec<HeldAnswer>, String> {
        Ok(self.answers.clone())
    }

    fn members(&mut self) -> Result<Vec<SetMember>, String> {
        Ok(self.members.clone())
    }

    fn networks(&mut self) -> Result<Networks, String> {
        Ok(Networks {
            generation: self.status.rules.generation,
            networks: self.status.networks.clone(),
            routes: self.routes.clone(),
        })
    }

    fn resolver(&self, _: &RuleText) -> Box<dyn Resolver> {
        Box::new(rules::NoResolver)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    const RULES: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[rule]]\nid = 'all'\naction = 'block'\n\
        protocol = 'tcp'\n\n[[rule]]\nid = 'covered'\naction = 'allow'\nprotocol = 'tcp'\nports = 22\n\n[[rule]]\nid = 'off'\n\
        action = 'allow'\nenabled = false\n";

    fn seen(overview: &Overview) -> Arc<OverviewSeen> {
        overview.look().seen().unwrap().clone().unwrap()
    }

    #[test]
    fn rules_are_listed_in_order_with_what_covers_them_and_what_is_off_and_hits_of_their_own_generation_alone()
     {
        let overview = Overview::default();
        let mut service = OverviewModel::with(RULES);
        service.hits = vec![9, 0, 0];
        assert!(overview.turn(&mut service));
        let shown = seen(&overview);
        let rows = &shown.rules.rows;
        let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["all", "covered", "off"]);
        assert_eq!(rows[1].words, "tcp to port 22");
        assert!(
            rows[1].covered.as_ref().unwrap().contains("`all`"),
            "{rows:?}"
        );
        assert!(rows[0].enabled && rows[0].covered.is_none() && !rows[2].enabled);
        assert_eq!(shown.hits, Some(vec![9, 0, 0]));
        service.hits.pop();
        overview.turn(&mut service);
        assert_eq!(seen(&overview).hits, None);
    }

    #[test]
    fn that_a_leases_time_passes_is_nothing_to_paint_and_who_comes_back_is() {
        let overview = Overview::default();
        let mut service = OverviewModel::with(RULES);
        assert!(overview.turn(&mut service));
        service.status.lease.as_mut().unwrap().milliseconds_left -= 900;
        assert!(!overview.turn(&mut service));
        service.unreachable = Some("gatebelld is not running".to_owned());
        assert!(overview.turn(&mut service) && !overview.turn(&mut service));
        service.unreachable = None;
        assert!(overview.turn(&mut service));
    }

    #[test]
    fn nobody_is_asked_while_no_page_is_in_sight_that_shows_it() {
        let overview = Overview::default();
        let mut service = OverviewModel::with(RULES);
        let (tell, changed) = std::sync::mpsc::channel();
        let (early, asked) = std::thread::scope(|scope| {
            let overview = &overview;
            let asking = scope.spawn(move || {
                overview.follow(&mut service, &|| {
                    let _gone = tell.send(());
                });
                service.asked
            });
            std::thread::sleep(Duration::from_millis(200));
            let early = overview.look().seen().is_some();
            overview.want(Some(Part::Rules));
            let _asked = changed.recv_timeout(Duration::from_secs(60));
            overview.want(None);
            std::thread::sleep(Duration::from_millis(1_500));
            overview.end();
            (early, asking.join().unwrap())
        });
        assert_eq!((early, asked), (false, 1));
    }

    #[test]
    fn rules_that_can_not_be_read_here_are_said_to_be_so() {
        let overview = Overview::default();
        let mut service = OverviewModel::with("[default]\ninbound = 'maybe'\n");
        overview.turn(&mut service);
        let shown = seen(&overview);
        assert!(shown.rules.unreadable.as_ref().unwrap().contains("maybe"));
    }
}
