//! Tests of the socket by hand, with made-up answers: what a kernel's tables would say is another test's.

mod description;
mod made_up;

use super::peer::Requester;
use super::*;
use channel::sys::linux::Closer;
use control::{Client, DESCRIPTION, Failed, INTERFACE, Stats};
use made_up::*;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Control socket of this test's own.
struct Served {
    control: Option<Control>,
    path: PathBuf,
}

impl Served {
    fn start() -> Self {
        Self::at(&format!("{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    fn at(name: &str) -> Self {
        Self::with(name, Closer::default())
    }

    fn with(name: &str, closer: Closer) -> Self {
        let path =
            std::env::temp_dir().join(format!("gatebell-control-{}-{name}", std::process::id()));
        Self {
            control: Some(Control::serve(&path, Polkit::default(), made_up, closer).unwrap()),
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

/// Sends bytes, and returns the answer up to its end, or what there is when the service hangs up.
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
        client.confirm(None).map(drop),
        client.revert(None).map(drop),
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
    let end = Instant::now() + Duration::from_secs(60);
    while served.client().status().is_err() {
        assert!(Instant::now() < end, "there is room again");
    }
}

#[test]
fn root_is_let_in_whatever_others_have_the_service_close() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: nobody is root here");
        return;
    }
    // As many files wait to be closed as may.
    let served = Served::with("full", Closer::of_open(0));
    let mut waits = served.stream();
    waits
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    assert!(say(&mut waits, &request("GetStats")).is_empty());
    assert!(served.client().status().is_ok());
    let of_root = control::root_socket(&served.path);
    let mode = std::fs::metadata(&of_root).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(served);
    assert!(!of_root.exists());
}

#[test]
fn the_socket_goes_with_the_service_and_has_one() {
    let mut served = Served::start();
    let name = served.path.clone();
    let second = Control::serve(&name, Polkit::default(), made_up, Closer::default())
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
    drop(Control::serve(&name, Polkit::default(), made_up, Closer::default()).unwrap());
}

/// Sends bytes with as many descriptors beside them as there may be, all of them the same file's.
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
