//! Rules by click, with a service that is a model.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use super::draft::quoted;
use super::judged::Judged;
use super::model::OneProgram;
use super::order::{make, undo};
use super::*;
use crate::past::talkers::tests::curl;
use firewall_abi::asking::Width;
use firewall_abi::packet::{Direction, PacketHeaders, Reason};
use rules::document::{self, RulePosition};
use rules::{Presence, Protocol};
use std::path::PathBuf;
use view::entry::{Entry, EntryContent, PacketSeen};
use view::example::{Named, packet};

const RULES: &str = "# ours\n[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[rule]]\nid = 'web'\naction = 'allow'\n\
    protocol = 'tcp'\nports = 80\n\n# telnet\n[[rule]]\nid = 'no-telnet'\naction = 'block'\n\n[[rule]]\nid = 'late'\n\
    action = 'allow'\n";

fn seen(change: impl FnOnce(&mut PacketHeaders)) -> PacketSeen {
    let mut packet = packet();
    change(&mut packet.headers);
    let entry = Entry::from_packet(std::time::UNIX_EPOCH, &packet, &mut Named).unwrap();
    let EntryContent::Packet(mut seen) = entry.what else {
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
        networks: Vec::new(),
        members: Vec::new(),
    }
}

fn packets() -> Vec<PacketSeen> {
    let six = |headers: &mut PacketHeaders, protocol, kind| {
        headers.source = std::net::Ipv6Addr::LOCALHOST.octets();
        headers.destination = [0x20; 16];
        (headers.ip_version, headers.protocol, headers.source_port) = (6, protocol, kind);
    };
    let mut fragment = seen(|headers| (headers.source_port, headers.destination_port) = (0, 0));
    fragment.reason = Reason::Fragment;
    let mut all = vec![
        seen(|_| {}),
        fragment,
        seen(|headers| headers.protocol = Protocol::UDP.0),
        seen(|headers| {
            (
                headers.protocol,
                headers.source_port,
                headers.destination_port,
            ) = (Protocol::ICMP.0, 8, 0)
        }),
        seen(|headers| {
            (
                headers.protocol,
                headers.source_port,
                headers.destination_port,
            ) = (132, 0, 0)
        }),
        seen(|headers| six(headers, 6, 40_000)),
        seen(|headers| six(headers, 58, 128)),
    ];
    for direction in [Direction::Outbound, Direction::Forward] {
        let mut other = seen(|headers| headers.direction = direction as u8);
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
                assert_eq!(draft.place, RulePosition::Before("no-telnet".to_owned()));
                let rules =
                    rules::parse("rules.toml", &draft.text, &OneProgram).expect(&draft.text);
                let judged = Judged::of(rules, &[]).unwrap();
                assert!(
                    wish.is_granted(&wish.decide(&judged, &OneProgram)),
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

/// Rules of which one is on at home alone, where that is there or away.
fn at_home(action: &str, is_there: bool) -> InForce {
    let default = if action == "allow" { "block" } else { "allow" };
    let text = format!(
        "[default]\ninbound = '{default}'\noutbound = '{default}'\n\n[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n\n\
         [[rule]]\nid = 'home'\naction = '{action}'\nprotocol = 'tcp'\nnetwork = 'home'\n"
    );
    let presence = if is_there {
        Presence::There
    } else {
        Presence::Away
    };
    InForce {
        networks: vec![("home".to_owned(), presence)],
        ..file(&text)
    }
}

#[test]
fn what_the_rules_do_already_is_what_they_do_in_this_network() {
    for allow in [true, false] {
        let wish = Wish {
            allow,
            ..Wish::usual(&seen(|_| {}))
        };
        let action = if allow { "allow" } else { "block" };
        let drafted = |is_there| draft(&at_home(action, is_there), &wish, &OneProgram);
        let why = drafted(true).unwrap_err();
        assert!(why.contains(&format!("{action} it already")), "{why}");
        assert_eq!(drafted(false).unwrap().place, RulePosition::Last);
    }
}

#[test]
fn a_change_is_compared_with_what_was_kept_as_the_rules_are_in_this_network() {
    let kept = Kept {
        rows: vec![curl(1), curl(60)],
        left_out: 0,
        unread: 0,
    };
    let disable = Edit {
        id: "home".to_owned(),
        kind: EditKind::Disable,
        text: String::new(),
    };
    for action in ["allow", "block"] {
        let compared = |is_there| {
            let file = at_home(action, is_there);
            let becomes = edited(&file, &disable, Some(&kept), &OneProgram).unwrap();
            becomes.compared.unwrap()
        };
        let home = compared(true);
        assert!(home.here && home.otherwise.len() == 1, "{action}: {home:?}");
        assert_eq!(home.otherwise[0].count, 2);
        let away = compared(false);
        assert!(away.here && away.otherwise.is_empty(), "{action}: {away:?}");
    }
    let file = file(RULES);
    let off = Edit {
        id: "web".to_owned(),
        ..disable
    };
    let becomes = edited(&file, &off, Some(&kept), &OneProgram).unwrap();
    assert!(!becomes.compared.unwrap().here, "no rule asks where");
}

/// Rules that allow what has joined a set by its name and block the rest; who has joined it.
fn by_name(members: &[&str]) -> InForce {
    let joined = |address: &&str| control::SetMember {
        set: "named".to_owned(),
        address: address.parse().unwrap(),
        seconds_left: Some(60),
        name: Some("example.org".to_owned()),
    };
    InForce {
        members: members.iter().map(joined).collect(),
        ..file(
            "[default]\ninbound = 'block'\noutbound = 'block'\n\n[[set]]\nid = 'named'\nnames = 'example.org'\n\n\
             [[rule]]\nid = 'named'\naction = 'allow'\ndestination = '@named'\n",
        )
    }
}

#[test]
fn what_has_joined_a_set_by_its_name_is_in_it_where_a_change_is_drafted_and_compared() {
    let allow = |members: &[&str]| {
        let wish = Wish::usual(&seen(|_| {}));
        draft(&by_name(members), &wish, &OneProgram)
    };
    let why = allow(&["10.0.0.2"]).unwrap_err();
    assert!(why.contains("allow it already"), "{why}");
    assert_eq!(allow(&["10.0.0.3"]).unwrap().place, RulePosition::Last);
    let kept = Kept {
        rows: vec![curl(1), curl(60)],
        left_out: 0,
        unread: 0,
    };
    let other_end = curl(1).remote.unwrap().to_string();
    let compared = |members: &[&str]| {
        let disable = Edit {
            id: "named".to_owned(),
            kind: EditKind::Disable,
            text: String::new(),
        };
        let becomes = edited(&by_name(members), &disable, Some(&kept), &OneProgram).unwrap();
        becomes.compared.unwrap().otherwise
    };
    let cut = compared(&[&other_end]);
    assert!(cut.len() == 1 && cut[0].count == 2, "{cut:?}");
    assert_eq!(compared(&[]), []);
}

#[test]
fn a_rule_is_taken_back_from_among_others_that_came_since() {
    let mut service = ChangesModel {
        text: RULES.to_owned(),
        ..ChangesModel::default()
    };
    let ChangeOutcome::InForce(made) = make(&mut service, &Wish::usual(&seen(|_| {}))) else {
        panic!("{service:?}");
    };
    let others = service.text.replace("# ours", "# ours, and others'");
    service.text.clone_from(&others);
    assert!(matches!(undo(&mut service, made), ChangeOutcome::Done(_)));
    assert_eq!(service.text, RULES.replace("# ours", "# ours, and others'"));
}

#[test]
fn an_undo_is_the_undo_that_the_log_knows_and_no_change_of_its_own() {
    let mut service = ChangesModel {
        text: RULES.to_owned(),
        ..ChangesModel::default()
    };
    let wish = Wish::usual(&seen(|_| {}));
    let ChangeOutcome::InForce(made) = make(&mut service, &wish) else {
        panic!("{service:?}");
    };
    let outcome = undo(&mut service, made);
    assert!(matches!(outcome, ChangeOutcome::Done(_)), "{outcome:?}");
    let added = "add allow-telnet-tcp-23-from-10-0-0-1".to_owned();
    let undone = format!("undo 1: {added}");
    assert_eq!(service.log, [(added, None), (undone, Some(1))]);
    let ChangeOutcome::InForce(made) = make(&mut service, &wish) else {
        panic!("{service:?}");
    };
    service.text.push_str("# others\n");
    undo(&mut service, made);
    let removed = "remove allow-telnet-tcp-23-from-10-0-0-1".to_owned();
    let last = service.log.last();
    assert_eq!(last, Some(&(removed, None)), "theirs are not taken back");
}

#[test]
fn rules_that_others_change_meanwhile_are_read_again_once() {
    let wish = Wish::usual(&seen(|_| {}));
    let mut service = ChangesModel {
        text: RULES.to_owned(),
        says: vec![Failure::Replaced],
        ..ChangesModel::default()
    };
    assert!(matches!(
        make(&mut service, &wish),
        ChangeOutcome::InForce(_)
    ));
    service.text = RULES.to_owned();
    service.says = vec![Failure::Replaced; 2];
    assert!(matches!(
        make(&mut service, &wish),
        ChangeOutcome::Refused { .. }
    ));
    assert_eq!(service.text, RULES);
}

#[test]
fn who_may_not_is_told_the_command_that_root_types() {
    let mut service = ChangesModel {
        text: RULES.to_owned(),
        says: vec![Failure::NotPermitted("only root may".to_owned())],
        ..ChangesModel::default()
    };
    let outcome = make(&mut service, &Wish::usual(&seen(|_| {})));
    let ChangeOutcome::Refused { why, command, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(why, "only root may");
    assert_eq!(
        command.unwrap(),
        "sudo gatebell rules add allow --id allow-telnet-tcp-23-from-10-0-0-1 --direction in --protocol tcp --source 10.0.0.1 \
         --ports 23 --program /usr/bin/telnet --before no-telnet"
    );
    assert_eq!(quoted("a'; rm -rf /").unwrap(), "\"a'; rm -rf /\"");
    assert_eq!(quoted("a\\b"), None);
}
