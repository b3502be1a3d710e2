//! Published lists: what can be read is used, what can't is counted and named, and never loses the rules.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod place;

use flate2::Compression;
use flate2::write::GzEncoder;
use place::Place;
use rules::{MOST_OF_FETCHED, Rules, SetFile, list_entries, parse, unpacked_list};
use std::io::{Read, Write};

/// Rules that block what a list holds.
const BLOCK: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n[[set]]\nid = 's'\nfile = 'list.txt'\n\
                     [[rule]]\nid = 'a'\naction = 'block'\nsource = '@s'\n";

fn with(text: &str, bytes: &[u8]) -> Rules {
    let place = Place::default().file("list.txt", bytes);
    parse("rules.toml", text, &place).unwrap()
}

fn list(bytes: impl AsRef<[u8]>) -> Rules {
    with(BLOCK, bytes.as_ref())
}

/// Returns for each of these addresses whether the set holds it.
fn holds(rules: &Rules, addresses: &[&str]) -> Vec<bool> {
    let members = rules.members().unwrap();
    addresses
        .iter()
        .map(|address| members.of(address.parse().unwrap()) == [0])
        .collect()
}

fn said(rules: &Rules) -> Vec<String> {
    rules.warnings().iter().map(ToString::to_string).collect()
}

/// Checks that a wholly readable list holds these first and last addresses and not their neighbours, without a warning.
fn reads(text: impl AsRef<[u8]>, entries: usize, inside: &[&str], outside: &[&str]) {
    let rules = list(text.as_ref());
    let shown = String::from_utf8_lossy(text.as_ref()).into_owned();
    assert_eq!(
        (rules.warnings(), rules.troubles()),
        (&[][..], &[][..]),
        "{shown}"
    );
    assert_eq!(rules.set(0).unwrap().entries, entries, "{shown}");
    assert_eq!(list_entries(&file(text.as_ref())), Ok(entries), "{shown}");
    assert_eq!(holds(&rules, inside), vec![true; inside.len()], "{shown}");
    assert_eq!(
        holds(&rules, outside),
        vec![false; outside.len()],
        "{shown}"
    );
}

#[test]
fn a_list_is_read_as_public_block_lists_come() {
    let text = b"\xEF\xBB\xBF; Spam\xE9 list\r\n# of today\r\n\r\n1.10.16.0/20 ; SBL256894\r\n\t192.0.2.7  \r\n\
                 2001:db8::/32 # six\r\n198.51.100.10-198.51.100.19\r\n198.51.100.30 - 198.51.100.39\r\n192.0.2.7";
    reads(
        text,
        6,
        &[
            "1.10.16.0",
            "1.10.31.255",
            "192.0.2.7",
            "2001:db8::",
            "198.51.100.10",
            "198.51.100.39",
        ],
        &[
            "1.10.15.255",
            "1.10.32.0",
            "192.0.2.6",
            "192.0.2.8",
            "2001:db9::",
            "198.51.100.20",
        ],
    );
}

#[test]
fn lists_of_every_shape_in_use_are_read() {
    let net = &["203.0.113.0", "203.0.113.255"];
    let not = &["203.0.112.255", "203.0.114.0", "1.2.3.4"];
    // Comments of four kinds, in front and behind.
    reads(
        "// a\n! b\n203.0.113.0/24 // c\n198.51.100.1 ! d\n198.51.100.2#e\n",
        3,
        net,
        not,
    );
    // What file sharing programs read, with anything in the names.
    reads(
        "Bad; people #1: evil:203.0.113.0-203.0.113.255\n:203.0.113.4-203.0.113.5\n",
        2,
        net,
        not,
    );
    reads(
        "203.000.113.000 - 203.000.113.255 , 000 , Somebody, Inc.\n001.002.003.004 - 001.002.003.004 , 200 , good\n",
        1,
        net,
        not,
    );
    // The first and the last address with a tab between, and the first column alone.
    reads(
        "Start\tEnd\n".replace('S', "#S") + "203.0.113.0\t203.0.113.255\t24\t9\tNAME\n",
        1,
        net,
        not,
    );
    reads(
        "203.0.113.0/24\t7\n203.0.113.9 11\n198.51.100.1 host.example\n",
        3,
        net,
        not,
    );
    reads(
        "\"seen\",\"address\",\"port\"\n\"2026-11-01 10:00:00\",\"203.0.113.0/24\",\"443\"\n2026,198.51.100.7,80\n",
        2,
        net,
        not,
    );
    reads("203.0.113.0/25, 203.0.113.128/25,\n", 2, net, not);
    // ipset save.
    reads(
        "create x hash:net family inet\nadd x 203.0.113.0/24\nadd x 198.51.100.7 timeout 60 comment \"b\"\n",
        2,
        net,
        not,
    );
    // Netmasks, in both ways to write them.
    reads(
        "203.0.113.0/255.255.255.0\n198.51.100.0 255.255.255.254\n",
        2,
        net,
        not,
    );
    // IPv4 in IPv6's form means IPv4.
    reads("::ffff:203.0.113.0/120\n::ffff:198.51.100.7\n", 2, net, not);
    // JSON: one object a line, and a document with more in it than addresses.
    reads(
        "{\"cidr\":\"203.0.113.0/24\",\"id\":\"1.2.3.4\"}\n{\"type\":\"metadata\",\"size\":1}\n",
        1,
        net,
        not,
    );
    reads(
        "{\n \"serial\": \"1.2.3.4\", \"prefixes\": [\n {\"ip_prefix\": \"203.0.113.0/24\", \"more\": [1, null]}],\n\
         \"ipv6_prefixes\": [{\"ipv6_prefix\": \"2001:db8::/32\"}], \"hooks\": [\"198.51.100.0/24\", \"none\"]}\n",
        3,
        net,
        not,
    );
    reads("[\"203.0.113.0/24\"]", 1, net, not);
    // UTF-16 as Windows writes it, either way round, with and without its mark.
    let wide = |mark: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let text = format!("{mark}203.0.113.0/24\r\n");
        text.encode_utf16().flat_map(bytes).collect()
    };
    for mark in ["\u{FEFF}", ""] {
        reads(wide(mark, u16::to_le_bytes), 1, net, not);
        reads(wide(mark, u16::to_be_bytes), 1, net, not);
    }
    reads(packed(b"203.0.113.0/24\n"), 1, net, not);
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

#[test]
fn an_entry_that_cannot_be_read_is_named_with_its_place_and_the_rest_is_used() {
    let rules = list(
        b"192.0.2.1\n\n  192.0.2.256 # no\n0.0.0.0 ads.example\n\xFF\n\x1b[2J\n192.0.2.5 192.0.2.9\n192.0.2.1 - 192.0.2.x\n\
          add s 192.0.2.1,tcp:80\n192.0.2.1:80\n192.0.2.3\n",
    );
    let said = said(&rules);
    let begins = [
        "list.txt:3:3: `192.0.2.256` is no address; write one like",
        "list.txt:4:1: `0.0.0.0 ads.example` names a host, as in /etc/hosts",
        "list.txt:5:1: `\u{FFFD}` is no address",
        "list.txt:6:1: `\u{FFFD}[2J` is no address",
        "list.txt:7:1: `192.0.2.5 192.0.2.9` may be two entries or a range",
        "list.txt:8:1: `192.0.2.1 - 192.0.2.x` does not begin with",
        "list.txt:9:1: `add s 192.0.2.1,tcp:80` is more than an address",
        "list.txt:10:1: `192.0.2.1:80` is no address",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (said, begin) in said.iter().zip(begins) {
        assert!(said.starts_with(begin), "{said}");
    }
    assert_eq!(rules.troubles(), []);
    let used = holds(&rules, &["192.0.2.1", "192.0.2.3", "192.0.2.5", "0.0.0.0"]);
    assert_eq!(used, [true, true, false, false]);
}

#[test]
fn bits_behind_a_prefix_are_cut_off_with_a_warning() {
    let rules = list("192.0.2.7/24 ; x\n2001:db8::1/32\n");
    assert_eq!(
        said(&rules),
        [
            "list.txt:1:1: `192.0.2.7/24` has bits set behind its prefix; taken as 192.0.2.0/24",
            "list.txt:2:1: `2001:db8::1/32` has bits set behind its prefix; taken as 2001:db8::/32",
        ]
    );
    assert_eq!(
        holds(&rules, &["192.0.2.255", "2001:db8:ffff::"]),
        [true, true]
    );
}

#[test]
fn of_many_wrong_entries_in_a_list_the_first_are_shown_and_the_others_counted() {
    let rules = list("ads.example\n".repeat(1244) + "192.0.2.1\n");
    let said = said(&rules);
    assert_eq!(said.len(), 11);
    assert_eq!(
        said.last().unwrap(),
        "list.txt:10:1: and 1,234 more entries can't be read and are passed over"
    );
}

/// Returns texts that are no lists, each with a part of its message.
fn no_lists() -> Vec<(Vec<u8>, &'static str)> {
    let plain = |text: &str| text.as_bytes().to_vec();
    let mut broken = packed(&b"192.0.2.1\n".repeat(100));
    broken.truncate(broken.len() - 9);
    vec![
        (
            plain("\n<!DOCTYPE html>\n<p>192.0.2.1</p>\n"),
            "it is a web page",
        ),
        (
            plain("[Adblock Plus 2.0]\n||ads.example^\n"),
            "for ad blockers",
        ),
        (
            plain("! ads\n||ads.example^\n"),
            "nothing of it can be read; line 2",
        ),
        (
            plain("# hosts\n0.0.0.0 ads.example\n127.0.0.1 localhost\n"),
            "names a host",
        ),
        (plain("{\"error\": \"gone\""), "this is not JSON"),
        (plain("PK\x03\x04 and so on"), "a zip archive"),
        (broken, "can't be unpacked"),
    ]
}

/// Makes the file of a list, readable for everybody.
fn file(bytes: &[u8]) -> SetFile {
    SetFile {
        name: "list.txt".to_owned(),
        bytes: bytes.to_vec(),
        confidential: false,
        trouble: None,
    }
}

/// A user who may change the rules may name any file as a list, and see the messages: what others may not read is not
/// quoted.
#[test]
fn what_not_everybody_may_read_is_not_quoted() {
    let secret = "192.0.2.1\nroot:$y$j9T$secret:1:\n10.1.2.3/8 # secret\n";
    let json = "[{\"ip_prefix\": \"192.0.2.1\"}, {\"ip_prefix\": \"secret\"}]";
    for text in [
        secret,
        json,
        "secret\nsecret\n",
        "add secret secret\n",
        "[{\"ip\": \"secret\"}]",
        "192.0.2.1\nsecret,x\n",
    ] {
        let place = Place {
            confidential: true,
            ..Place::default()
        };
        let rules = parse("rules.toml", BLOCK, &place.file("list.txt", text)).unwrap();
        let said = rules.warnings().iter().chain(rules.troubles());
        let said: Vec<_> = said.map(ToString::to_string).collect();
        assert!(
            !said.is_empty() && said.iter().all(|said| !said.contains("secret")),
            "{text}: {said:?}"
        );
        assert!(
            said.iter()
                .any(|said| said.contains("not everybody may read")),
            "{text}: {said:?}"
        );
    }
}

#[test]
fn what_is_no_list_is_trouble_and_the_rules_hold_on_their_safe_side() {
    for (bytes, word) in no_lists() {
        assert!(
            list_entries(&file(&bytes)).unwrap_err().contains(word),
            "{word}"
        );
        let rules = list(&bytes);
        let [trouble] = rules.troubles() else {
            panic!("{word}: {:?}", rules.troubles())
        };
        let begins = "rules.toml:6:8: `file`: list.txt is no list: ";
        let said = trouble.to_string();
        assert!(said.starts_with(begins) && said.contains(word), "{said}");
        assert!(
            said.contains("rules that block take `@s` for every address"),
            "{said}"
        );
        assert!(rules.set(0).unwrap().trouble.is_some());
    }
}

#[test]
fn an_empty_list_is_one_and_holds_nothing() {
    for empty in ["", "\r\n", "# nobody today\n"] {
        let rules = list(empty);
        assert_eq!(rules.troubles(), []);
        assert_eq!(
            said(&rules),
            ["rules.toml:5:6: the set `s` is empty: it holds no address"]
        );
        assert_eq!(list_entries(&file(empty.as_bytes())), Ok(0));
    }
}

#[test]
fn a_strict_set_takes_a_whole_list_or_none() {
    let strict = BLOCK.replace("[[rule]]", "strict = true\n[[rule]]");
    let rules = with(&strict, b"192.0.2.1\nads.example\n");
    assert!(
        rules.troubles()[0]
            .message
            .contains("(1), and the set is strict"),
        "{:?}",
        rules.troubles()
    );
    assert_eq!(said(&rules).len(), 1);
    let rules = with(&strict, b"192.0.2.1\n192.0.2.9/24\n");
    assert_eq!(rules.troubles(), []);
}

#[test]
fn what_a_set_excepts_it_does_not_hold() {
    let text = BLOCK.replace(
        "[[rule]]",
        "addresses = '10.0.0.0/8'\nexcept = ['10.1.0.0/16', '192.0.2.5', '2001:db8::1', '0.0.0.0', '255.255.255.255']\n[[rule]]",
    );
    let rules = with(
        &text,
        b"192.0.2.0/29\n192.0.2.4-192.0.2.9\n2001:db8::/64\n0.0.0.0\n255.255.255.254/31\n",
    );
    let inside = [
        "10.0.255.255",
        "10.2.0.0",
        "192.0.2.4",
        "192.0.2.6",
        "192.0.2.9",
        "2001:db8::",
        "2001:db8::2",
        "255.255.255.254",
    ];
    assert_eq!(holds(&rules, &inside), [true; 8]);
    let outside = [
        "10.1.0.0",
        "10.1.255.255",
        "192.0.2.5",
        "2001:db8::1",
        "0.0.0.0",
        "255.255.255.255",
    ];
    assert_eq!(holds(&rules, &outside), [false; 6]);
}

#[test]
fn an_older_copy_of_a_list_is_used_and_said() {
    let mut place = Place::default().file("list.txt", "192.0.2.1\n");
    place.stale = Some("list.txt is no list today; this is the copy of yesterday".into());
    let rules = parse("rules.toml", BLOCK, &place).unwrap();
    assert_eq!(
        rules.troubles()[0].to_string(),
        "rules.toml:6:8: `file`: list.txt is no list today; this is the copy of yesterday"
    );
    assert!(rules.rule(0).unwrap().presumed.is_empty());
    assert_eq!(holds(&rules, &["192.0.2.1"]), [true]);
}

#[test]
fn a_set_of_a_million_prefixes_is_taken() {
    const COUNT: u32 = 1_000_000;
    let list: String = (0..COUNT)
        .map(|n| format!("{}/25\n", std::net::Ipv4Addr::from_bits(n << 8)))
        .collect();
    let rules = self::list(&list);
    assert_eq!(rules.set(0).unwrap().entries, COUNT as usize);
    let last = std::net::Ipv4Addr::from_bits((COUNT - 1) << 8);
    let [inside, behind] =
        [0, 128].map(|more| std::net::Ipv4Addr::from_bits(last.to_bits() + more).to_string());
    assert_eq!(
        holds(&rules, &["0.0.0.0", "0.0.0.128", &inside, &behind]),
        [true, false, true, false]
    );
}

/// Parses rules whose set has these lines.
fn subscribed(lines: &str) -> Result<Rules, String> {
    let text = format!(
        "[default]\ninbound = 'allow'\noutbound = 'allow'\n[[set]]\nid = 's'\n{lines}\n\
         [[rule]]\nid = 'a'\naction = 'block'\nsource = '@s'\n"
    );
    let place = Place::default().file(
        "https://lists.example.org/bad?key=1",
        "192.0.2.7\nnonsense\n",
    );
    parse("rules.toml", &text, &place).map_err(|errors| errors.to_string())
}

#[test]
fn a_set_subscribes_to_a_list_by_an_address_with_tls_and_says_when_it_is_fetched_again() {
    let rules = subscribed("url = 'https://lists.example.org/bad?key=1'").unwrap();
    let set = rules.set(0).unwrap();
    let list = set.subscription.as_ref().unwrap();
    assert_eq!((list.refresh.as_secs(), set.entries), (86_400, 1));
    assert_eq!(list.shown(), "https://lists.example.org/bad");
    assert_eq!(holds(&rules, &["192.0.2.7", "192.0.2.8"]), [true, false]);
    assert_eq!((rules.troubles().len(), said(&rules).len()), (0, 1));
    for (refresh, seconds) in [("5m", 300), ("12h", 43_200), ("30d", 2_592_000)] {
        let line = format!("url = 'https://a.example/'\nrefresh = '{refresh}'");
        let rules = subscribed(&line).unwrap();
        let list = rules.set(0).unwrap().subscription.clone().unwrap();
        assert_eq!(list.refresh.as_secs(), seconds);
    }
    for (lines, said) in [
        ("url = 'http://a.example/'", "does not begin with https://"),
        ("url = 'ftp://a.example/'", "does not begin with https://"),
        (
            "url = 'https://me:secret@a.example/'",
            "a name or a password",
        ),
        ("url = 'https:///list'", "is no address of a list"),
        ("url = 'https://a.example/a b'", "is no address of a list"),
        ("url = 'https://a.example/#here'", "is no address of a list"),
        ("url = 7", "url"),
        (
            "url = 'https://a.example/'\nrefresh = '4m'",
            "from \"5m\" to \"30d\"",
        ),
        (
            "url = 'https://a.example/'\nrefresh = '31d'",
            "from \"5m\" to \"30d\"",
        ),
        (
            "url = 'https://a.example/'\nrefresh = 3600",
            "from \"5m\" to \"30d\"",
        ),
        ("url = 'https://a.example/'\nfile = 'list.txt'", "not both"),
        (
            "addresses = []\nrefresh = '1d'",
            "`refresh` goes with `url`",
        ),
    ] {
        let wrong = subscribed(lines).unwrap_err();
        assert!(wrong.contains(said), "{lines}: {wrong}");
    }
    let many: String = (0..65)
        .map(|n| format!("[[set]]\nid = '{n}'\nurl = 'https://a.example/{n}'\n"))
        .collect();
    let text = format!("[default]\ninbound = 'block'\noutbound = 'allow'\n{many}");
    let wrong = parse("rules.toml", &text, &Place::default()).unwrap_err();
    assert!(wrong.to_string().contains("at most 64 lists"), "{wrong}");
}

#[test]
fn a_list_that_was_never_fetched_is_trouble_and_the_rules_hold_on_their_safe_side() {
    let rules =
        subscribed("url = 'https://new.example/list?key=secret'\nexcept = '192.0.2.0/24'").unwrap();
    let set = rules.set(0).unwrap();
    assert!(set.is_awaited && set.trouble.is_some());
    let [trouble] = rules.troubles() else {
        panic!("{:?}", rules.troubles());
    };
    let trouble = trouble.to_string();
    assert!(trouble.contains("has not been fetched yet"), "{trouble}");
    assert!(!trouble.contains("secret"), "{trouble}");
    let presumed = &rules.iter().next().unwrap().presumed.sources;
    let holds = |address: &str| {
        let address = address.parse().unwrap();
        presumed.iter().any(|span| span.contains(address))
    };
    assert!(holds("198.51.100.1") && holds("2001:db8::1") && !holds("192.0.2.1"));
}

#[test]
fn a_fetched_list_that_unpacks_without_end_is_given_up_at_its_bound() {
    let packed = |length: u64| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::copy(&mut std::io::repeat(b'\n').take(length), &mut packer).unwrap();
        packer.finish().unwrap()
    };
    assert_eq!(unpacked_list(&packed(1000)).unwrap().len(), 1000);
    let bomb = packed(MOST_OF_FETCHED + 1);
    assert!(bomb.len() < 1 << 20);
    assert!(
        unpacked_list(&bomb)
            .unwrap_err()
            .contains("larger than 64 MiB")
    );
    assert!(unpacked_list(&vec![b'\n'; MOST_OF_FETCHED as usize + 1]).is_err());
}
