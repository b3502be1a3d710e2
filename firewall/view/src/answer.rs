//! What an answer that holds looks like to a person.

use crate::entry::{clean, protocol_name};
use control::HeldAnswer;
use firewall_abi::packet::Direction;

/// How much of an answer's name is shown: what tells it from others.
const SHORT: usize = 8;

/// The beginning of its name, by which it can be taken back.
#[must_use]
pub fn short_id(answer: &HeldAnswer) -> &str {
    answer.id.get(..SHORT).unwrap_or(&answer.id)
}

/// The program: its path, or the process's name, or what is left to say.
#[must_use]
pub fn program(answer: &HeldAnswer) -> String {
    match answer.program.as_deref().unwrap_or(&answer.name) {
        "" => "somebody here".to_owned(),
        known => clean(known),
    }
}

/// `192.0.2.7 (example.org) tcp port 443`, or as much of it as it is about.
#[must_use]
pub fn place(answer: &HeldAnswer) -> String {
    let protocol = answer.protocol.map(|number| {
        protocol_name(number).map_or_else(|| format!("protocol {number}"), str::to_owned)
    });
    let port = answer.port.map(|port| format!("port {port}"));
    let what = [protocol, port].into_iter().flatten();
    let what = what.collect::<Vec<_>>().join(" ");
    match (answer.remote, what.as_str()) {
        (None, "") => "anywhere".to_owned(),
        (None, what) => format!("any address, {what}"),
        (Some(remote), what) => {
            let name = answer.remote_name.as_deref();
            let name = name.map_or(String::new(), |name| format!(" ({})", clean(name)));
            let what = if what.is_empty() {
                ", any port"
            } else {
                &format!(" {what}")
            };
            format!("{remote}{name}{what}")
        }
    }
}

/// `/usr/bin/curl of user 1000 -> 192.0.2.7 tcp port 443`.
#[must_use]
pub fn sentence(answer: &HeldAnswer) -> String {
    let user = answer
        .user
        .map_or(String::new(), |user| format!(" of user {user}"));
    let arrow = if answer.direction == Direction::Inbound.name() {
        "<-"
    } else {
        "->"
    };
    format!("{}{user} {arrow} {}", program(answer), place(answer))
}

/// Until when it holds: `always`, `23 s left`.
#[must_use]
pub fn lasts(answer: &HeldAnswer) -> String {
    let until = match answer.lasts.as_str() {
        "connection" => "for one connection".to_owned(),
        "program" => format!("until process {} ends", answer.pid),
        "restart" => "until the service starts again".to_owned(),
        "always" if !answer.in_force => "always, once the program is there".to_owned(),
        "always" => "always".to_owned(),
        _ => String::new(),
    };
    match answer.seconds_left {
        Some(left) if until.is_empty() => format!("{left} s left"),
        Some(left) => format!("{until}, {left} s left"),
        None => until,
    }
}

/// Who gave it.
#[must_use]
pub fn by(answer: &HeldAnswer) -> String {
    match &answer.by {
        Some(by) => format!("by {}", clean(by)),
        None if answer.unanswered => "nobody answered in time".to_owned(),
        None => "who answered is not known any more".to_owned(),
    }
}

#[cfg(test)]
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
        assert_eq!(place(&answer), "192.0.2.7 (example.org), any port");
        answer.remote = None;
        answer.remote_name = None;
        assert_eq!(place(&answer), "anywhere");
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
    }
}
