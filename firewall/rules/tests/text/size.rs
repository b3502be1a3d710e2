//! Memory of rules: their highest number, and the tables that they share.

use super::*;

#[test]
fn tables_share_their_sets_by_content() {
    let rule = |rest: &str| {
        let set = "[[set]]\nid='s'\naddresses=['192.0.2.0/24', '::1']\n[[rule]]\nid='a'\naction='block'\nsource='@s'\n";
        good(&format!("{set}{rest}")).compile(1)
    };
    let (one, other) = (
        rule(""),
        rule("[[rule]]\nid='b'\naction='block'\ndestination='@s'\n"),
    );
    let (one_sets, other_sets) = (one.sets.clone().unwrap(), other.sets.unwrap());
    assert_eq!(
        (one_sets.content, &one_sets.pages),
        (other_sets.content, &other_sets.pages)
    );
    let more = good(
        "[[set]]\nid='s'\naddresses='192.0.2.0/23'\n[[rule]]\nid='a'\naction='block'\nsource='@s'\n",
    );
    assert_ne!(one_sets.content, more.compile(1).sets.unwrap().content);
    let mut one = one;
    one.place_sets(5);
    assert_eq!(one.head().sets, 5);
    // A set that only a disabled rule asks for costs no packet anything.
    let off = good(
        "[[set]]\nid='s'\naddresses='::1'\n[[rule]]\nid='a'\naction='block'\nsource='@s'\nenabled=false\n",
    );
    assert_eq!(off.compile(1).sets, None);
}

/// Writes a file of so many rules, each for a port and an address of its own.
fn many(count: u32) -> String {
    let rule = |n: u32| {
        format!(
            "[[rule]]\nid='r{n}'\naction='block'\nprotocol='tcp'\nports={}\nsource='10.{}.{}.0/24'\n",
            n + 1,
            n >> 8,
            n & 255
        )
    };
    let rules: Vec<String> = (0..count).map(rule).collect();
    format!("{DEFAULTS}{}", rules.concat())
}

#[test]
fn as_many_rules_as_there_may_be_are_taken_and_one_more_is_refused_where_it_stands() {
    let rules = parse("rules.toml", &many(MAX_RULES), &here()).unwrap();
    let last = MAX_RULES - 1;
    let mut packet = [0; 40];
    packet[..20].copy_from_slice(&[
        0x45,
        0,
        0,
        40,
        0,
        0,
        0,
        0,
        64,
        6,
        0,
        0,
        10,
        (last >> 8) as u8,
        last as u8,
        1,
        1,
        1,
        1,
        1,
    ]);
    packet[22..24].copy_from_slice(&(last as u16 + 1).to_be_bytes());
    packet[32] = 0x50;
    let parsed = engine::parse(&packet[..], 40, Direction::Inbound);
    assert_eq!(
        engine::classify(&parsed, &PacketMeta::UNKNOWN, &rules.compile(1).slices()).rule,
        last
    );
    assert_eq!(rules.warnings(), []);
    let said = errors(&many(MAX_RULES + 1));
    let line = 4 + 6 * MAX_RULES + 1;
    assert_eq!(
        said,
        format!(
            "rules.toml:{line}:4: there are 16,129 rules, and 16,128 is the most; a rule may list many addresses and \
             ports, or a set"
        )
    );
}

#[test]
fn a_table_that_is_too_large_says_what_takes_the_room() {
    // Spans that overlap in another order at each end: wherever one begins or ends,
    // other rules are left than anywhere else.
    const COUNT: u32 = 8400;
    let rule = |n: u32| {
        let [a, b, c, d] = [1, 11, 13, 17].map(|step| n * step % COUNT);
        let v4 = |at: u32| {
            let [first, last] =
                [at, at + COUNT].map(|at| std::net::Ipv4Addr::from_bits(10 << 24 | at));
            format!("'{first}-{last}'")
        };
        let v6 = |at: u32| format!("'2001:db8::{at:x}-2001:db8::{:x}'", at + COUNT);
        let (from, to) = (
            format!("{},{}", v4(a), v6(b)),
            format!("{},{}", v4(c), v6(d)),
        );
        format!("[[rule]]\nid='r{n}'\naction='block'\nsource=[{from}]\ndestination=[{to}]\n")
    };
    let text = format!("{DEFAULTS}{}", (0..COUNT).map(rule).collect::<String>());
    let said = errors(&text);
    assert!(
        said.starts_with("rules.toml:1:1: these rules need more than 65,536 pages of memory"),
        "{said}"
    );
    assert!(
        said.contains("what takes them: IPv6 sources (16,990), IPv4 sources (16,868);"),
        "{said}"
    );
}
