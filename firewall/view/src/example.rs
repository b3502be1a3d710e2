//! A packet, a question and a service's state to try views with.

use control::{
    Device, FetchFailure, HeldAnswer, HistoryRow, HistoryStatus, InForce, Lease, Memory, Names,
    NetworkSign, NetworkStatus, Question, RouteStatus, RuleName, Status, SubscribedList,
    TroubleCause, TroubleStatus,
};
use firewall_abi::packet::{Decision, Direction, NO_USER, Packet, PacketHeaders, Verdict};
use rules::{Protocol, SignKind};
use zerocopy::FromZeros;

/// Returns a telnet packet that rule 3 refused.
#[must_use]
pub fn packet() -> Packet {
    let mut packet = Packet::new_zeroed();
    let mapped = |host| {
        std::net::Ipv4Addr::new(10, 0, 0, host)
            .to_ipv6_mapped()
            .octets()
    };
    packet.headers = PacketHeaders {
        source: mapped(1),
        destination: mapped(2),
        source_port: 40_000,
        destination_port: 23,
        protocol: Protocol::TCP.0,
        ip_version: 4,
        direction: Direction::Inbound as u8,
        tcp_flags: 2,
    };
    packet.decision = Decision {
        rule: 3,
        generation: 1,
        verdict: Verdict::Block as u8,
        reason: 1,
        log: 1,
        known: 0,
    };
    packet.user = NO_USER;
    packet
}

/// Returns a first contact: curl of a user's talked for the first time, and a rule refused it.
#[must_use]
pub fn contact() -> HistoryRow {
    HistoryRow {
        start: 1_795_000_020,
        seconds: 60,
        direction: Direction::Outbound.name().to_owned(),
        verdict: Verdict::Block.name().to_owned(),
        reason: "rule".to_owned(),
        protocol: Protocol::TCP.0,
        remote: Some(std::net::Ipv4Addr::new(192, 0, 2, 7).into()),
        port: Some(443),
        program: Some("/usr/bin/curl".to_owned()),
        process: "curl".to_owned(),
        user: Some(1000),
        rule: Some("no-web".to_owned()),
        name: Some("example.org".to_owned()),
        contact: Some("first".to_owned()),
        count: 1,
        first: 1_795_000_033,
        last: 1_795_000_033,
        ..HistoryRow::default()
    }
}

/// Returns an answer that holds: curl of a user's was allowed to go out, for ten minutes.
#[must_use]
pub fn held_answer() -> HeldAnswer {
    HeldAnswer {
        id: "00c0ffee00c0ffee".to_owned(),
        verdict: Verdict::Allow.name().to_owned(),
        unanswered: false,
        width: "endpoint".to_owned(),
        lasts: "time".to_owned(),
        seconds_left: Some(540),
        direction: Direction::Outbound.name().to_owned(),
        remote: Some(std::net::Ipv4Addr::new(192, 0, 2, 7).into()),
        remote_name: Some("example.org".to_owned()),
        protocol: Some(Protocol::TCP.0),
        port: Some(443),
        user: Some(1000),
        program: Some("/usr/bin/curl".to_owned()),
        name: "curl".to_owned(),
        pid: 4711,
        in_force: true,
        by: Some("alice".to_owned()),
        at: Some(1_795_000_000),
    }
}

/// Returns a question: curl of a user's wants to go out, and the default asks.
#[must_use]
pub fn question() -> Question {
    Question {
        id: 7,
        direction: Direction::Outbound.name().to_owned(),
        protocol: Protocol::TCP.0,
        remote: std::net::Ipv4Addr::new(192, 0, 2, 7).into(),
        remote_name: None,
        port: Some(443),
        user: Some(1000),
        program: Some("/usr/bin/curl".to_owned()),
        name: "curl".to_owned(),
        pid: 4711,
        rule: None,
        count: 3,
        many: false,
        places: Vec::new(),
        listed: 1,
        more: 0,
        of_connection: true,
        of_process: true,
        milliseconds_left: 23_000,
        unanswered: "block".to_owned(),
    }
}

/// Returns the state of a service with trouble, whose rules are on a lease.
#[must_use]
pub fn status() -> Status {
    let device = |(name, index): (&str, u32)| Device {
        name: name.to_owned(),
        index,
    };
    Status {
        version: "1.2.3".to_owned(),
        contract: 2,
        pid: 77,
        since: 1000,
        adopted: true,
        netns: None,
        cgroup: "/sys/fs/cgroup".into(),
        devices: [("eth0", 2), ("tun0", 3)].map(device).into(),
        pins: "/sys/fs/bpf/gatebell".into(),
        rules: InForce {
            generation: 4,
            name: Some("/etc/gatebell/rules.toml".to_owned()),
            rules: 12,
        },
        lease: Some(Lease {
            generation: 4,
            fallback: 3,
            milliseconds_left: 40_001,
        }),
        fail_mode: "static".to_owned(),
        kernel_memory: Memory {
            budget: 256 << 20,
            used: 12 << 20,
            tables: 11 << 20,
            rules: 1 << 20,
            ..Memory::default()
        },
        history: Some(HistoryStatus {
            days: 90,
            budget: 64 << 20,
            used: 3 << 20,
            kept: 1000,
            lost: 7,
            put_aside: false,
        }),
        lists: vec![
            SubscribedList {
                set: "bad".to_owned(),
                url: "https://lists.example.org/bad.txt".to_owned(),
                refresh_seconds: 86_400,
                fetched: Some(490),
                entries: 1_234,
                added: 5,
                removed: 2,
                unreadable: 1,
                ..SubscribedList::default()
            },
            SubscribedList {
                set: "new".to_owned(),
                url: "https://lists.example.org/new.txt".to_owned(),
                failed: Some(FetchFailure {
                    kind: "unknown_host".to_owned(),
                    detail: None,
                }),
                ..SubscribedList::default()
            },
        ],
        networks: vec![NetworkStatus {
            name: "home".to_owned(),
            presence: "away".to_owned(),
            judged_as: "away".to_owned(),
            why: vec![NetworkSign {
                kind: SignKind::OtherGateway.name().to_owned(),
                interface: Some("eth0".to_owned()),
                gateway: Some([198, 51, 100, 1].into()),
                asked: vec!["192.0.2.1".to_owned()],
                ..NetworkSign::default()
            }],
            on: vec!["no-shares".to_owned()],
            off: vec!["printer".to_owned()],
            blocks: Vec::new(),
        }],
        trouble: vec![TroubleStatus::of(
            TroubleCause::State,
            None,
            "the disk is full; make room".to_owned(),
        )],
    }
}

/// Returns the default routes of a machine at home: one by its wireless network, one by a tunnel.
#[must_use]
pub fn routes() -> Vec<RouteStatus> {
    let wireless = RouteStatus {
        interface: "wlan0".to_owned(),
        gateway: Some([192, 0, 2, 1].into()),
        gateway_hardware: Some("02:00:5e:10:00:01".to_owned()),
        ssid: Some("our flat".to_owned()),
        connection: Some("Home".to_owned()),
    };
    let tunnel = RouteStatus {
        interface: "tun0".to_owned(),
        ..RouteStatus::default()
    };
    vec![wireless, tunnel]
}

/// Names of a rule file whose rules have one name.
pub struct Named;

impl Names for Named {
    fn rule(&mut self, _: u32, rule: u32) -> Option<RuleName> {
        Some(RuleName {
            id: "no-telnet".to_owned(),
            file: Some("lab.toml".into()),
            line: rule + 10,
        })
    }
}
