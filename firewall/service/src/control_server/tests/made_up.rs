//! Made-up answers, one of each type.

use super::super::methods::{Answered, Change, Query, Request};
use super::super::peer::Requester;
use control::{
    Account, Accounts, AddressName, AddressNames, Applied, AskedPlace, Counted, Device,
    FetchFailure, HeldAnswer, HistoryPage, HistoryStatus, Hits, InForce, Lease, Memory, NamedRule,
    NetworkSign, NetworkStatus, Networks, Question, Refused, RouteStatus, RuleNames, RuleText,
    SetAdded, SetMember, SetRemoved, Stats, Status, SubscribedList, TroubleCause, TroubleStatus,
};
use serde_json::{Value, json};

/// Answers a request in the service's place.
pub fn made_up(request: Request, _: Requester) -> Answered {
    match request {
        Request::Query(query) => Ok(answered(query)),
        Request::History { .. } => Ok(json!({ "history": HistoryPage::default() })),
        Request::Change(change) => changed(change),
    }
}

fn answered(query: Query) -> Value {
    match query {
        Query::Status => json!({ "status": status() }),
        Query::Rules => json!({ "rules": RuleText { text: Some("#".repeat(LONG)), ..text() } }),
        Query::RuleNames { generation } => {
            json!({ "names": (generation == 7).then(rule_names) })
        }
        Query::Networks => json!({ "networks": networks() }),
        Query::Stats => json!({ "stats": Stats::default() }),
        Query::Hits => json!({ "hits": hits() }),
        Query::Accounts => json!({ "accounts": accounts() }),
        Query::AddressNames { since } => json!({ "names": address_names(since) }),
        Query::SetMembers { .. } => json!({ "members": [set_member()] }),
        Query::Questions => json!({ "questions": [question()] }),
        Query::Answers => json!({ "answers": [held_answer()] }),
        Query::Program { device, inode } => json!({ "path": format!("/{device}/{inode}") }),
    }
}

fn changed(change: Change) -> Answered {
    Ok(match change {
        Change::Apply {
            name, text, lease, ..
        } => {
            if text.is_empty() {
                Err(Refused::Rules(vec![format!("{name}:1:1: nothing")]))?;
            }
            let lease = lease.map(|lease| Lease {
                milliseconds_left: lease.as_millis() as u64,
                ..self::lease()
            });
            json!({ "applied": Applied { lease, ..applied() } })
        }
        Change::Confirm { .. } => Err(Refused::NoLease)?,
        Change::Revert { .. } => Err(Refused::LeaseOver)?,
        Change::Reload => Err(Refused::System("the disk is full; make room".to_owned()))?,
        Change::AddToSet { .. } => json!({ "added": set_added() }),
        Change::RemoveFromSet { .. } => json!({ "removed": set_removed() }),
        Change::RefreshList { .. } => json!({ "list": subscribed_list() }),
        Change::Answer { .. } => json!({ "answered": question() }),
        Change::ForgetAnswers { .. } => json!({ "forgotten": [held_answer()] }),
    })
}

pub const LONG: usize = 6 << 20;

pub fn address_names(turn: u64) -> AddressNames {
    AddressNames {
        names: vec![AddressName {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            name: "example.org".to_owned(),
            seconds_left: 300,
        }],
        turn,
    }
}

pub fn set_added() -> SetAdded {
    SetAdded {
        added: 2,
        renewed: 1,
        generation: Some(3),
    }
}

pub fn set_removed() -> SetRemoved {
    SetRemoved {
        removed: 2,
        absent: 1,
        stays: 1,
    }
}

pub fn set_member() -> SetMember {
    SetMember {
        set: "banned".to_owned(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        seconds_left: Some(9),
        name: Some("example.org".to_owned()),
    }
}

pub fn subscribed_list() -> SubscribedList {
    SubscribedList {
        set: "bad".to_owned(),
        url: "https://lists.example.org/bad.txt".to_owned(),
        fetched: Some(7),
        tried: Some(8),
        failed: Some(FetchFailure {
            kind: "status".to_owned(),
            detail: Some("404 Not Found".to_owned()),
        }),
        trouble: Some(trouble()),
        ..SubscribedList::default()
    }
}

pub fn trouble() -> TroubleStatus {
    TroubleStatus::of(
        TroubleCause::ListOld,
        Some("bad".to_owned()),
        "nobody fetches it".to_owned(),
    )
}

pub fn question() -> Question {
    Question {
        id: 1,
        direction: "out".to_owned(),
        protocol: 6,
        remote: std::net::Ipv4Addr::LOCALHOST.into(),
        remote_name: Some("example.org".to_owned()),
        port: Some(443),
        user: Some(1000),
        program: Some("/usr/bin/curl".to_owned()),
        name: "curl".to_owned(),
        pid: 7,
        rule: Some("web".to_owned()),
        count: 3,
        many: true,
        places: vec![AskedPlace {
            number: 1,
            remote: std::net::Ipv4Addr::LOCALHOST.into(),
            remote_name: Some("example.org".to_owned()),
            protocol: 6,
            port: Some(443),
        }],
        listed: 1,
        more: 1,
        of_connection: true,
        of_process: true,
        milliseconds_left: 1000,
        unanswered: "block".to_owned(),
    }
}

pub fn held_answer() -> HeldAnswer {
    HeldAnswer {
        id: "00c0ffee00c0ffee".to_owned(),
        verdict: "allow".to_owned(),
        unanswered: false,
        width: "endpoint".to_owned(),
        lasts: "time".to_owned(),
        seconds_left: Some(9),
        direction: "out".to_owned(),
        remote: Some(std::net::Ipv4Addr::LOCALHOST.into()),
        remote_name: Some("example.org".to_owned()),
        protocol: Some(6),
        port: Some(443),
        user: Some(1000),
        program: Some("/usr/bin/curl".to_owned()),
        name: "curl".to_owned(),
        pid: 7,
        in_force: true,
        by: Some("alice".to_owned()),
        at: Some(1),
    }
}

pub fn status() -> Status {
    Status {
        version: "1".to_owned(),
        contract: 1,
        pid: 2,
        since: 3,
        adopted: false,
        netns: None,
        cgroup: "/c".into(),
        devices: vec![Device {
            name: "d".to_owned(),
            index: 1,
        }],
        pins: "/p".into(),
        rules: InForce {
            generation: 7,
            name: Some("r".to_owned()),
            rules: 8,
        },
        lease: Some(lease()),
        fail_mode: "static".to_owned(),
        kernel_memory: Memory {
            budget: 9,
            used: 8,
            ..Memory::default()
        },
        history: Some(HistoryStatus::default()),
        lists: vec![subscribed_list()],
        networks: networks().networks,
        trouble: vec![trouble()],
    }
}

pub fn networks() -> Networks {
    let one = || vec!["a".to_owned()];
    Networks {
        generation: 7,
        networks: vec![NetworkStatus {
            name: "home".to_owned(),
            presence: "there".to_owned(),
            judged_as: "there".to_owned(),
            why: vec![NetworkSign {
                kind: "other_hardware".to_owned(),
                interface: Some("d".to_owned()),
                gateway: Some([127, 0, 0, 1].into()),
                gateway_hardware: Some("02:00:00:00:00:02".to_owned()),
                ssid: Some("our flat".to_owned()),
                connection: Some("Home".to_owned()),
                asked: one(),
                detail: None,
            }],
            on: one(),
            off: one(),
            blocks: one(),
        }],
        routes: vec![RouteStatus {
            interface: "d".to_owned(),
            gateway: Some([127, 0, 0, 1].into()),
            gateway_hardware: Some("02:00:00:00:00:01".to_owned()),
            ssid: Some("our flat".to_owned()),
            connection: Some("Home".to_owned()),
        }],
    }
}

pub fn lease() -> Lease {
    Lease {
        generation: 8,
        fallback: 7,
        milliseconds_left: 1000,
    }
}

pub fn applied() -> Applied {
    Applied {
        generation: 8,
        rules: 1,
        warnings: vec![],
        lease: None,
        change: None,
    }
}

pub fn text() -> RuleText {
    RuleText {
        generation: 7,
        name: None,
        text: None,
        folder: "/r".into(),
        file: "/etc/gatebell/rules.toml".into(),
        unwritten: false,
    }
}

pub fn rule_names() -> RuleNames {
    RuleNames {
        generation: 7,
        name: Some("r".to_owned()),
        rules: vec![NamedRule {
            id: "web".to_owned(),
            line: 3,
        }],
    }
}

pub fn hits() -> Hits {
    Hits {
        generation: 7,
        hits: vec![0, u64::MAX],
    }
}

pub fn accounts() -> Accounts {
    let counted = Counted::default();
    let app = Account {
        slot: 0,
        pid: 1,
        user: 1000,
        counted,
        balances: true,
        lies: false,
    };
    Accounts {
        taken: 1,
        released: 0,
        apps: vec![app],
        past: counted,
        balances: true,
    }
}
