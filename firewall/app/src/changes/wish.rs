//! Wishes for a packet and its like.

use super::judged::Judged;
use firewall_abi::asking::Width;
use firewall_abi::packet::{Decision, Direction, NO_USER, PacketMeta, Reason, Verdict, name_words};
use rules::{Reach, Resolver, Suggestion};
use view::entry::PacketSeen;

/// Subject of a rule, at this machine's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Program of the packet.
    Program,
    /// User of the packet.
    User,
    /// Any program and user.
    Anyone,
}

/// Wish for a packet and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Packet that the wish is about.
    pub packet: PacketSeen,
    /// `true` if the packet is to be allowed, `false` if it is to be blocked.
    pub allow: bool,
    /// Subject of the rule, at this machine's end.
    pub who: Who,
    /// Width of the rule.
    pub width: Width,
}

impl Wish {
    /// Wishes for the other verdict, for the packet's program if that is known, at this endpoint.
    pub fn usual(packet: &PacketSeen) -> Self {
        Self {
            allow: packet.verdict != Verdict::Allow,
            who: known(packet).first().copied().unwrap_or(Who::Anyone),
            width: Width::Endpoint,
            packet: packet.clone(),
        }
    }

    /// Returns whether a packet's like can be told so: all that there is may be allowed or blocked for a program or a
    /// user alone, and a port only of what shows one.
    pub fn can_be(&self) -> bool {
        match self.width {
            Width::Endpoint | Width::Address => true,
            Width::Port => self.packet.reason != Reason::Fragment,
            Width::Anywhere => self.who != Who::Anyone,
        }
    }

    /// Returns the rule's text, for a rule file of which nothing is known.
    pub fn text(&self) -> String {
        self.with_suggestion(|suggestion| suggestion.text(|_| false))
    }

    pub(super) fn with_suggestion<T>(&self, make: impl FnOnce(&Suggestion<'_>) -> T) -> T {
        let program = &self.packet.program;
        let user = program.user.map(|user| user.to_string());
        make(&Suggestion {
            action: if self.allow {
                Verdict::Allow
            } else {
                Verdict::Block
            },
            headers: &self.packet.headers,
            shows_ports: self.packet.reason != Reason::Fragment,
            reach: Reach::Other(self.width),
            user: user.as_deref().filter(|_| self.who == Who::User),
            program: program.path.as_deref().filter(|_| self.who == Who::Program),
            interface: None,
            out_interface: None,
        })
    }

    pub(super) fn is_granted(&self, decision: &Decision) -> bool {
        (decision.verdict == Verdict::Allow as u8) == self.allow
            && (self.allow || Verdict::refuses(decision.verdict))
    }

    /// Returns the rules' decision about the packet.
    pub(super) fn decide(&self, rules: &Judged, resolver: &dyn Resolver) -> Decision {
        decide(&self.packet, rules, resolver)
    }
}

/// Returns the rules' decision about a packet, had it no connection that it goes on with. The history has the program's
/// path and not its file: that is looked up.
pub(super) fn decide(packet: &PacketSeen, rules: &Judged, resolver: &dyn Resolver) -> Decision {
    let PacketSeen {
        program,
        headers,
        reason,
        ..
    } = packet;
    let device = |name: &Option<std::sync::Arc<str>>| {
        name.as_deref().and_then(name_words).unwrap_or_default()
    };
    let path = program.path.as_deref();
    let file = program
        .file
        .or_else(|| path.and_then(|path| resolver.program(path)));
    let local = PacketMeta {
        program: file.unwrap_or_default(),
        interface: device(&packet.device),
        out_interface: device(&packet.out_device),
        user: program.user.unwrap_or(NO_USER),
        phase: 0,
    };
    let shape = if *reason == Reason::Fragment {
        engine::Shape::LaterFragment
    } else {
        engine::Shape::Whole
    };
    let packet = engine::Parsed {
        flow: *headers,
        shape,
    };
    engine::classify(&packet, &local, &rules.tables())
}

/// Returns the subjects by which rules can tell a packet's like, the narrowest first.
pub fn known(packet: &PacketSeen) -> Vec<Who> {
    let mut all = Vec::new();
    if packet.direction != Direction::Forward {
        all.extend(packet.program.path.is_some().then_some(Who::Program));
        all.extend(packet.program.user.map(|_| Who::User));
    }
    all.push(Who::Anyone);
    all
}
