//! Questions of rules in words, and the answers that are offered: the same in a terminal and in the window, with the
//! same keys.

use crate::entry::{clean, verdict_named};
use crate::text;
use control::{AskedPlace, Given, Lasts, Question};
use firewall_abi::asking::Width;
use firewall_abi::packet::{Direction, Verdict};
use rules::Protocol;
use std::net::IpAddr;
use std::time::Duration;

/// Duration of an answer that says no more.
pub const USUAL: Lasts = Lasts::For(Duration::from_secs(600));

/// Choice that is offered, with its key.
#[derive(Clone, Copy, Debug)]
pub struct Choice<T> {
    /// Key, in lower case.
    pub key: char,
    /// Value that the choice stands for.
    pub value: T,
    /// Function that returns the choice's name.
    words: fn() -> String,
}

/// Choices of the verdict, as an answer's `allow`.
pub const VERDICTS: [Choice<bool>; 2] = [
    Choice::new('a', true, || text!("choice-allow")),
    Choice::new('b', false, || text!("choice-block")),
];
/// Choices of the duration of an answer; [`USUAL`] unless another one is chosen.
pub const LASTS: [Choice<Lasts>; 5] = [
    Choice::new('c', Lasts::Connection, || text!("choice-connection")),
    Choice::new('m', USUAL, || text!("choice-minutes")),
    Choice::new('t', Lasts::Process, || text!("choice-process")),
    Choice::new('r', Lasts::UntilRestart, || text!("choice-restart")),
    Choice::new('w', Lasts::Always, || text!("choice-always")),
];
/// Choices of the width of an answer; the first unless another one is chosen.
pub const WIDTHS: [Choice<Width>; 4] = [
    Choice::new('p', Width::Endpoint, || text!("choice-endpoint")),
    Choice::new('d', Width::Address, || text!("choice-address")),
    Choice::new('o', Width::Port, || text!("choice-port")),
    Choice::new('e', Width::Anywhere, || text!("choice-everywhere")),
];
/// Key that leaves a question to its time.
pub const LEAVE: char = 's';
/// Key for [`mute`].
pub const MUTE: char = 'n';
/// Time for which nobody is asked about a program that is muted.
const MUTED: Duration = Duration::from_secs(3600);

impl<T: Copy> Choice<T> {
    const fn new(key: char, value: T, words: fn() -> String) -> Self {
        Self { key, value, words }
    }

    /// Returns the choice's name.
    #[must_use]
    pub fn words(&self) -> String {
        (self.words)()
    }

    /// Returns the value of the choice with this key among these.
    #[must_use]
    pub fn of(choices: &[Self], key: char) -> Option<T> {
        let chosen = choices.iter().find(|choice| choice.key == key)?;
        Some(chosen.value)
    }

    /// Returns the choices with their keys: `a allow, b block`.
    #[must_use]
    pub fn keys(choices: &[Self]) -> String {
        let each = choices
            .iter()
            .map(|choice| format!("{} {}", choice.key, choice.words()));
        each.collect::<Vec<_>>().join(", ")
    }
}

/// Returns the answer that a verdict alone is.
#[must_use]
pub const fn usual(allow: bool) -> Given {
    Given {
        allow,
        width: Width::Endpoint,
        lasts: USUAL,
    }
}

/// Returns the answer that a verdict alone is to a question, which may be about whatever its program wants.
#[must_use]
pub const fn usual_for(question: &Question, allow: bool) -> Given {
    let usual = usual(allow);
    Given {
        width: if question.many {
            Width::Anywhere
        } else {
            usual.width
        },
        ..usual
    }
}

/// Returns the answer that has nobody asked about this program for an hour: it is the verdict that holds where nobody
/// answers. What is answered about one of its places holds as before.
#[must_use]
pub fn mute(question: &Question) -> Given {
    Given {
        allow: question.unanswered == Verdict::Allow.name(),
        width: Width::Anywhere,
        lasts: Lasts::For(MUTED),
    }
}

/// Returns whether this answer to this question can hold as long as it says.
#[must_use]
pub fn can_last(question: &Question, given: &Given) -> bool {
    let is_of_question = match given.lasts {
        Lasts::Connection => question.of_connection,
        Lasts::Process => question.of_process,
        Lasts::For(_) | Lasts::UntilRestart | Lasts::Always => true,
    };
    is_of_question && question.may_be_given(given)
}

/// Returns the reason for which an answer to this question can't hold as long as others, if so.
#[must_use]
pub fn remark(question: &Question) -> Option<String> {
    let of_link = question.is_of_link();
    of_link.then(|| text!("question-of-link"))
}

/// Returns whether an answer that holds so long can be this wide.
#[must_use]
pub fn can_be_wide(lasts: Lasts, width: Width) -> bool {
    lasts != Lasts::Connection || width == Width::Endpoint
}

/// Returns whether a question is about what begins elsewhere.
#[must_use]
pub fn comes_in(question: &Question) -> bool {
    question.direction == Direction::Inbound.name()
}

/// Returns the program: its path, or the process's name, or what is left to say.
#[must_use]
pub fn program(question: &Question) -> String {
    match question.program.as_deref().unwrap_or(&question.name) {
        "" => text!("somebody"),
        known => clean(known),
    }
}

/// Returns the other end, with the name that it was asked for by: `192.0.2.7 (example.org)`; of more addresses of that
/// name each.
#[must_use]
pub fn remote(question: &Question) -> String {
    let mut all = question.remote.to_string();
    if !question.many {
        for other in question.places.iter().skip(1) {
            all.push_str(&format!(", {}", other.remote));
        }
    }
    format!("{all}{}", named(question.remote_name.as_deref()))
}

fn named(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| format!(" ({})", clean(name)))
}

/// Returns the endpoint as `192.0.2.7 tcp port 443`; of many places the first, and the number of the others.
#[must_use]
pub fn endpoint(question: &Question) -> String {
    let Question { protocol, port, .. } = question;
    let first = place(&remote(question), *protocol, *port);
    if !question.many {
        return first;
    }
    let others = (question.places.len() as u64).saturating_sub(1);
    let others = others.saturating_add(question.more);
    text!("endpoint-and-others", first = first, others = others)
}

fn place(remote: &str, protocol: u8, port: Option<u16>) -> String {
    let protocol = Protocol(protocol).to_string();
    match port {
        Some(port) => text!(
            "endpoint-port",
            remote = remote,
            protocol = protocol,
            port = port
        ),
        None => text!("endpoint-protocol", remote = remote, protocol = protocol),
    }
}

/// Returns the places that a question lists, to which alone an answer can be, one by one.
#[must_use]
pub fn places(question: &Question) -> Vec<String> {
    let words = |listed: &AskedPlace| {
        let AskedPlace {
            remote,
            remote_name,
            protocol,
            port,
            ..
        } = listed;
        let remote: &IpAddr = remote;
        let remote = format!("{remote}{}", named(remote_name.as_deref()));
        place(&remote, *protocol, *port)
    };
    question.places.iter().map(words).collect()
}

/// Returns a question in one line: `/usr/bin/curl of user 1000 -> 192.0.2.7 tcp port 443`.
#[must_use]
pub fn sentence(question: &Question) -> String {
    whole_sentence(
        &program(question),
        question.user,
        comes_in(question),
        &endpoint(question),
    )
}

/// Joins the parts of a question or answer: `/usr/bin/curl of user 1000 -> 192.0.2.7 tcp port 443`.
pub(crate) fn whole_sentence(
    program: &str,
    user: Option<u32>,
    inward: bool,
    endpoint: &str,
) -> String {
    let arrow = if inward { "<-" } else { "->" };
    match user {
        Some(user) => text!(
            "sentence",
            program = program,
            user = user,
            arrow = arrow,
            endpoint = endpoint
        ),
        None => format!("{program} {arrow} {endpoint}"),
    }
}

/// Returns the process's name and number, if they are known.
#[must_use]
pub fn process(question: &Question) -> Option<String> {
    let Question { pid, name, .. } = question;
    (*pid != 0).then(|| text!("process-pid", name = clean(name), pid = *pid))
}

/// Returns the rule that asks, and what else waits with it.
#[must_use]
pub fn asked_by(question: &Question) -> String {
    let by = match &question.rule {
        Some(rule) => text!("asked-by-rule", rule = clean(rule)),
        None => text!("asked-by-default"),
    };
    let asked = text!("asked-packets", by = by, packets = question.count);
    match question.more {
        0 => asked,
        // How many places there are says where it wants to go.
        _ if question.many => asked,
        more => text!("asked-more", asked = asked, more = more),
    }
}

/// Returns the verdict that comes with the end of this time: `block in 23 s`.
#[must_use]
pub fn unanswered(question: &Question, left: Duration) -> String {
    let seconds = u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
    let verdict = verdict_named(&question.unanswered);
    text!("unanswered-in", verdict = verdict, seconds = seconds)
}

/// Returns an answer's verdict.
#[must_use]
pub const fn verdict(given: &Given) -> Verdict {
    if given.allow {
        Verdict::Allow
    } else {
        Verdict::Block
    }
}

/// Returns the rest of an answer: `for 600 s, endpoint`.
#[must_use]
pub fn extent(given: &Given) -> String {
    let lasts = match given.lasts {
        Lasts::Connection => "for this connection".to_owned(),
        Lasts::Process => "until this process ends".to_owned(),
        Lasts::For(time) => format!("for {} s", time.as_secs()),
        Lasts::UntilRestart => "until the service starts again".to_owned(),
        Lasts::Always => "always".to_owned(),
    };
    format!("{lasts}, {}", given.width.name())
}

/// Returns the effect of an answer to this question, for its program: `allow for 10 minutes: 192.0.2.7 tcp port 443`.
#[must_use]
pub fn answer(question: &Question, given: &Given) -> String {
    let Question { protocol, port, .. } = question;
    let protocol = Protocol(*protocol).to_string();
    let about = match (given.width, port) {
        (Width::Endpoint, _) if question.many => {
            text!("about-listed", count = question.places.len())
        }
        (Width::Address, _) if question.many => {
            text!("about-listed-addresses", count = question.places.len())
        }
        (Width::Port, _) if question.many => {
            text!("about-listed-ports", count = question.places.len())
        }
        (Width::Endpoint, _) => endpoint(question),
        (Width::Address, _) => text!("about-address", remote = remote(question)),
        (Width::Port, Some(port)) => text!("about-port", protocol = protocol, port = *port),
        (Width::Port, None) => text!("about-protocol", protocol = protocol),
        (Width::Anywhere, _) => text!("about-anything"),
    };
    let lasts = match given.lasts {
        Lasts::Connection => text!("lasts-connection"),
        Lasts::Process => text!("lasts-process", pid = question.pid),
        Lasts::For(time) if time.as_secs().is_multiple_of(60) => {
            text!("lasts-minutes", count = time.as_secs() / 60)
        }
        Lasts::For(time) => text!("lasts-seconds", seconds = time.as_secs()),
        Lasts::UntilRestart => text!("lasts-restart"),
        Lasts::Always => text!("lasts-always"),
    };
    let verdict = crate::entry::verdict(verdict(given));
    text!(
        "answer-given",
        verdict = verdict,
        lasts = lasts,
        about = about
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::question;

    #[test]
    fn a_question_says_who_wants_to_go_where() {
        let mut question = question();
        assert_eq!(
            sentence(&question),
            "/usr/bin/curl of user 1000 -> 192.0.2.7 tcp port 443"
        );
        question.program = None;
        question.name = "cu\x1b[2Jrl".to_owned();
        question.direction = "in".to_owned();
        question.user = None;
        assert_eq!(
            sentence(&question),
            "cu\u{fffd}[2Jrl <- 192.0.2.7 tcp port 443"
        );
        question.name = String::new();
        question.port = None;
        question.protocol = 253;
        assert_eq!(sentence(&question), "somebody here <- 192.0.2.7 253");
    }

    #[test]
    fn an_answer_says_how_far_it_goes() {
        let question = question();
        let words = |width, lasts| {
            let given = Given {
                allow: false,
                width,
                lasts,
            };
            answer(&question, &given)
        };
        assert_eq!(
            words(Width::Endpoint, USUAL),
            "block for 10 minutes: 192.0.2.7 tcp port 443"
        );
        assert_eq!(
            words(Width::Port, Lasts::Always),
            "block always: tcp port 443, whatever the address"
        );
    }

    #[test]
    fn a_question_about_a_link_local_address_has_no_answer_that_allows_it_for_long_and_says_why() {
        let question = |remote: &str| Question {
            remote: remote.parse().expect("an address"),
            ..question()
        };
        let offered = |question: &Question, allow, width| {
            let each = LASTS.iter().map(|choice| Given {
                allow,
                width,
                lasts: choice.value,
            });
            each.filter(|given| can_last(question, given)).count()
        };
        let all = LASTS.len();
        for of_link in ["fe80::99", "169.254.7.7"].map(question) {
            assert_eq!(offered(&of_link, true, Width::Endpoint), all - 2);
            assert_eq!(offered(&of_link, true, Width::Port), all, "as the service");
            assert_eq!(offered(&of_link, false, Width::Endpoint), all);
            assert!(remark(&of_link).expect("a remark").contains("network"));
        }
        let other = question("2001:db8::1");
        assert_eq!(offered(&other, true, Width::Endpoint), all);
        assert_eq!(remark(&other), None);
    }

    /// Returns a question about whatever a program wants, of which so many places are listed.
    fn about_many(listed: u8) -> Question {
        let place = |number: u8| AskedPlace {
            number: number.into(),
            remote: [192, 0, 2, number].into(),
            remote_name: (number == 2).then(|| "peer\u{1b}.example".to_owned()),
            protocol: 6,
            port: Some(6881),
        };
        Question {
            many: true,
            remote: [192, 0, 2, 1].into(),
            port: Some(6881),
            places: (1..=listed).map(place).collect(),
            ..question()
        }
    }

    #[test]
    fn a_question_about_many_places_says_how_many_and_is_answered_about_the_program_or_those_listed()
     {
        let alone = sentence(&about_many(1));
        assert!(
            alone.ends_with("192.0.2.1 tcp port 6881, and wherever else"),
            "{alone}"
        );
        let many = Question {
            more: 12,
            ..about_many(8)
        };
        assert!(sentence(&many).ends_with("192.0.2.1 tcp port 6881 and 19 other places"));
        let listed = places(&many);
        assert_eq!(listed.len(), 8);
        assert_eq!(listed[1], "192.0.2.2 (peer\u{fffd}.example) tcp port 6881");
        assert_eq!(usual_for(&many, true).width, Width::Anywhere);
        assert_eq!(
            answer(&many, &usual_for(&many, true)),
            "allow for 10 minutes: whatever the address and port"
        );
        let these = answer(&many, &usual(false));
        assert_eq!(these, "block for 10 minutes: the 8 places listed");
        // The addresses of one name are one place.
        let named = Question {
            many: false,
            remote_name: Some("site.example".to_owned()),
            ..about_many(2)
        };
        assert!(
            sentence(&named).ends_with("192.0.2.1, 192.0.2.2 (site.example) tcp port 6881"),
            "{}",
            sentence(&named)
        );
        assert_eq!(places(&named).len(), 2);
        assert_eq!(usual_for(&named, true), usual(true));
    }

    #[test]
    fn a_program_that_is_muted_becomes_of_what_it_does_where_nobody_answers() {
        let given = |unanswered: &str| {
            let question = Question {
                unanswered: unanswered.to_owned(),
                ..question()
            };
            mute(&question)
        };
        assert!(given("allow").allow && !given("block").allow);
        assert_eq!(given("block").width, Width::Anywhere);
        assert_eq!(
            answer(&question(), &given("block")),
            "block for 60 minutes: whatever the address and port"
        );
    }

    #[test]
    fn no_key_stands_for_two_choices() {
        let mut keys: Vec<char> = vec![LEAVE, MUTE, 'q'];
        keys.extend(VERDICTS.iter().map(|choice| choice.key));
        keys.extend(LASTS.iter().map(|choice| choice.key));
        keys.extend(WIDTHS.iter().map(|choice| choice.key));
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn every_width_is_offered() {
        assert_eq!(WIDTHS.map(|choice| choice.value), Width::ALL);
    }
}
