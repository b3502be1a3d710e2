//! Addresses that join sets.

use super::NOBODY;
use crate::person::Person;
use crate::zone::{self, Protected};
use lab::{INSIDE, OUTSIDE};
use serde_json::json;
use std::time::{Duration, Instant};

/// Checks the dry run's verdict on a datagram from the zone to port 19 outside: this rule refuses it, or none does. The
/// rules in force know what has joined their sets, a file does if it is told to.
fn foretold(zone: &Protected, root: &Person, rule: Option<&str>) {
    let verdict = if rule.is_some() { "block" } else { "allow" };
    let packet = format!("out udp {INSIDE}:5000 -> {OUTSIDE}:19");
    let why = root.ok(&["why", "--json", "--packet", &packet]);
    assert_eq!(
        (&why["verdict"], &why["rule"]),
        (&json!(verdict), &json!(rule))
    );
    assert_eq!(why["joined"].as_array().unwrap().is_empty(), rule.is_none());
    let test = root.run(&["test", "out", "udp", &format!("{OUTSIDE}:19"), "--json"]);
    assert_eq!(test.code == 0, rule.is_none(), "{test:?}");
    let capture = zone.lab.folder().join("capture");
    std::fs::write(&capture, capture_of(19)).unwrap();
    let (rules, capture) = (zone.rules.to_str().unwrap(), capture.to_str().unwrap());
    let dry = |joined: &[&str], expected: &str| {
        let words = [
            "dry-run", rules, "--pcap", capture, "--zone", INSIDE, "--expect", expected,
        ];
        let said = root.run(&[&words[..], joined].concat());
        assert_eq!(said.code, 0, "{said:?}");
    };
    dry(&[], "blocked=0");
    dry(
        &["--joined"],
        if rule.is_some() {
            "blocked=1"
        } else {
            "blocked=0"
        },
    );
}

/// A capture of one datagram from the zone to this port outside.
fn capture_of(port: u16) -> Vec<u8> {
    let [inside, outside] = [INSIDE, OUTSIDE].map(|a| a.parse::<std::net::Ipv4Addr>().unwrap());
    let head = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    let datagram = [5000_u16, port, 8, 0].map(u16::to_be_bytes).concat();
    let packet = [&head[..], &inside.octets(), &outside.octets(), &datagram].concat();
    let length = (packet.len() as u32).to_le_bytes();
    let file = [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes);
    [&file.concat()[..], &[0; 8], &length, &length, &packet].concat()
}

/// Rules with three sets, the first with an address in it, that refuse what goes there.
const WITH_SETS: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n\
    [[set]]\nid = 'banned'\naddresses = '198.51.100.7'\nexcept = '198.51.100.8'\n\
    [[set]]\nid = 'tried'\naddresses = []\n\
    [[set]]\nid = 'odd'\naddresses = []\n\
    [[rule]]\nid = 'no-banned'\naction = 'block'\ndestination = '@banned'\n\
    [[rule]]\nid = 'no-odd'\naction = 'block'\nprotocol = 'udp'\nports = 19\ndestination = ['@odd', '@tried', '@banned']\n";

#[test]
fn an_address_joins_a_set_at_once_and_without_a_generation_until_it_is_removed_or_its_time_is_over()
{
    let mut zone = Protected::with(WITH_SETS);
    let root = Person::root(&zone);
    let set = |words: &[&str]| root.run(&[&["set"], words].concat());
    let done = |words: &[&str]| {
        let said = set(words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said.out
    };
    let generation = || root.ok(&["status", "--json"])["rules"]["generation"].clone();
    let refused = |zone: &Protected, port: u16| {
        let send = zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/{port}"));
        !send.status.success()
    };
    assert!(!refused(&zone, 19));

    // What has begun is judged again too.
    let folder = zone.lab.folder().display().to_string();
    let goes_on = format!(
        "exec 3>/dev/udp/{OUTSIDE}/9; echo >&3 && touch {folder}/began; \
         for n in $(seq 300); do sleep 0.1; echo >&3 || {{ touch {folder}/refused; exit; }}; done"
    );
    let mut flow = zone
        .lab
        .inside(&["bash", "-c", &goes_on])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    zone::probe::wait_until("a flow begins", || zone.lab.folder().join("began").exists());

    assert!(done(&["add", "banned", OUTSIDE]).contains("1 address added to banned"));
    assert!(refused(&zone, 19), "the next packet");
    zone::probe::wait_until("what had begun is refused", || {
        zone.lab.folder().join("refused").exists()
    });
    flow.wait().unwrap();
    assert!(done(&["list"]).contains("until it is removed"));
    assert_eq!(generation(), 1);
    foretold(&zone, &root, Some("no-banned"));

    // A rule that asks for several sets, and both rules for one.
    done(&["remove", "banned", OUTSIDE]);
    assert!(!refused(&zone, 19) && !refused(&zone, 20));
    done(&["add", "odd", OUTSIDE]);
    assert!(refused(&zone, 19) && !refused(&zone, 20));
    assert_eq!(generation(), 1);

    // Two that no address was in at once take a generation, once.
    assert!(done(&["add", "tried", OUTSIDE]).contains("generation 2"));
    assert!(!done(&["add", "tried", "198.51.100.9"]).contains("generation"));
    assert!(refused(&zone, 19));
    assert_eq!(generation(), 2);
    done(&["remove", "odd", OUTSIDE]);
    assert!(refused(&zone, 19), "by the other one");
    foretold(&zone, &root, Some("no-odd"));
    done(&["remove", "tried", OUTSIDE]);
    assert!(!refused(&zone, 19));
    foretold(&zone, &root, None);

    // It ends by itself.
    done(&["add", "banned", OUTSIDE, "--for", "5s"]);
    assert!(refused(&zone, 20));
    zone::probe::wait_until("its time is over", || !refused(&zone, 20));
    assert!(!done(&["list", "banned"]).contains(OUTSIDE));

    // What can't be says why.
    let line = format!("{}:5", zone.rules.display());
    for (words, said) in [
        (
            &["add", "bannd", OUTSIDE] as &[&str],
            "`banned`, `tried`, `odd`",
        ),
        (&["add", "banned", "192.0.2.0/24"], "no single address"),
        (&["add", "banned", "198.51.100.8"], "`except`"),
        (&["remove", "banned", "198.51.100.7"], &line),
        (
            &["add", "banned", OUTSIDE, "--for", "999999999s"],
            "seconds",
        ),
    ] {
        let refused = set(words);
        assert!(
            refused.code == 1 && refused.err.contains(said),
            "{words:?}: {refused:?}"
        );
    }
    let nobody = Person::root(&zone).user(NOBODY);
    assert_eq!(nobody.run(&["set", "add", "banned", OUTSIDE]).code, 1);
    assert!(!refused(&zone, 20));

    // A thousand in one request, and some hundred each in its own.
    let thousand: Vec<String> = (0..1000)
        .map(|n| format!("10.9.{}.{}", n / 250, n % 250))
        .collect();
    let mut client = zone.ask();
    assert_eq!(
        client.add_to_set("banned", &thousand, None).unwrap().added,
        1000
    );
    let begin = Instant::now();
    for n in 0..300 {
        let one = [format!("2001:db8::{n:x}")];
        assert_eq!(
            client
                .add_to_set("odd", &one, Some(Duration::from_secs(900)))
                .unwrap()
                .added,
            1
        );
    }
    println!("{:?} for each of 300 requests", begin.elapsed() / 300);
    assert_eq!(client.set_members(None).unwrap().len(), 1301);
    done(&["add", "banned", OUTSIDE]);
    assert!(refused(&zone, 20));

    // Another generation has it, a service after this one, and one after what was in the kernel is gone.
    let other = format!(
        "{WITH_SETS}[[rule]]\nid = 'more'\naction = 'allow'\nports = 7\nprotocol = 'tcp'\n"
    );
    std::fs::write(&zone.rules, other).unwrap();
    root.run(&["rules", "apply", zone.rules.to_str().unwrap()]);
    assert_eq!(generation(), 3);
    assert!(refused(&zone, 20), "the next generation");
    zone.service.kill();
    assert!(refused(&zone, 20), "with no service");
    assert!(zone.start_again());
    assert!(refused(&zone, 20), "the next service");
    assert_eq!(zone.ask().set_members(None).unwrap().len(), 1302);
    zone.service.stop();
    zone.recover();
    assert!(!zone.start_again());
    assert!(refused(&zone, 20), "from disk");
    assert_eq!(zone.ask().set_members(None).unwrap().len(), 1302);

    // A first start that was killed while the kernel looked at its programs leaves empty
    // tables, and nobody believes them.
    zone.service.stop();
    zone.recover();
    let version = format!("v{}", firewall_abi::VERSION);
    let tables = zone.lab.pins().join(version);
    std::fs::create_dir_all(tables.join("half")).unwrap();
    assert!(!zone.start_again());
    assert!(!tables.join("half").exists());
    assert!(refused(&zone, 20), "from disk still");
    assert_eq!(zone.ask().set_members(None).unwrap().len(), 1302);
    done(&["remove", "banned", OUTSIDE]);
    assert!(!refused(&zone, 20));
    assert_eq!(root.ok(&["status", "--json"])["trouble"], json!([]));
}
