//! The socket by hand, with answers made up: what a kernel's tables would say is another test's.

use super::interface::{Answered, Ask, Failure, Interface};
use super::peer::Requester;
use super::*;
use channel::sys::linux::Closer;
use control::{
    Account, Accounts, AddressName, AddressNames, Applied, Client, Counted, DESCRIPTION, Device,
    Failed, HeldAnswer, HistoryPage, HistoryRow, HistoryStatus, Hits, INTERFACE, InForce, Lease,
    Memory, NamedRule, Question, Refused, RuleNames, RuleText, SetAdded, SetMember, SetRemoved,
    Stats, Status,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use varlink::{ConnectionHandler, VarlinkService};
use zlink_idl::{Field, Type};

/// A control socket of this test's own.
struct Served {
    control: Option<Control>,
    path: PathBuf,
}

impl Served {
    fn start() -> Self {
        Self::at(&format!("{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    fn at(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("gatebell-control-{}-{name}", std::process::id()));
        Self {
            control: Some(Control::serve(&path, Polkit::default(), made_up).unwrap()),
            path,
        }
    }

    fn client(&self) -> Client {
        Client::connect(&self.path).unwrap()
    }

    fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);

const LONG: usize = 6 << 20;

fn made_up(ask: Ask, _: Requester) -> Answered {
    Ok(match ask {
        Ask::Status => json!({ "status": status() }),
        Ask::Apply {
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
        Ask::Confirm => Err(Refused::NoLease)?,
        Ask::Revert => Err(Refused::LeaseOver)?,
        Ask::Reload => Err(Refused::System("the disk is full; make room".to_owned()))?,
        Ask::Rules => json!({ "rules": RuleText { text: Some("#".repeat(LONG)), ..text() } }),
        Ask::RuleNames { generation } => {
            json!({ "names": (generation == 7).then(rule_names) })
        }
        Ask::Stats => json!({ "stats": Stats::default() }),
        Ask::Hits => json!({ "hits": hits() }),
        Ask::Accounts => json!({ "accounts": accounts() }),
        Ask::AddressNames { since } => json!({ "names": address_names(since) }),
        Ask::History { .. } => json!({ "history": HistoryPage::default() }),
        Ask::AddToSet { .. } => json!({ "added": set_added() }),
        Ask::RemoveFromSet { .. } => json!({ "removed": set_removed() }),
        Ask::SetMembers { .. } => json!({ "members": [set_member()] }),
        Ask::Questions => json!({ "questions": [question()] }),
        Ask::Answer { .. } => json!({ "answered": question() }),
        Ask::Answers => json!({ "answers": [held_answer()] }),
        Ask::ForgetAnswers { .. } => json!({ "forgotten": [held_answer()] }),
        Ask::Program { device, inode } => json!({ "path": format!("/{device}/{inode}") }),
    })
}

fn address_names(turn: u64) -> AddressNames {
    AddressNames {
        names: vec![AddressName {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            name: "example.org".to_owned(),
            seconds_left: 300,
        }],
        turn,
    }
}

fn set_added() -> SetAdded {
    SetAdded {
        added: 2,
        renewed: 1,
        generation: Some(3),
    }
}

fn set_removed() -> SetRemoved {
    SetRemoved {
        removed: 2,
        absent: 1,
        stays: 1,
    }
}

fn set_member() -> SetMember {
    SetMember {
        set: "banned".to_owned(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        seconds_left: Some(9),
        name: Some("example.org".to_owned()),
    }
}

fn question() -> Question {
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
        more: 1,
        of_connection: true,
        of_process: true,
        milliseconds_left: 1000,
        unanswered: "block".to_owned(),
    }
}

fn held_answer() -> HeldAnswer {
    HeldAnswer {
        id: "00c0ffee00c0ffee".to_owned(),
        verdict: "allow".to_owned(),
        unanswered: false,
        width: "place".to_owned(),
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

fn status() -> Status {
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
        trouble: vec![],
    }
}

fn lease() -> Lease {
    Lease {
        generation: 8,
        fallback: 7,
        milliseconds_left: 1000,
    }
}

fn applied() -> Applied {
    Applied {
        generation: 8,
        rules: 1,
        warnings: vec![],
        lease: None,
        change: None,
    }
}

fn text() -> RuleText {
    RuleText {
        generation: 7,
        name: None,
        text: None,
        folder: "/r".into(),
        file: "/etc/gatebell/rules.toml".into(),
    }
}

fn rule_names() -> RuleNames {
    RuleNames {
        generation: 7,
        name: Some("r".to_owned()),
        rules: vec![NamedRule {
            id: "web".to_owned(),
            line: 3,
        }],
    }
}

fn hits() -> Hits {
    Hits {
        generation: 7,
        hits: vec![0, u64::MAX],
    }
}

fn accounts() -> Accounts {
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

/// Says this, and returns the answer up to its end, or what there is when the service hangs up.
fn say(stream: &mut UnixStream, bytes: &[u8]) -> Vec<u8> {
    // It may be hung up on before it has said everything.
    let _unheard = stream.write_all(bytes);
    hear(stream)
}

fn hear(stream: &mut UnixStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _reset = BufReader::with_capacity(1, stream).read_until(0, &mut answer);
    answer
}

fn request(method: &str) -> Vec<u8> {
    format!("{{\"method\":\"{INTERFACE}.{method}\"}}\0").into_bytes()
}

fn parsed(answer: &[u8]) -> Value {
    serde_json::from_slice(answer.strip_suffix(&[0]).unwrap()).unwrap()
}

#[test]
fn every_method_is_answered_as_its_type_says() {
    let served = Served::start();
    let mut client = served.client();
    assert_eq!(client.status().unwrap(), status());
    assert_eq!(client.stats().unwrap(), Stats::default());
    assert_eq!(client.hits().unwrap(), hits());
    assert_eq!(client.rule_names(7).unwrap(), Some(rule_names()));
    assert_eq!(client.rule_names(6).unwrap(), None, "not known");
    assert_eq!(client.accounts().unwrap(), accounts());
    assert_eq!(
        client.rules().unwrap().text.map(|text| text.len()),
        Some(LONG)
    );
    assert_eq!(
        client.program(u64::MAX, 2).unwrap().unwrap(),
        format!("/{}/2", u64::MAX)
    );
    assert_eq!(client.apply("r", "x", None).unwrap(), applied());
    let leased = client
        .apply("r", "x", Some(Duration::from_secs(9)))
        .unwrap();
    assert_eq!(leased.lease.unwrap().milliseconds_left, 9000);
}

#[test]
fn every_refusal_has_a_name_and_says_what_to_do() {
    let served = Served::start();
    let mut client = served.client();
    let failures = [
        client.confirm().map(drop),
        client.revert().map(drop),
        client.reload().map(drop),
        client.apply("r", "", None).map(drop),
        client.apply("", "x", None).map(drop),
        client
            .apply("r", "x", Some(Duration::from_secs(1 << 20)))
            .map(drop),
    ];
    let names = failures.map(|failure| match failure.unwrap_err() {
        Failed::Refused {
            name,
            message,
            errors,
        } => {
            assert!(message.len() > 20, "{name}: {message}");
            assert_eq!(errors.len(), usize::from(name == "RulesWrong"));
            name
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(
        names,
        [
            "NoLease",
            "LeaseOver",
            "SystemFailed",
            "RulesWrong",
            "OutOfRange",
            "OutOfRange"
        ]
    );
}

#[test]
fn the_protocols_own_questions_are_answered() {
    let served = Served::start();
    let mut stream = served.stream();
    let info = parsed(&say(
        &mut stream,
        b"{\"method\":\"org.varlink.service.GetInfo\"}\0",
    ));
    assert_eq!(
        info["parameters"]["interfaces"],
        json!(["org.varlink.service", INTERFACE])
    );
    let ask = format!(
        "{{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{{\"interface\":\"{INTERFACE}\"}}}}\0"
    );
    assert_eq!(
        parsed(&say(&mut stream, ask.as_bytes()))["parameters"]["description"],
        DESCRIPTION
    );
    let unknown = parsed(&say(&mut stream, &request("Nothing")));
    assert_eq!(unknown["error"], "org.varlink.service.MethodNotFound");
    let unknown = parsed(&say(&mut stream, b"{\"method\":\"org.example.Other\"}\0"));
    assert_eq!(unknown["error"], "org.varlink.service.InterfaceNotFound");
    let odd = format!("{{\"method\":\"{INTERFACE}.GetStatus\",\"parameters\":{{\"no\":1}}}}\0");
    let odd = parsed(&say(&mut stream, odd.as_bytes()));
    assert_eq!(odd["error"], "org.varlink.service.InvalidParameter");
}

#[test]
fn what_is_no_message_is_hung_up_on() {
    let served = Served::start();
    let nested = format!(
        "{{\"method\":\"a.b\",\"parameters\":{}\0",
        "[".repeat(100_000)
    );
    let garbage: [&[u8]; 6] = [
        b"\0",
        b"garbage\0",
        b"{}\0",
        b"\xff\xfe\0",
        b"{\"method\":1}\0",
        nested.as_bytes(),
    ];
    for bytes in garbage {
        assert_eq!(
            say(&mut served.stream(), bytes),
            b"",
            "{:?}",
            bytes.get(..20)
        );
    }
    assert!(served.client().status().is_ok(), "and nobody else notices");
}

#[test]
fn a_request_without_end_is_told_why_it_is_hung_up_on() {
    let served = Served::start();
    let mut stream = served.stream();
    let long = vec![b' '; peer::LONGEST_OF_ROOT + (1 << 20)];
    let answer = parsed(&say(&mut stream, &long));
    assert_eq!(answer["error"], "org.gatebell.Firewall.MessageTooLong");
    assert_eq!(answer["parameters"]["most"], peer::LONGEST_OF_ROOT);
    assert_eq!(hear(&mut stream), b"");
}

#[test]
fn requests_in_a_row_are_answered_in_order_and_oneway_ones_not_at_all() {
    let served = Served::start();
    let mut stream = served.stream();
    let mut all = Vec::new();
    for n in 0..3000 {
        let oneway = n % 3 == 2;
        all.extend(
            format!(
                "{{\"method\":\"{INTERFACE}.GetProgram\",\"oneway\":{oneway},\"parameters\":{{\"device\":1,\"inode\":{n}}}}}\0"
            )
            .bytes(),
        );
    }
    let mut to = stream.try_clone().unwrap();
    let speaker = std::thread::spawn(move || to.write_all(&all).unwrap());
    let mut answers = BufReader::new(&mut stream).split(0);
    for n in (0..3000).filter(|n| n % 3 != 2) {
        let answer: Value = serde_json::from_slice(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["parameters"]["path"], format!("/1/{n}"));
    }
    speaker.join().unwrap();
}

#[test]
fn who_says_half_or_never_listens_holds_up_nobody() {
    let served = Served::start();
    let mut half = served.stream();
    half.write_all(b"{\"method\":").unwrap();
    let mut deaf: Vec<_> = (0..4).map(|_| served.stream()).collect();
    for stream in &mut deaf {
        stream.write_all(&request("GetRules")).unwrap();
    }
    for _ in 0..20 {
        assert_eq!(served.client().status().unwrap(), status());
    }
    half.write_all(&request("GetStatus")[b"{\"method\":".len()..])
        .unwrap();
    assert_eq!(
        parsed(&hear(&mut half))["parameters"]["status"],
        json!(status())
    );
    // What it did not listen to is there when it does.
    let mut all = Vec::new();
    deaf[0].shutdown(std::net::Shutdown::Write).unwrap();
    deaf[0].read_to_end(&mut all).unwrap();
    assert!(all.len() > LONG);
}

#[test]
fn only_so_many_are_let_in_at_once() {
    let served = Served::start();
    let mut all: Vec<_> = (0..quota::MOST_PEERS + 20)
        .map(|_| served.stream())
        .collect();
    let answered = all
        .iter_mut()
        .map(|stream| say(stream, &request("GetStats")))
        .filter(|a| !a.is_empty())
        .count();
    let user = nix::unistd::geteuid().as_raw();
    assert_eq!(
        answered,
        if user == 0 {
            quota::MOST_PEERS
        } else {
            quota::MOST_OF_A_USER
        }
    );
    drop(all);
    std::thread::sleep(Duration::from_millis(100));
    assert!(served.client().status().is_ok());
}

#[test]
fn the_socket_goes_with_the_service_and_has_one() {
    let mut served = Served::start();
    let name = served.path.clone();
    let second = Control::serve(&name, Polkit::default(), made_up)
        .err()
        .unwrap();
    assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    let mut client = served.client();
    drop(served.control.take());
    assert!(!name.exists());
    assert!(matches!(client.status(), Err(Failed::HungUp)));
    assert!(matches!(Client::connect(&name), Err(Failed::NotRunning)));
    // A name that a killed service left is no service.
    drop(std::os::unix::net::UnixListener::bind(&name).unwrap());
    drop(Control::serve(&name, Polkit::default(), made_up).unwrap());
}

#[test]
fn who_is_not_root_may_ask_and_change_nothing() {
    let requester = Requester {
        process: None,
        user: 1000,
        may_change: false,
        by_polkit: false,
    };
    let harmless = |ask: Ask, requester| {
        assert!(matches!(
            ask,
            Ask::Status
                | Ask::Rules
                | Ask::RuleNames { .. }
                | Ask::Stats
                | Ask::Hits
                | Ask::Accounts
                | Ask::Program { .. }
        ));
        made_up(ask, requester)
    };
    for method in ["GetStatus", "GetRules", "GetStats", "GetAccounts"] {
        assert_eq!(
            answered(harmless, requester, method, json!({}))["error"],
            Value::Null,
            "{method}"
        );
    }
    let apply = json!({ "name": "r", "text": "" });
    let none = json!({});
    let set = json!({ "set": "s", "addresses": ["::1"] });
    let everybodys = json!({ "all": true, "everybody": true });
    let changes = [
        ("ForgetAnswers", &everybodys),
        ("AddToSet", &set),
        ("RemoveFromSet", &set),
        ("ConfirmRules", &none),
        ("RevertRules", &none),
        ("ReloadRules", &none),
        ("ApplyRules", &apply),
    ];
    for (method, parameters) in changes {
        let reply = answered(harmless, requester, method, parameters.clone());
        assert_eq!(
            reply["error"], "org.gatebell.Firewall.NotPermitted",
            "{method}"
        );
    }
}

/// The committed description, which is the contract, and what is really sent: the same fields under the same names.
#[test]
fn the_description_names_every_field_method_and_error_that_there_is() {
    let description = zlink_idl::Interface::try_from(DESCRIPTION).unwrap();
    assert_eq!(description.name().as_str(), INTERFACE);
    names_are_used_once(&description);
    types_are_as_described(&description);
    methods_are_as_described(&description);
    errors_are_as_described(&description);
}

/// Types, methods and errors share their names: readers of varlink take two of one name for an error, or for each other.
fn names_are_used_once(description: &zlink_idl::Interface<'_>) {
    let types = description
        .custom_types()
        .map(|described| described.name().as_str());
    let methods = description.methods().map(|method| method.name().as_str());
    let all: Vec<_> = types
        .chain(methods)
        .chain(description.errors().map(|error| error.name().as_str()))
        .collect();
    assert_eq!(
        all.len(),
        all.iter().collect::<BTreeSet<_>>().len(),
        "{all:?}"
    );
}

fn types_are_as_described(description: &zlink_idl::Interface<'_>) {
    let sent: [(&str, Value); 25] = [
        ("SetAdded", json!(set_added())),
        ("SetRemoved", json!(set_removed())),
        ("SetMember", json!(set_member())),
        ("Status", json!(status())),
        ("Memory", json!(status().kernel_memory)),
        ("Device", json!(status().devices[0])),
        ("InForce", json!(status().rules)),
        ("Lease", json!(lease())),
        ("Applied", json!(applied())),
        ("RuleText", json!(text())),
        ("RuleNames", json!(rule_names())),
        ("NamedRule", json!(rule_names().rules[0])),
        ("Stats", json!(Stats::default())),
        ("NameStats", json!(Stats::default().names)),
        ("AddressNames", json!(address_names(0))),
        ("AddressName", json!(address_names(0).names[0])),
        ("Hits", json!(hits())),
        ("Accounts", json!(accounts())),
        ("Account", json!(accounts().apps[0])),
        ("Counted", json!(Counted::default())),
        ("Question", json!(question())),
        ("HeldAnswer", json!(held_answer())),
        ("HistoryStatus", json!(HistoryStatus::default())),
        ("HistoryPage", json!(HistoryPage::default())),
        ("HistoryRow", json!(HistoryRow::default())),
    ];
    let said: BTreeSet<_> = description
        .custom_types()
        .map(|described| described.name().as_str())
        .collect();
    assert_eq!(said, sent.iter().map(|(name, _)| *name).collect());
    for described in description.custom_types() {
        let fields = names(described.as_object().unwrap().fields());
        let (name, value) = sent
            .iter()
            .find(|(name, _)| *name == described.name().as_str())
            .unwrap();
        assert_eq!(fields, keys(value), "{name}");
        for field in described.as_object().unwrap().fields() {
            assert!(
                fits(field.ty(), &value[field.name().as_str()]),
                "{name}: {field:?}"
            );
        }
    }
}

fn fits(described: &Type<'_>, sent: &Value) -> bool {
    match described {
        Type::Bool => sent.is_boolean(),
        Type::Int => sent.is_u64(),
        Type::String => sent.is_string(),
        Type::Custom(_) => sent.is_object(),
        Type::Array(of) => sent
            .as_array()
            .is_some_and(|all| all.iter().all(|one| fits(of, one))),
        Type::Optional(of) => sent.is_null() || fits(of, sent),
        _ => false,
    }
}

fn methods_are_as_described(description: &zlink_idl::Interface<'_>) {
    let given = [
        (
            "ApplyRules",
            json!({ "name": "r", "text": "x", "interactive": false }),
        ),
        ("ConfirmRules", json!({ "interactive": true })),
        ("RevertRules", json!({ "interactive": false })),
        ("ReloadRules", json!({ "interactive": null })),
        (
            "AddToSet",
            json!({ "set": "s", "addresses": ["::1"], "seconds": 9 }),
        ),
        (
            "RemoveFromSet",
            json!({ "set": "s", "addresses": ["127.0.0.1"] }),
        ),
        ("GetSetMembers", json!({ "set": null })),
        ("GetRuleNames", json!({ "generation": 7 })),
        ("GetProgram", json!({ "device": 1, "inode": 1 })),
        ("GetAddressNames", json!({ "since": 0 })),
        ("GetHistory", json!({ "since": 0, "after": 0 })),
        (
            "AnswerQuestion",
            json!({ "id": 1, "allow": true, "width": "place" }),
        ),
        ("ForgetAnswers", json!({ "all": true })),
    ];
    for method in description.methods() {
        let name = method.name().as_str();
        let given = given
            .iter()
            .find(|(named, _)| *named == name)
            .map(|(_, given)| given.clone());
        assert_eq!(given.is_some(), !method.has_no_inputs(), "{name}");
        let requester = Requester {
            process: None,
            user: 0,
            may_change: true,
            by_polkit: false,
        };
        let reply = answered(made_up, requester, name, given.unwrap_or_else(|| json!({})));
        match reply["error"].as_str() {
            None => assert_eq!(
                names(method.outputs()),
                keys(&reply["parameters"]),
                "{name}"
            ),
            // Errors of the protocol would say that there is no such method.
            Some(error) => assert!(error.starts_with(INTERFACE), "{name}: {error}"),
        }
    }
}

fn errors_are_as_described(description: &zlink_idl::Interface<'_>) {
    let known = [
        Failure::from(Refused::Rules(vec![])),
        Failure::from(Refused::TooMuchMemory {
            needed: 3,
            left: 2,
            budget: 1,
        }),
        Failure::from(Refused::NoLease),
        Failure::from(Refused::LeaseOver),
        Failure::from(Refused::Replaced),
        Failure::from(Refused::NoQuestion),
        Failure::from(Refused::NoAnswer(String::new())),
        Failure::from(Refused::NoSuchSet(String::new())),
        Failure::from(Refused::StaysInSet(String::new())),
        Failure::from(Refused::SetFull(String::new())),
        Failure::from(Refused::System(String::new())),
        Failure::from(Refused::Incomplete {
            generation: 8,
            confirmed: true,
            rest: String::new(),
        }),
        Failure::new("NotPermitted", ""),
        Failure::new("ServiceEnding", ""),
        Failure::out_of_range("", String::new()),
        Failure::too_long(1),
    ];
    let said: BTreeSet<_> = description
        .errors()
        .map(|error| error.name().as_str())
        .collect();
    assert_eq!(said, known.iter().map(|failure| failure.name).collect());
    for error in description.errors() {
        let Failure { name, parameters } = known
            .iter()
            .find(|known| known.name == error.name().as_str())
            .unwrap();
        assert_eq!(names(error.fields()), keys(parameters), "{name}");
    }
}

fn names<'a>(fields: impl Iterator<Item = &'a Field<'a>>) -> BTreeSet<&'a str> {
    fields.map(|field| field.name().as_str()).collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// The reply to one request, without a socket.
fn answered(
    answer: impl Fn(Ask, Requester) -> Answered + Send + Sync + 'static,
    requester: Requester,
    method: &str,
    parameters: Value,
) -> Value {
    let interface = Interface {
        answer: Arc::new(answer),
        requester,
        permission: Arc::default(),
    };
    interface
        .permission
        .decide(Err(Failure::new("NotPermitted", "polkit says no")));
    let service = VarlinkService::new("", "", "", "", vec![Box::new(interface) as Box<_>]);
    let request = json!({ "method": format!("{INTERFACE}.{method}"), "parameters": parameters });
    let mut reply = Vec::new();
    service
        .handle(&mut format!("{request}\0").as_bytes(), &mut reply, None)
        .unwrap();
    parsed(&reply)
}

/// Sends this with as many descriptors beside it as there may be, all of them the same file's.
fn send_with_descriptors(stream: &UnixStream, bytes: &[u8], file: &OwnedFd) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    let files = [file.as_fd(); 253];
    assert!(beside.push(SendAncillaryMessage::ScmRights(&files)));
    let bytes = [io::IoSlice::new(bytes)];
    Ok(sendmsg(stream, &bytes, &mut beside, SendFlags::NOSIGNAL)?)
}

#[test]
fn no_descriptors_get_to_the_control_socket_or_all_are_closed_by_others() {
    let served = Served::start();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let mut stream = served.stream();
    // Linux 6.16 refuses them where they are sent.
    let sent = send_with_descriptors(&stream, b"{\"method\":\"org.gat", &theirs);
    if let Err(refused) = &sent {
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        stream.write_all(b"{\"method\":\"org.gat").unwrap();
    }
    stream.write_all(b"ebell.Firewall.GetStatus\"}\0").unwrap();
    let mut answer = Vec::new();
    BufReader::new(&stream).read_until(0, &mut answer).unwrap();
    assert!(answer.starts_with(b"{\"parameters\":{\"status\""));
    drop(theirs);
    assert_eq!(ours.read(&mut [0]).unwrap(), 0, "nobody has it open");
}

#[test]
fn descriptors_beside_a_request_are_received_as_many_as_there_are_and_closed_by_others() {
    let closer = Closer::default();
    let (sender, stream) = UnixStream::pair().unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let who = Requester {
        process: None,
        user: 1000,
        may_change: false,
        by_polkit: false,
    };
    let stream = closer.take(who.user, stream.into());
    let mut peer = super::peer::PeerConnection::who(who, stream, &closer, Arc::new(made_up));
    let theirs = OwnedFd::from(theirs);
    assert_eq!(send_with_descriptors(&sender, b"abc", &theirs).unwrap(), 3);
    send_with_descriptors(&sender, b"unread", &theirs).unwrap();
    drop(theirs);
    assert!(peer.hear(std::time::Instant::now()) && !peer.has_asked());
    drop(peer);
    assert_eq!(ours.read(&mut [0]).unwrap(), 0, "all are closed");
}
