//! Rules by click: the rule that a packet's like is allowed or blocked by, put in force and taken back, shared by the thread
//! that speaks with the service and by the window.
//!
//! - The window never waits for the service: the thread does, also while a person types a password for the permission.
//! - One change is on its way at a time.
//! - What is shown was tried: with the rule in its place the rules decide about this very packet as is wished.

use firewall_abi::asking::Width;
use firewall_abi::packet::{
    Decision, Direction, Local, NO_RULE, NO_USER, Reason, Verdict, name_words,
};
use rules::document::{self, Place};
use rules::{Reach, Resolver, Rules, Suggestion};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use view::entry::PacketSeen;

/// How often a change is tried anew if somebody else changes the rules at the same moment.
const TRIES: usize = 2;

/// Whom a rule is about, at this machine's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The packet's program.
    Program,
    /// The packet's user.
    User,
    /// Whoever it is.
    Anyone,
}

/// What is wished for a packet and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The packet.
    pub packet: PacketSeen,
    /// Whether it is to be allowed; else it is to be blocked.
    pub allow: bool,
    /// Whose it is.
    pub who: Who,
    /// How far it reaches.
    pub width: Width,
}

impl Wish {
    /// The other verdict, for the packet's program if that is known, at this place.
    pub fn usual(packet: &PacketSeen) -> Self {
        Self {
            allow: packet.verdict != Verdict::Allow,
            who: known(packet).first().copied().unwrap_or(Who::Anyone),
            width: Width::Place,
            packet: packet.clone(),
        }
    }

    /// Whether a packet's like can be told so: all that there is may be allowed or blocked for a program or a user alone, and
    /// a port only of what shows one.
    pub fn can_be(&self) -> bool {
        match self.width {
            Width::Place | Width::Address => true,
            Width::Port => self.packet.reason != Reason::Fragment,
            Width::Anywhere => self.who != Who::Anyone,
        }
    }

    /// The rule's text, for a rule file of which nothing is known.
    pub fn text(&self) -> String {
        self.with_suggestion(|suggestion| suggestion.text(|_| false))
    }

    fn with_suggestion<T>(&self, make: impl FnOnce(&Suggestion<'_>) -> T) -> T {
        let program = &self.packet.program;
        let user = program.user.map(|user| user.to_string());
        make(&Suggestion {
            action: if self.allow {
                Verdict::Allow
            } else {
                Verdict::Block
            },
            headers: &self.packet.flow,
            shows_ports: self.packet.reason != Reason::Fragment,
            reach: Reach::Other(self.width),
            user: user.as_deref().filter(|_| self.who == Who::User),
            program: program.path.as_deref().filter(|_| self.who == Who::Program),
            interface: None,
            out_interface: None,
        })
    }

    fn is_granted(&self, decision: &Decision) -> bool {
        (decision.verdict == Verdict::Allow as u8) == self.allow
            && (self.allow || decision.verdict == Verdict::Block as u8)
    }

    /// What the rules decide about the packet, had it no connection that it goes on with.
    fn decide(&self, rules: &Rules) -> Decision {
        let PacketSeen {
            program,
            flow,
            reason,
            ..
        } = &self.packet;
        let device = |name: &Option<std::sync::Arc<str>>| {
            name.as_deref().and_then(name_words).unwrap_or_default()
        };
        let local = Local {
            program: program.file.unwrap_or_default(),
            interface: device(&self.packet.device),
            out_interface: device(&self.packet.out_device),
            user: program.user.unwrap_or(NO_USER),
            later: 0,
        };
        let shape = if *reason == Reason::Fragment {
            engine::Shape::LaterFragment
        } else {
            engine::Shape::Whole
        };
        let packet = engine::Parsed { flow: *flow, shape };
        engine::classify(&packet, &local, &rules.compile(1).slices())
    }
}

/// Whom rules can tell a packet's like by, the narrowest first.
pub fn known(packet: &PacketSeen) -> Vec<Who> {
    let mut all = Vec::new();
    if packet.direction != Direction::Forward {
        all.extend(packet.program.path.is_some().then_some(Who::Program));
        all.extend(packet.program.user.map(|_| Who::User));
    }
    all.push(Who::Anyone);
    all
}

/// A rule file's text as the service has it in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// What the file is called.
    pub name: String,
    /// What is in it.
    pub text: String,
    /// Its generation.
    pub generation: u32,
    /// The folder from which on it names files.
    pub folder: PathBuf,
}

/// The rule that a wish becomes, in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its name.
    pub id: String,
    /// As it stands in the file.
    pub rule: String,
    /// Where it stands.
    pub place: Place,
    /// The whole file with it.
    text: String,
    /// The command that does the same.
    command: Option<String>,
}

impl Draft {
    /// Its place in words.
    pub fn place_words(&self) -> String {
        match &self.place {
            Place::First => "before all other rules".to_owned(),
            Place::Last => "after all other rules: none takes it yet".to_owned(),
            Place::Before(id) => format!("before rule \"{id}\", which takes it now"),
            Place::After(id) => format!("after rule \"{id}\""),
        }
    }
}

/// The rule that fulfils a wish with these rules in force.
///
/// # Errors
/// No rule does; the text says why.
pub fn draft(file: &InForce, wish: &Wish, resolver: &dyn Resolver) -> Result<Draft, String> {
    let names = document::names(&file.text).map_err(|wrong| wrong.to_string())?;
    let parse = |text: &str| rules::parse(&file.name, text, resolver);
    // What can't be read here, the service may read.
    let place = match parse(&file.text) {
        Ok(rules) => {
            let decision = wish.decide(&rules);
            if wish.is_granted(&decision) {
                let verb = if wish.allow { "allow" } else { "block" };
                return Err(format!(
                    "The rules that are in force now {verb} it already."
                ));
            }
            let rule = (decision.rule != NO_RULE).then(|| rules.rule(decision.rule));
            rule.flatten()
                .map_or(Place::Last, |rule| Place::Before(rule.id.clone()))
        }
        Err(_) => match &wish.packet.rule {
            Some(rule) if names.contains(&rule.id) => Place::Before(rule.id.clone()),
            _ => Place::First,
        },
    };
    let taken = |id: &str| names.iter().any(|name| name == id);
    let (keys, rule) = wish.with_suggestion(|it| (it.keys(taken), it.text(taken)));
    let text = document::add(&file.text, &keys, &place).map_err(|wrong| wrong.to_string())?;
    if let Ok(rules) = parse(&text) {
        if !wish.is_granted(&wish.decide(&rules)) {
            return Err(
                "No such rule decides about this packet: its program is not the file that has this path now. Choose \
                 somebody else than this program."
                    .to_owned(),
            );
        }
    } else if let (Ok(_), Err(errors)) = (parse(&file.text), parse(&text)) {
        let all = errors.findings().iter().map(ToString::to_string);
        return Err(all.collect::<Vec<_>>().join("\n"));
    }
    let id = keys.first().map(|(_, id)| id.trim_matches('"').to_owned());
    Ok(Draft {
        id: id.unwrap_or_default(),
        rule,
        command: command(&keys, &place),
        place,
        text,
    })
}

/// The command that adds a rule; none if it can't be typed as it is.
fn command(keys: &[(&str, String)], place: &Place) -> Option<String> {
    let mut words = vec!["sudo gatebell rules add".to_owned()];
    for (key, value) in keys {
        let value = quoted(
            value
                .strip_prefix('"')
                .and_then(|it| it.strip_suffix('"'))
                .unwrap_or(value),
        )?;
        words.push(match *key {
            "action" => {
                words.insert(1, value);
                continue;
            }
            key => format!("--{} {value}", key.replace('_', "-")),
        });
    }
    match place {
        Place::First => words.push("--first".to_owned()),
        Place::Last => {}
        Place::Before(id) => words.push(format!("--before {}", quoted(id)?)),
        Place::After(id) => words.push(format!("--after {}", quoted(id)?)),
    }
    Some(words.join(" "))
}

/// A word as a shell takes it; none if it has in it what is neither typed nor seen.
fn quoted(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if word
        .chars()
        .any(|c| c == '\\' || c == '\'' || c.is_control())
    {
        None
    } else if word.chars().all(plain) {
        Some(word.to_owned())
    } else {
        Some(format!("'{word}'"))
    }
}

/// Why the service does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Others have changed the rules meanwhile.
    Replaced,
    /// This user may not.
    NotPermitted(String),
    /// Another reason; it says what to do.
    Said(String),
}

/// Who has the rules.
pub trait Service {
    /// The rules in force, if they can be changed now.
    fn in_force(&mut self) -> Result<InForce, Failure>;
    /// Puts this text in force in the place of that one. The new generation.
    fn apply(&mut self, old: &InForce, text: &str, what: &str) -> Result<u32, Failure>;
    /// What knows the names in these rules.
    fn resolver(&self, file: &InForce) -> Box<dyn Resolver>;
}

/// What is asked of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To add the rule for a wish.
    Make(Box<Wish>),
    /// To take it back.
    Undo(Made),
}

/// A rule that was put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub id: String,
    /// The generation with it.
    pub generation: u32,
    before: String,
    after: String,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule is in force.
    InForce(Made),
    /// It is so no more.
    TakenBack {
        /// Its name.
        id: String,
        /// The generation without it.
        generation: u32,
    },
    /// Nothing was changed.
    Refused {
        /// Why, and what to do.
        why: String,
        /// The command that does it as root, if that is what helps.
        command: Option<String>,
        /// What is in force still, if that was to be taken back.
        still: Option<Made>,
    },
}

/// What is drafted, what is on its way, and what became of it.
#[derive(Debug, Default)]
pub struct Changes {
    state: Mutex<State>,
    call: Condvar,
}

/// What is known now.
#[derive(Debug, Default)]
pub struct State {
    wish: Option<Wish>,
    draft: Option<(Wish, Result<Draft, String>)>,
    order: Option<(Order, Instant)>,
    outcome: Option<Outcome>,
    followed: bool,
    ended: bool,
}

impl State {
    /// Whether somebody speaks with a service.
    pub fn is_followed(&self) -> bool {
        self.followed
    }

    /// The rule that this wish becomes, once that is known.
    pub fn draft(&self, wish: &Wish) -> Option<&Result<Draft, String>> {
        let (about, draft) = self.draft.as_ref()?;
        (about == wish).then_some(draft)
    }

    /// Since when an order is on its way.
    pub fn on_its_way(&self) -> Option<Instant> {
        self.order.as_ref().map(|(_, since)| *since)
    }

    /// What became of the last one.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }
}

impl Changes {
    /// A look at what is known.
    pub fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has this wish drafted, if it is not yet.
    pub fn wish(&self, wish: &Wish) {
        let mut state = self.look();
        if state.wish.as_ref() != Some(wish) {
            state.wish = Some(wish.clone());
            drop(state);
            self.call.notify_one();
        }
    }

    /// Hands in an order. False: another one is still on its way.
    pub fn order(&self, order: Order) -> bool {
        let mut state = self.look();
        if state.order.is_some() {
            return false;
        }
        state.outcome = None;
        state.order = Some((order, Instant::now()));
        drop(state);
        self.call.notify_one();
        true
    }

    /// Forgets what became of the last order.
    pub fn dismiss(&self) {
        self.look().outcome = None;
    }

    /// Ends whoever follows.
    pub fn end(&self) {
        self.look().ended = true;
        self.call.notify_one();
    }

    /// Notes that somebody speaks with a service.
    pub fn be_followed(&self) {
        self.look().followed = true;
    }

    /// Speaks with the service until the end, and calls `changed` when there is something else to show.
    pub fn follow(&self, service: &mut dyn Service, changed: &dyn Fn()) {
        self.be_followed();
        while !self.look().ended {
            if self.turn(service) {
                changed();
            }
            let idle = |state: &mut State| state.has_nothing_to_do() && !state.ended;
            drop(self.call.wait_while(self.look(), idle));
        }
    }

    /// Does what there is to do now. True: there is something else to show.
    pub fn turn(&self, service: &mut dyn Service) -> bool {
        let order = self.look().order.clone();
        if let Some((order, _)) = order {
            let outcome = match order {
                Order::Make(wish) => make(service, &wish),
                Order::Undo(made) => undo(service, made),
            };
            let mut state = self.look();
            state.order = None;
            state.outcome = Some(outcome);
            // Other rules may be in force now.
            state.draft = None;
            return true;
        }
        let state = self.look();
        if state.has_nothing_to_do() {
            return false;
        }
        let Some(wish) = state.wish.clone() else {
            return false;
        };
        drop(state);
        let drafted = match service.in_force() {
            Ok(file) => draft(&file, &wish, &*service.resolver(&file)),
            Err(failure) => Err(failure.words()),
        };
        self.look().draft = Some((wish, drafted));
        true
    }
}

impl State {
    fn has_nothing_to_do(&self) -> bool {
        let drafted = self.draft.as_ref().map(|(wish, _)| wish);
        self.order.is_none() && (self.wish.is_none() || self.wish.as_ref() == drafted)
    }
}

impl Failure {
    fn words(self) -> String {
        match self {
            Self::Replaced => "Somebody else is changing the rules at this moment, and nothing was changed now; try again.".to_owned(),
            Self::NotPermitted(why) | Self::Said(why) => why,
        }
    }

    /// Why nothing was changed, with the command that takes root.
    fn refused(self, command: Option<String>, still: Option<Made>) -> Outcome {
        let command = command.filter(|_| matches!(self, Self::NotPermitted(_)));
        Outcome::Refused {
            why: self.words(),
            command,
            still,
        }
    }
}

fn make(service: &mut dyn Service, wish: &Wish) -> Outcome {
    for _ in 0..TRIES {
        let file = match service.in_force() {
            Ok(file) => file,
            Err(failure) => return failure.refused(None, None),
        };
        let draft = match draft(&file, wish, &*service.resolver(&file)) {
            Ok(draft) => draft,
            Err(why) => return Failure::Said(why).refused(None, None),
        };
        match service.apply(&file, &draft.text, &format!("add {}", draft.id)) {
            Ok(generation) => {
                return Outcome::InForce(Made {
                    id: draft.id,
                    generation,
                    before: file.text,
                    after: draft.text,
                });
            }
            Err(Failure::Replaced) => {}
            Err(failure) => return failure.refused(draft.command, None),
        }
    }
    Failure::Replaced.refused(None, None)
}

/// Takes a rule back: the text before it, or if others changed the rules since, theirs without it.
fn undo(service: &mut dyn Service, made: Made) -> Outcome {
    let id = &made.id;
    for _ in 0..TRIES {
        let file = match service.in_force() {
            Ok(file) => file,
            Err(failure) => return failure.refused(None, Some(made)),
        };
        let text = if file.text == made.after {
            Ok(made.before.clone())
        } else {
            document::remove(&file.text, id)
        };
        let text = match text {
            Ok(text) => text,
            Err(wrong) => return Failure::Said(wrong.to_string()).refused(None, None),
        };
        match service.apply(&file, &text, &format!("undo: add {id}")) {
            Ok(generation) => {
                let id = made.id;
                return Outcome::TakenBack { id, generation };
            }
            Err(Failure::Replaced) => {}
            Err(failure) => {
                let command = quoted(id).map(|id| format!("sudo gatebell rules remove {id}"));
                return failure.refused(command, Some(made));
            }
        }
    }
    Failure::Replaced.refused(None, Some(made))
}

#[cfg(target_os = "linux")]
impl From<control::Failed> for Failure {
    fn from(failed: control::Failed) -> Self {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        match failed {
            control::Failed::Refused {
                name,
                message,
                errors,
            } => match name.as_str() {
                "RulesReplaced" => Self::Replaced,
                "NotPermitted" => Self::NotPermitted(message),
                _ if errors.is_empty() => Self::Said(message),
                _ => Self::Said(format!("{}\n{message}", errors.join("\n"))),
            },
            control::Failed::System(error) if matches!(error.kind(), TimedOut | WouldBlock) => {
                Self::Said(
                    "The firewall has not answered for two minutes: perhaps nobody gave the permission. See what is in force, \
                     then try again: gatebell rules show"
                        .to_owned(),
                )
            }
            other => Self::Said(other.to_string()),
        }
    }
}

#[cfg(target_os = "linux")]
impl Service for crate::questions::AtSocket {
    fn in_force(&mut self) -> Result<InForce, Failure> {
        let said = |why: &str| Err(Failure::Said(why.to_owned()));
        let rules = self.ask(control::Client::rules)?;
        let Some(text) = rules.text else {
            return said(
                "The firewall found its rules in the kernel and has no text of them; apply a rule file: gatebell rules apply FILE",
            );
        };
        if self.ask(control::Client::status)?.lease.is_some() {
            return said(
                "Rules are on a lease: confirm them or return to the ones before first, `gatebell rules confirm` or `gatebell \
                 rules revert`.",
            );
        }
        // Who may not read it is told by the service what to do.
        let on_disk = std::fs::read_to_string(&rules.file).ok();
        if on_disk.is_some_and(|on_disk| on_disk != text) {
            return Err(Failure::Said(format!(
                "{} was changed and is not in force as it is now; put it in force first: sudo systemctl reload gatebell",
                rules.file.display()
            )));
        }
        Ok(InForce {
            name: rules.file.display().to_string(),
            text,
            generation: rules.generation,
            folder: rules.folder,
        })
    }

    fn apply(&mut self, old: &InForce, text: &str, what: &str) -> Result<u32, Failure> {
        let note = control::ChangeNote {
            what: Some(what.to_owned()),
            undoes: None,
            replaces: Some(old.generation),
        };
        let applied = self.ask(|client| client.apply_change(&old.name, text, None, &note))?;
        Ok(applied.generation)
    }

    fn resolver(&self, file: &InForce) -> Box<dyn Resolver> {
        Box::new(rules::SystemResolver::beside(
            &file.folder.join("rules.toml"),
        ))
    }
}

/// A service for tests: its rule file, and what it says to every change.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct Model {
    /// What is in force.
    pub text: String,
    /// Its generation.
    pub generation: u32,
    /// What it says to the next changes.
    pub says: Vec<Failure>,
}

#[cfg(test)]
impl Service for Model {
    fn in_force(&mut self) -> Result<InForce, Failure> {
        Ok(InForce {
            name: "rules.toml".to_owned(),
            text: self.text.clone(),
            generation: self.generation,
            folder: PathBuf::new(),
        })
    }

    fn apply(&mut self, old: &InForce, text: &str, _: &str) -> Result<u32, Failure> {
        if let Some(failure) = self.says.pop() {
            return Err(failure);
        }
        assert_eq!(old.generation, self.generation);
        self.text = text.to_owned();
        self.generation += 1;
        Ok(self.generation)
    }

    fn resolver(&self, _: &InForce) -> Box<dyn Resolver> {
        Box::new(OneProgram)
    }
}

/// A machine with one program.
#[cfg(test)]
struct OneProgram;

#[cfg(test)]
impl Resolver for OneProgram {
    fn set_file(&self, _: &str) -> Result<rules::SetFile, String> {
        Err("there is none".to_owned())
    }

    fn user(&self, _: &str) -> Result<u32, String> {
        Err("there is none".to_owned())
    }

    fn program(&self, path: &str) -> Option<[u64; 2]> {
        (path == "/usr/bin/telnet").then_some([8, 15])
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use firewall_abi::packet::PacketHeaders;
    use view::entry::{Entry, ICMP, UDP, What};
    use view::example::{Named, packet};

    const RULES: &str = "# ours\n[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[rule]]\nid = 'web'\naction = 'allow'\n\
        protocol = 'tcp'\nports = 80\n\n# telnet\n[[rule]]\nid = 'no-telnet'\naction = 'block'\n\n[[rule]]\nid = 'late'\n\
        action = 'allow'\n";

    fn seen(change: impl FnOnce(&mut PacketHeaders)) -> PacketSeen {
        let mut packet = packet();
        change(&mut packet.flow);
        let entry = Entry::from_packet(std::time::UNIX_EPOCH, &packet, &mut Named).unwrap();
        let What::Packet(mut seen) = entry.what else {
            panic!("{entry}");
        };
        seen.program.path = Some("/usr/bin/telnet".into());
        seen.program.file = Some([8, 15]);
        seen.program.user = Some(1000);
        seen
    }

    fn file(text: &str) -> InForce {
        InForce {
            name: "rules.toml".to_owned(),
            text: text.to_owned(),
            generation: 1,
            folder: PathBuf::new(),
        }
    }

    fn packets() -> Vec<PacketSeen> {
        let six = |flow: &mut PacketHeaders, protocol, kind| {
            flow.source = std::net::Ipv6Addr::LOCALHOST.octets();
            flow.destination = [0x20; 16];
            (flow.ip_version, flow.protocol, flow.source_port) = (6, protocol, kind);
        };
        let mut fragment = seen(|flow| (flow.source_port, flow.destination_port) = (0, 0));
        fragment.reason = Reason::Fragment;
        let mut all = vec![
            seen(|_| {}),
            fragment,
            seen(|flow| flow.protocol = UDP),
            seen(|flow| (flow.protocol, flow.source_port, flow.destination_port) = (ICMP, 8, 0)),
            seen(|flow| (flow.protocol, flow.source_port, flow.destination_port) = (132, 0, 0)),
            seen(|flow| six(flow, 6, 40_000)),
            seen(|flow| six(flow, 58, 128)),
        ];
        for direction in [Direction::Outbound, Direction::Forward] {
            let mut other = seen(|flow| flow.direction = direction as u8);
            other.direction = direction;
            all.push(other);
        }
        all
    }

    /// Every wish that is offered for a packet.
    fn wishes(packet: &PacketSeen, allow: bool) -> Vec<Wish> {
        let mut all = Vec::new();
        for who in known(packet) {
            for width in Width::ALL {
                let packet = packet.clone();
                let wish = Wish {
                    packet,
                    allow,
                    who,
                    width,
                };
                all.extend(wish.can_be().then_some(wish));
            }
        }
        all
    }

    #[test]
    fn every_rule_that_is_offered_decides_about_its_packet_as_is_wished_and_is_taken_back_to_the_byte()
     {
        let allowing = RULES.replace("action = 'block'", "action = 'allow'");
        let mut tried = 0;
        for packet in packets() {
            for (text, allow) in [(RULES, true), (&allowing, false)] {
                for wish in wishes(&packet, allow) {
                    let draft = draft(&file(text), &wish, &OneProgram).unwrap();
                    assert_eq!(draft.place, Place::Before("no-telnet".to_owned()));
                    let rules =
                        rules::parse("rules.toml", &draft.text, &OneProgram).expect(&draft.text);
                    assert!(
                        wish.is_granted(&wish.decide(&rules)),
                        "{wish:?}\n{}",
                        draft.text
                    );
                    let lone = text.replace("\n\n", "\n");
                    assert!(!lone.contains(&draft.rule) && draft.text.contains(&draft.rule));
                    assert_eq!(document::remove(&draft.text, &draft.id).unwrap(), text);
                    tried += 1;
                }
            }
        }
        assert!(tried > 100, "{tried}");
    }

    #[test]
    fn a_rule_that_would_not_help_is_not_offered() {
        let mut packet = seen(|_| {});
        packet.program.file = Some([8, 16]);
        let why = draft(&file(RULES), &Wish::usual(&packet), &OneProgram).unwrap_err();
        assert!(why.contains("its program is not the file"), "{why}");
        let allowed = RULES.replace("action = 'block'", "action = 'allow'");
        let why = draft(&file(&allowed), &Wish::usual(&packet), &OneProgram).unwrap_err();
        assert!(why.contains("allow it already"), "{why}");
    }

    #[test]
    fn a_rule_is_taken_back_from_among_others_that_came_since() {
        let mut service = Model {
            text: RULES.to_owned(),
            ..Model::default()
        };
        let Outcome::InForce(made) = make(&mut service, &Wish::usual(&seen(|_| {}))) else {
            panic!("{service:?}");
        };
        let others = service.text.replace("# ours", "# ours, and others'");
        service.text.clone_from(&others);
        assert!(matches!(
            undo(&mut service, made),
            Outcome::TakenBack { .. }
        ));
        assert_eq!(service.text, RULES.replace("# ours", "# ours, and others'"));
    }

    #[test]
    fn rules_that_others_change_meanwhile_are_read_again_once() {
        let wish = Wish::usual(&seen(|_| {}));
        let mut service = Model {
            text: RULES.to_owned(),
            says: vec![Failure::Replaced],
            ..Model::default()
        };
        assert!(matches!(make(&mut service, &wish), Outcome::InForce(_)));
        service.text = RULES.to_owned();
        service.says = vec![Failure::Replaced; 2];
        assert!(matches!(make(&mut service, &wish), Outcome::Refused { .. }));
        assert_eq!(service.text, RULES);
    }

    #[test]
    fn who_may_not_is_told_the_command_that_root_types() {
        let mut service = Model {
            text: RULES.to_owned(),
            says: vec![Failure::NotPermitted("only root may".to_owned())],
            ..Model::default()
        };
        let outcome = make(&mut service, &Wish::usual(&seen(|_| {})));
        let Outcome::Refused { why, command, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(why, "only root may");
        assert_eq!(
            command.unwrap(),
            "sudo gatebell rules add allow --id allow-telnet-tcp-23-from-10-0-0-1 --direction in --protocol tcp --source 10.0.0.1 \
             --ports 23 --program /usr/bin/telnet --before no-telnet"
        );
        assert_eq!(quoted("a'; rm -rf /"), None);
    }
}
