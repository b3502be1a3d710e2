//! Answers that hold, in words.

use crate::entry::clean;
use crate::question::whole_sentence;
use crate::text;
use control::HeldAnswer;
use firewall_abi::packet::{Direction, Verdict};
use rules::Protocol;

/// Number of characters of an answer's identifier that are shown: enough to tell it from others.
const SHORT: usize = 8;

/// Returns the beginning of an answer's identifier, by which it can be taken back.
#[must_use]
pub fn short_id(answer: &HeldAnswer) -> &str {
    answer.id.get(..SHORT).unwrap_or(&answer.id)
}

/// Returns the program: its path, or the process's name, or what is left to say.
#[must_use]
pub fn program(answer: &HeldAnswer) -> String {
    match answer.program.as_deref().unwrap_or(&answer.name) {
        "" => text!("somebody"),
        known => clean(known),
    }
}

/// Returns the endpoint that an answer is about, as `192.0.2.7 (example.org) tcp port 443`, or as much of it as the
/// answer is about.
#[must_use]
pub fn endpoint(answer: &HeldAnswer) -> String {
    let protocol = answer.protocol.map(|number| {
        let name = Protocol(number).name();
        name.map_or_else(|| text!("held-protocol", number = number), str::to_owned)
    });
    let port = answer.port.map(|port| text!("held-port", port = port));
    let what = [protocol, port].into_iter().flatten();
    let what = what.collect::<Vec<_>>().join(" ");
    match (answer.remote, what.as_str()) {
        (None, "") => text!("held-anywhere"),
        (None, what) => text!("held-any-address", what = what),
        (Some(remote), what) => {
            let name = answer.remote_name.as_deref();
            let name = name.map_or(String::new(), |name| format!(" ({})", clean(name)));
            let remote = format!("{remote}{name}");
            if what.is_empty() {
                text!("held-any-port", remote = remote)
            } else {
                format!("{remote} {what}")
            }
        }
    }
}

/// Returns an answer's subject in one line: `/usr/bin/curl of user 1000 -> 192.0.2.7 tcp port 443`.
#[must_use]
pub fn sentence(answer: &HeldAnswer) -> String {
    let inward = answer.direction == Direction::Inbound.name();
    whole_sentence(&program(answer), answer.user, inward, &endpoint(answer))
}

/// Returns the time until which an answer holds: `always`, `23 s left`.
#[must_use]
pub fn lasts(answer: &HeldAnswer) -> String {
    let until = match answer.lasts.as_str() {
        "connection" => text!("held-one-connection"),
        "program" => text!("lasts-process", pid = answer.pid),
        "restart" => text!("lasts-restart"),
        "always" if !answer.in_force && is_of_link(answer) => text!("held-always-of-link"),
        "always" if !answer.in_force => text!("held-always-later"),
        "always" => text!("lasts-always"),
        _ => String::new(),
    };
    match answer.seconds_left {
        Some(left) if until.is_empty() => text!("held-left", seconds = left),
        Some(left) => text!("held-until-left", until = until, seconds = left),
        None => until,
    }
}

/// Returns whether an answer allows an address that another machine has on each network: the service keeps such a one,
/// and does not put it in force.
fn is_of_link(answer: &HeldAnswer) -> bool {
    answer.verdict == Verdict::Allow.name() && answer.remote.is_some_and(control::is_link_local)
}

/// Returns who gave an answer.
#[must_use]
pub fn by(answer: &HeldAnswer) -> String {
    match &answer.by {
        Some(by) => text!("held-by", who = clean(by)),
        None if answer.unanswered => text!("held-by-nobody"),
        None => text!("held-by-unknown"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::example::held_answer;

    #[test]
    fn an_answer_that_holds_says_about_whom_where_until_when_and_by_whom() {
        let mut answer = held_answer();
        assert_eq!(
            sentence(&answer),
            "/usr/bin/curl of user 1000 -> 192.0.2.7 (example.org) tcp port 443"
        );
        assert_eq!(
            (lasts(&answer).as_str(), short_id(&answer)),
            ("540 s left", "00c0ffee")
        );
        assert_eq!(by(&answer), "by alice");
        answer.port = None;
        answer.protocol = None;
        assert_eq!(endpoint(&answer), "192.0.2.7 (example.org), any port");
        answer.remote = None;
        answer.remote_name = None;
        assert_eq!(endpoint(&answer), "anywhere");
        answer.protocol = Some(253);
        answer.direction = "in".to_owned();
        answer.program = None;
        answer.name = "cu\x1b[2Jrl".to_owned();
        assert_eq!(
            sentence(&answer),
            "cu\u{fffd}[2Jrl of user 1000 <- any address, protocol 253"
        );
        answer.by = None;
        answer.unanswered = true;
        assert_eq!(by(&answer), "nobody answered in time");
        answer.lasts = "always".to_owned();
        answer.seconds_left = None;
        answer.in_force = false;
        assert_eq!(lasts(&answer), "always, once the program is there");
        answer.remote = Some("fe80::99".parse().unwrap());
        let of_link = "always, but not in force: another machine has this address on each network";
        assert_eq!(lasts(&answer), of_link);
        answer.verdict = "block".to_owned();
        assert_eq!(lasts(&answer), "always, once the program is there");
    }
}
