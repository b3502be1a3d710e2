//! Rules that are on in some networks alone: the machine is carried from one to another.

use super::*;
use crate::zone::probe::wait_until;
use control::NetworkStatus;
use std::path::Path;

/// The router at home, of the lab's own pair of devices, and its hardware address;
/// the one in the café, of another pair.
const HOME: &str = OUTSIDE;
const HOME_HARDWARE: &str = "02:00:5e:10:00:01";
const CAFE: &str = "10.78.1.1";
const PORT: u16 = 7007;

/// Returns rules by which nothing goes out but what is allowed at home. One rule blocks wherever home is not.
fn rules() -> String {
    let rule = |id: &str, action: &str, port: u16, network: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\naction = \"{action}\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = {port}\n\
             network = \"{network}\"\n"
        )
    };
    let next = PORT + 1;
    format!(
        "[default]\ninbound = \"block\"\noutbound = \"block\"\n\n\
         [[network]]\nid = \"home\"\ngateway = \"{HOME}\"\ngateway_hardware = \"{HOME_HARDWARE}\"\n\n\
         {}{}[[rule]]\nid = \"beside\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = {next}\n",
        rule("at-home", "allow", PORT, "home"),
        rule("not-elsewhere", "block", next, "!home"),
    )
}

/// A zone with two ways out, and no default route yet.
fn zone() -> Protected {
    let zone = Protected::with(&rules());
    add_pair(&zone, "gb2", "gb3", 1);
    has_hardware(&zone, HOME_HARDWARE);
    zone
}

/// Gives the router at home this hardware address; what the zone knew of it is forgotten.
fn has_hardware(zone: &Protected, address: &str) {
    let other = name(&outside(zone));
    ip(&["-n", &other, "link", "set", "gb1", "address", address]);
    ip(&[
        "-n",
        &name(&zone.lab.netns()),
        "neigh",
        "flush",
        "dev",
        "gb0",
    ]);
}

fn goes_by(zone: &Protected, gateway: &str) {
    let inside = name(&zone.lab.netns());
    ip(&["-n", &inside, "route", "replace", "default", "via", gateway]);
}

fn home(zone: &Protected) -> NetworkStatus {
    zone.ask().status().unwrap().networks.remove(0)
}

fn is(zone: &Protected, presence: &str) {
    wait_until(presence, || home(zone).presence == presence);
    // What is seen is in force a moment later.
    let (on, off) = switched(presence);
    wait_until("the rules are switched", || {
        let home = home(zone);
        (home.on, home.off) == (on.clone(), off.clone())
    });
}

/// Returns the rules that are on, and those that are off, at this presence.
fn switched(presence: &str) -> (Vec<String>, Vec<String>) {
    let (home, elsewhere) = (vec!["at-home".to_owned()], vec!["not-elsewhere".to_owned()]);
    if presence == "there" {
        (home, elsewhere)
    } else {
        (elsewhere, home)
    }
}

fn listener(zone: &Protected, port: u16) -> TcpListener {
    within(&outside(zone), move || {
        TcpListener::bind((HOME, port)).unwrap()
    })
}

/// Begins a connection from the zone, if it may.
fn connect(netns: &Path, port: u16, meant: bool) -> Option<TcpStream> {
    let to = SocketAddr::new(HOME.parse().unwrap(), port);
    let end = Instant::now() + if meant { PATIENCE } else { Duration::ZERO };
    loop {
        let tried = within(netns, move || {
            TcpStream::connect_timeout(&to, patience(meant)).ok()
        });
        if tried.is_some() || Instant::now() >= end {
            return tried;
        }
    }
}

#[test]
fn a_rule_is_on_in_its_network_alone_and_what_it_allowed_there_is_cut_once_the_network_is_left() {
    let zone = zone();
    let inside = zone.lab.netns();
    let [server, beside] = [PORT, PORT + 1].map(|port| listener(&zone, port));
    is(&zone, "unknown");
    assert!(connect(&inside, PORT, false).is_none(), "nothing is known");
    assert!(
        connect(&inside, PORT + 1, false).is_none(),
        "blocked where home is not"
    );

    // Nothing may go out that would have the kernel look for the router: the service has it do so.
    goes_by(&zone, HOME);
    is(&zone, "there");
    let mut client = connect(&inside, PORT, true).unwrap();
    let mut accepted = server.accept().unwrap().0;
    let mut heard = [0; 5];
    client.write_all(b"hello").unwrap();
    accepted.read_exact(&mut heard).unwrap();
    assert!(connect(&inside, PORT + 1, true).is_some());
    drop(beside);

    goes_by(&zone, CAFE);
    is(&zone, "away");
    let [sign] = &home(&zone).why[..] else {
        panic!("{:?}", home(&zone).why);
    };
    let other = (sign.kind.as_str(), sign.gateway, &sign.asked[..]);
    let expected = ("other_gateway", CAFE.parse().ok(), &[HOME.to_owned()][..]);
    assert_eq!(other, expected);
    client.write_all(b"again").unwrap();
    accepted.set_read_timeout(Some(patience(false))).unwrap();
    assert!(accepted.read(&mut heard).is_err(), "the connection is cut");
    assert!(connect(&inside, PORT, false).is_none());
    assert!(connect(&inside, PORT + 1, false).is_none());

    goes_by(&zone, HOME);
    is(&zone, "there");
    accepted.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    accepted.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"again", "it goes on where it may");
    // Another router that has the address of ours.
    has_hardware(&zone, "02:00:5e:10:00:02");
    is(&zone, "away");
    assert!(connect(&inside, PORT, false).is_none());
    assert_eq!(zone.ask().status().unwrap().trouble, []);
}

#[test]
fn a_route_that_comes_and_goes_without_end_has_rules_compiled_once_a_second_at_most() {
    let zone = zone();
    goes_by(&zone, HOME);
    is(&zone, "there");
    let generation = || zone.ask().status().unwrap().rules.generation;
    let (before, begun) = (generation(), Instant::now());
    let both: String = [CAFE, HOME]
        .map(|gateway| format!("route replace default via {gateway}\n"))
        .concat();
    let batch = zone.lab.folder().join("routes");
    fs::write(&batch, both.repeat(500)).unwrap();
    let inside = name(&zone.lab.netns());
    for _ in 0..20 {
        ip(&["-n", &inside, "-batch", batch.to_str().unwrap()]);
    }
    goes_by(&zone, CAFE);
    is(&zone, "away");
    let switched = u64::from(generation() - before);
    // One more for the second that is not over, and one for the look that was due before.
    assert!(
        (1..=begun.elapsed().as_secs() + 2).contains(&switched),
        "{switched} in {:?}",
        begun.elapsed()
    );
}

#[test]
fn after_a_start_from_nothing_rules_of_a_network_are_off_until_it_is_known_also_those_that_were_good_last()
 {
    let mut zone = zone();
    goes_by(&zone, HOME);
    is(&zone, "there");
    let server = listener(&zone, PORT);
    let inside = zone.lab.netns();
    assert!(connect(&inside, PORT, true).is_some());
    zone.recover();
    zone.service.process.wait().unwrap();
    ip(&["-n", &name(&inside), "route", "del", "default"]);
    fs::write(&zone.rules, "no rules at all").unwrap();
    assert!(!zone.start_again(), "there was nothing in the kernel");
    assert!(connect(&inside, PORT, false).is_none());
    assert!(connect(&inside, PORT + 1, false).is_none());
    is(&zone, "unknown");
    let said = zone.troubles().remove(0);
    assert!(said.contains("the last good rules"), "{said}");
    // They follow networks too.
    goes_by(&zone, HOME);
    is(&zone, "there");
    assert!(connect(&inside, PORT, true).is_some());
    drop(server);
}

#[test]
fn a_start_in_another_network_has_the_rules_that_are_right_there_in_force_before_it_is_ready() {
    let mut zone = zone();
    let inside = zone.lab.netns();
    let server = listener(&zone, PORT);
    let starts_elsewhere = |zone: &mut Protected| {
        goes_by(zone, HOME);
        is(zone, "there");
        assert!(connect(&inside, PORT, true).is_some());
        let at_home = zone.ask().status().unwrap().rules.generation;
        zone.service.kill();
        goes_by(zone, CAFE);
        let ready = zone.ready_again(&[]);
        assert_eq!(ready["adopted"], true);
        // No turn of the main loop's comes before this.
        assert_ne!(ready["generation"], at_home, "{ready}");
        assert_eq!(home(zone).judged_as, "away");
        assert!(connect(&inside, PORT, false).is_none());
    };
    // What is tried out is still, and what the rule file has is read for where the machine is.
    let lease = Some(Duration::from_secs(600));
    zone.ask().apply("tried.toml", &rules(), lease).unwrap();
    starts_elsewhere(&mut zone);
    zone.ask().revert(None).unwrap();
    // What the kernel has stays, for the file is no good.
    fs::write(&zone.rules, "no rules at all").unwrap();
    starts_elsewhere(&mut zone);
    drop(server);
}

/// Rules that are more where home is not, by what each allows there.
fn many_elsewhere() -> String {
    let many: String = (0..2000_u32)
        .map(|number| {
            let to = std::net::Ipv4Addr::from(0x0A00_0000 + number * 2);
            format!(
                "[[rule]]\nid = \"other-{number}\"\naction = \"allow\"\ndirection = \"out\"\ndestination = \"{to}\"\n\
                 network = \"!home\"\n"
            )
        })
        .collect();
    rules() + &many
}

#[test]
fn a_switch_for_which_there_is_no_room_has_what_was_allowed_where_the_machine_was_off_and_the_candidate_switched()
 {
    let taken = {
        let zone = Protected::with(&many_elsewhere());
        zone.ask().status().unwrap().kernel_memory.used
    };
    let budget = format!("{}KiB", taken / 1024 + 1024);
    let zone = Protected::with_options(&many_elsewhere(), &["--kernel-memory", &budget]);
    add_pair(&zone, "gb2", "gb3", 1);
    has_hardware(&zone, HOME_HARDWARE);
    let inside = zone.lab.netns();
    let server = listener(&zone, PORT);
    goes_by(&zone, HOME);
    wait_until("home", || home(&zone).judged_as == "there");
    assert!(connect(&inside, PORT, true).is_some());
    let trouble = || zone.troubles().concat();

    goes_by(&zone, CAFE);
    wait_until("there is no room", || {
        trouble().contains("each rule of a network is on its safe side")
    });
    let seen = home(&zone);
    assert_eq!((&*seen.presence, &*seen.judged_as), ("away", "unknown"));
    assert!(seen.off.contains(&"at-home".to_owned()));
    assert!(connect(&inside, PORT, false).is_none());

    // What is tried out is switched although that fails for what is confirmed.
    goes_by(&zone, HOME);
    wait_until("home", || {
        home(&zone).judged_as == "there" && trouble().is_empty()
    });
    let lease = Some(Duration::from_secs(600));
    zone.ask().apply("few.toml", &rules(), lease).unwrap();
    assert!(connect(&inside, PORT, true).is_some());
    goes_by(&zone, CAFE);
    is(&zone, "away");
    assert!(trouble().contains("each rule of a network is on its safe side"));
    assert!(connect(&inside, PORT, false).is_none());
    drop(server);
}

/// A line that each release passes over, and what it is in a text that this release can't read.
const READ: &str = "# of another release";
const UNREAD: &str = "= of another release";
/// A set that nothing is in until something is added.
const FILLED_LATER: &str = "[[set]]\nid = \"added\"\naddresses = []\n\n\
     [[rule]]\nid = \"added\"\naction = \"block\"\ndirection = \"out\"\ndestination = \"@added\"\n";

/// Changes the state to what another release would have left of the rules: their text, and the tables that were good
/// last.
fn of_another_release(zone: &Protected) {
    let text = zone.lab.folder().join("state").join("confirmed.toml");
    let kept = fs::read_to_string(&text).unwrap();
    assert!(kept.contains(READ), "{kept}");
    fs::write(&text, kept.replace(READ, UNREAD)).unwrap();
    let good = last_good(zone);
    let mut bytes = fs::read(&good).unwrap();
    let at = bytes
        .windows(READ.len())
        .position(|part| part == READ.as_bytes())
        .unwrap();
    bytes[at..at + READ.len()].copy_from_slice(UNREAD.as_bytes());
    // The checksum stands behind eight bytes by which the file is known, and its format.
    bytes[12..16].fill(0);
    let sum = crc32(&bytes).to_ne_bytes();
    bytes[12..16].copy_from_slice(&sum);
    fs::write(&good, bytes).unwrap();
}

fn last_good(zone: &Protected) -> PathBuf {
    zone.lab.folder().join("kept").join("last-good")
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 * (sum & 1))
        })
    })
}

#[test]
fn rules_whose_text_can_not_be_read_any_more_leave_nothing_on_that_was_allowed_in_another_network()
{
    let text = format!("{READ}\n{}{FILLED_LATER}", rules());
    let mut zone = Protected::with(&text);
    let joined = "192.0.2.9".parse().unwrap();
    zone.ask().add_to_set("added", &[joined], None).unwrap();
    add_pair(&zone, "gb2", "gb3", 1);
    has_hardware(&zone, HOME_HARDWARE);
    let inside = zone.lab.netns();
    let server = listener(&zone, PORT);
    goes_by(&zone, HOME);
    is(&zone, "there");
    assert!(connect(&inside, PORT, true).is_some());
    wait_until("they are kept", || last_good(&zone).exists());
    zone.service.kill();
    of_another_release(&zone);
    fs::write(&zone.rules, "no rules at all").unwrap();
    goes_by(&zone, CAFE);
    assert!(zone.start_again(), "the kernel has them");
    let trouble = |zone: &Protected| zone.troubles().concat();
    wait_until("it is said", || {
        trouble(&zone).contains("each rule of a network is on its safe side")
    });
    assert!(trouble(&zone).contains("can't be read any more"));
    assert!(connect(&inside, PORT, false).is_none());
    assert!(
        connect(&inside, PORT + 1, false).is_none(),
        "blocked where home is not"
    );
    assert!(trouble(&zone).contains("what has joined a set is in none"));
    // Nothing is put in force anew each time that it is looked again.
    let before = zone.ask().status().unwrap().rules.generation;
    goes_by(&zone, HOME);
    fs::write(&zone.rules, text).unwrap();
    let after = zone.ask().reload().unwrap().generation;
    assert!(after <= before + 1, "{before}, {after}");
    is(&zone, "there");
    wait_until("nothing is wrong", || trouble(&zone).is_empty());
    assert!(connect(&inside, PORT, true).is_some());
    drop(server);
}
