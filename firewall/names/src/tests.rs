//! Answers of every kind, good and bad, and the names that are kept of them.

use super::*;
use proptest::prelude::*;
use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Makes an answer to a query for this name.
fn reply(name: &'static str) -> Packet<'static> {
    let mut packet = Packet::new_reply(7);
    packet.set_flags(PacketFlag::RESPONSE);
    packet.questions.push(Question::new(
        Name::new(name).unwrap(),
        QTYPE::TYPE(TYPE::A),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet
}

fn record(name: &'static str, ttl: u32, rdata: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, ttl, rdata)
}

fn a(name: &'static str, ttl: u32, address: [u8; 4]) -> ResourceRecord<'static> {
    let address = Ipv4Addr::from(address).into();
    record(name, ttl, RData::A(A { address }))
}

fn leads(name: &'static str, ttl: u32, to: &'static str) -> ResourceRecord<'static> {
    record(name, ttl, RData::CNAME(CNAME(Name::new(to).unwrap())))
}

fn said(packet: &Packet<'_>) -> Result<Answered, Unread> {
    read(&packet.build_bytes_vec_compressed().unwrap())
}

fn answered(name: &str, addresses: &[(IpAddr, u32)]) -> Answered {
    Answered {
        id: 7,
        name: name.to_owned(),
        addresses: addresses.to_vec(),
    }
}

fn v4(last: u16) -> IpAddr {
    let [high, low] = last.to_be_bytes();
    Ipv4Addr::new(192, 0, high, low).into()
}

#[test]
fn an_answer_names_its_addresses_of_both_versions() {
    let mut packet = reply("Example.ORG");
    packet.answers.push(a("example.org", 60, [192, 0, 2, 7]));
    packet.answers.push(a("example.org", 30, [192, 0, 2, 8]));
    let six = Ipv6Addr::LOCALHOST.to_bits() | 0xfd77 << 112;
    packet.answers.push(record(
        "example.org",
        90,
        RData::AAAA(AAAA { address: six }),
    ));
    let six = IpAddr::V6(Ipv6Addr::from_bits(six));
    let all = [(v4(0x207), 60), (v4(0x208), 30), (six, 90)];
    assert_eq!(said(&packet), Ok(answered("example.org", &all)));
}

#[test]
fn the_name_that_was_asked_for_stands_for_what_its_chain_leads_to_and_for_nothing_else() {
    let mut packet = reply("www.example.org");
    packet
        .answers
        .push(a("cdn.example.net", 60, [192, 0, 2, 7]));
    packet
        .answers
        .push(leads("www.example.org", 20, "lb.example.net"));
    packet
        .answers
        .push(a("elsewhere.example", 60, [192, 0, 2, 9]));
    packet
        .answers
        .push(leads("lb.example.net", 300, "CDN.example.net"));
    let only = answered("www.example.org", &[(v4(0x207), 20)]);
    assert_eq!(said(&packet), Ok(only));
}

#[test]
fn a_chain_without_an_end_and_an_answer_to_another_question_name_nothing() {
    let mut packet = reply("a.example");
    packet.answers.push(leads("a.example", 60, "b.example"));
    packet.answers.push(leads("b.example", 60, "a.example"));
    packet.answers.push(a("a.example", 60, [192, 0, 2, 7]));
    assert_eq!(said(&packet), Err(Unread::Broken));
    let mut packet = reply("a.example");
    packet.answers.push(a("bank.example", 60, [192, 0, 2, 7]));
    assert_eq!(said(&packet), Err(Unread::NoAddress));
}

#[test]
fn a_question_a_refusal_and_nobodys_address_name_nothing() {
    let with = |change: fn(&mut Packet<'_>)| {
        let mut packet = reply("a.example");
        packet.answers.push(a("a.example", 60, [192, 0, 2, 7]));
        change(&mut packet);
        said(&packet)
    };
    assert!(with(|_| {}).is_ok());
    let question = with(|packet| packet.remove_flags(PacketFlag::RESPONSE));
    assert_eq!(question, Err(Unread::Broken));
    let refusal = with(|packet| *packet.rcode_mut() = RCODE::NameError);
    assert_eq!(refusal, Err(Unread::NoAddress));
    let two = with(|packet| packet.questions.push(packet.questions[0].clone()));
    assert_eq!(two, Err(Unread::Broken));
    for address in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 251], [255; 4]] {
        let mut packet = reply("ads.example");
        packet.answers.push(a("ads.example", 60, address));
        assert_eq!(said(&packet), Err(Unread::NoAddress), "{address:?}");
    }
}

#[test]
fn what_a_terminal_would_obey_stands_there_by_its_number() {
    let mut packet = reply(r"\027[2Ja\.b\195\164.evil_-1.example");
    packet.answers.push(a(
        r"\027[2Ja\.b\195\164.evil_-1.example",
        60,
        [192, 0, 2, 7],
    ));
    let name = said(&packet).unwrap().name;
    assert_eq!(name, r"\027\0912ja\046b\195\164.evil_-1.example");
}

#[test]
fn a_name_that_is_longer_shown_than_any_may_be_is_none() {
    let label = r"\001".repeat(40);
    let name: &'static str = format!("{label}.{label}.example").leak();
    let mut packet = reply(name);
    packet.answers.push(a(name, 60, [192, 0, 2, 7]));
    assert_eq!(said(&packet), Err(Unread::NoAddress));
}

#[test]
fn a_pointer_to_itself_is_refused() {
    let mut packet = reply("a.example");
    packet.answers.push(a("a.example", 60, [192, 0, 2, 7]));
    let mut bytes = packet.build_bytes_vec_compressed().unwrap();
    let at = bytes
        .windows(2)
        .position(|pair| pair == [0xc0, 12])
        .unwrap();
    bytes[at + 1] = u8::try_from(at).unwrap();
    assert_eq!(read(&bytes), Err(Unread::Broken));
}

#[test]
fn a_message_is_taken_out_of_its_packet_if_all_of_it_is_there() {
    let said = b"what DNS says";
    let length = u16::try_from(8 + said.len()).unwrap().to_be_bytes();
    let datagram = [&[0, 53, 1, 2][..], &length, &[0, 0], said].concat();
    let mut four = vec![0; 24];
    (four[0], four[9]) = (0x46, 17);
    four.extend(&datagram);
    let mut six = vec![0; 40];
    (six[0], six[6]) = (0x60, 17);
    six.extend(&datagram);
    for packet in [four, six] {
        assert_eq!(message(&packet).map(|(_, said)| said), Some(&said[..]));
        assert_eq!(message(&packet[..packet.len() - 1]), None);
        let (mut other_port, at) = (packet.clone(), packet.len() - datagram.len());
        other_port[at + 1] = 54;
        assert_eq!(message(&other_port), None);
        let mut shorter_than_its_header = packet;
        shorter_than_its_header[at + 5] = 7;
        assert_eq!(message(&shorter_than_its_header), None);
    }
}

#[test]
fn a_name_is_kept_for_its_time_and_not_for_less_than_minutes_nor_more_than_a_day() {
    let now = Instant::now();
    let mut cache = Cache::default();
    let times = [(v4(1), 1), (v4(2), 1000), (v4(3), u32::MAX)];
    cache.learn(&answered("a.example", &times), now);
    let knows = |address, after| cache.name_of(address, now + after).is_some();
    let second = Duration::from_secs(1);
    for (address, holds) in [
        (v4(1), SHORTEST_CACHED),
        (v4(2), 1000 * second),
        (v4(3), LONGEST_CACHED),
    ] {
        assert!(knows(address, holds - second) && !knows(address, holds));
    }
    let (left, _) = cache.since(0, now + SHORTEST_CACHED);
    assert_eq!(left.len(), 2, "what is over is not told");
}

#[test]
fn the_last_answer_names_an_address_and_only_what_is_new_is_told_again() {
    let now = Instant::now();
    let mut cache = Cache::default();
    cache.learn(&answered("a.example", &[(v4(1), 60), (v4(2), 60)]), now);
    let (all, turn) = cache.since(0, now);
    assert_eq!(all.len(), 2);
    assert_eq!(cache.since(turn, now), (vec![], turn));
    cache.learn(&answered("b.example", &[(v4(1), 60)]), now);
    let (new, _) = cache.since(turn, now);
    assert_eq!((new.len(), &*new[0].name), (1, "b.example"));
    assert_eq!(cache.name_of(v4(1), now).as_deref(), Some("b.example"));
    assert_eq!(cache.name_of(v4(2), now).as_deref(), Some("a.example"));
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 0, 2).to_ipv6_mapped());
    assert!(cache.name_of(mapped, now).is_some(), "as records have it");
}

#[test]
fn whoever_is_answered_with_more_than_there_is_room_for_pushes_out_his_own_and_then_the_oldest() {
    let now = Instant::now();
    let mut cache = Cache::default();
    cache.learn(&answered("other.example", &[(v4(60_000), 60)]), now);
    for last in 0..1000 {
        cache.learn(&answered("flood.example", &[(v4(last), 60)]), now);
    }
    assert_eq!(cache.len(), 1 + MOST_CACHED_OF_A_NAME);
    assert!(cache.name_of(v4(60_000), now).is_some());
    for last in 0..10_000 {
        cache.learn(
            &answered(&format!("n{last}.example"), &[(v4(last), 60)]),
            now,
        );
    }
    assert_eq!(cache.len(), MOST_CACHED);
    assert!(cache.name_of(v4(60_000), now).is_none(), "the oldest went");
    assert!(cache.name_of(v4(9_999), now).is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..1280)) {
        let _none = message(&bytes).map(|(_, said)| read(said));
        let _none = sent(&bytes).map(|(_, said)| question(said));
        let _none = read(&bytes);
    }

    /// A valid answer with some bytes changed: what is read of it may be shown.
    #[test]
    fn what_is_read_of_a_broken_answer_can_be_shown(changes in proptest::collection::vec((0_usize..120, any::<u8>()), 0..8)) {
        let mut packet = reply("www.example.org");
        packet.answers.push(leads("www.example.org", 20, "cdn.example.net"));
        packet.answers.push(a("cdn.example.net", 60, [192, 0, 2, 7]));
        let mut bytes = packet.build_bytes_vec_compressed().unwrap();
        for (at, byte) in changes {
            if let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
        }
        if let Ok(answered) = read(&bytes) {
            let shown = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.\\".contains(c);
            prop_assert!(answered.name.len() <= LONGEST_DNS_NAME && answered.name.chars().all(shown));
        }
    }
}

/// Makes the endpoints of a query from this port.
fn ends(port: u16) -> DnsExchange {
    DnsExchange {
        client: v4(1),
        port,
        resolver: v4(53),
        device: 0,
    }
}

#[test]
fn an_answer_is_believed_once_and_by_its_number_its_name_and_its_ends() {
    let now = Instant::now();
    let asked = || Asked {
        id: 7,
        name: "example.org".to_owned(),
    };
    let answer = answered("example.org", &[(v4(7), 60)]);
    let mut questions = Questions::default();
    assert!(!questions.is_answer(ends(4000), &answer, now), "unasked");
    questions.ask(ends(4000), asked(), now);
    let other_number = Answered {
        id: 8,
        ..answer.clone()
    };
    let other_resolver = DnsExchange {
        resolver: v4(54),
        ..ends(4000)
    };
    assert!(!questions.is_answer(ends(4000), &other_number, now));
    assert!(!questions.is_answer(ends(4001), &answer, now));
    assert!(!questions.is_answer(other_resolver, &answer, now));
    assert!(!questions.is_answer(ends(4000).by(4), &answer, now));
    assert!(!questions.is_answer(ends(4000), &answered("example.net", &[]), now));
    assert!(questions.is_answer(ends(4000), &answer, now));
    assert!(!questions.is_answer(ends(4000), &answer, now), "twice");
    questions.ask(ends(4000), asked(), now);
    assert!(!questions.is_answer(ends(4000), &answer, now + QUESTION_WAITS));
    // The oldest makes room.
    questions.ask(ends(1), asked(), now);
    for port in 0..MOST_QUESTIONS {
        questions.ask(ends(5000 + port as u16), asked(), now);
    }
    assert!(!questions.is_answer(ends(1), &answer, now));
    assert!(questions.is_answer(ends(5000), &answer, now));
}

#[test]
fn what_a_name_has_holds_for_its_time_and_is_bounded_for_each_name_and_in_all() {
    let now = Instant::now();
    let after = |seconds| now + Duration::from_secs(seconds);
    let resolver = Answerer {
        address: v4(53),
        is_own: true,
    };
    let mut remembered = Remembered::default();
    let holds = remembered.learn(&answered("a.example", &[(v4(7), 5)]), resolver, now);
    assert_eq!(holds[0].until, now + HOLD_GRACE + Duration::from_secs(5));
    let long = answered("a.example", &[(v4(8), u32::MAX)]);
    let holds = remembered.learn(&long, resolver, now);
    assert_eq!(holds[0].until, now + LONGEST_HOLD);
    assert_eq!(remembered.all(after(19)).count(), 2);
    assert_eq!(remembered.all(after(20)).count(), 1);
    let many: Vec<_> = (0..=MOST_REMEMBERED_OF_ONE as u16)
        .map(|n| (v4(n), 60))
        .collect();
    let holds = remembered.learn(&answered("b.example", &many), resolver, now);
    assert_eq!(
        holds.len(),
        MOST_REMEMBERED_OF_ONE + 1,
        "they hold all the same"
    );
    assert_eq!(remembered.all(now).count(), 2 + MOST_REMEMBERED_OF_ONE);
    for n in 0..MOST_REMEMBERED as u16 {
        let one = answered(&format!("{n}.example"), &[(v4(n), 60)]);
        remembered.learn(&one, resolver, now);
    }
    assert_eq!(remembered.all(now).count(), MOST_REMEMBERED);
    // What is over makes room.
    let one = answered("new.example", &[(v4(1), 60)]);
    remembered.learn(&one, resolver, after(80));
    let all: Vec<_> = remembered.all(after(80)).collect();
    assert_eq!(all.len(), 2, "{all:?}");
}

#[test]
fn a_question_is_read_with_its_number_its_name_and_who_asks_whom() {
    let mut packet = Packet::new_query(9);
    packet.questions.push(Question::new(
        Name::new("Example.ORG").unwrap(),
        QTYPE::TYPE(TYPE::A),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    let message = packet.build_bytes_vec().unwrap();
    let length = (8 + message.len() as u16).to_be_bytes();
    let head = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    let ports = [4000_u16, 53].map(u16::to_be_bytes).concat();
    let datagram = [
        &head[..],
        &[192, 0, 0, 1, 192, 0, 0, 53],
        &ports,
        &length,
        &[0, 0],
        &message,
    ]
    .concat();
    let (asks, read) = sent(&datagram).unwrap();
    assert_eq!((asks, read), (ends(4000), &message[..]));
    assert_eq!(super::message(&datagram), None);
    let asked = question(read).unwrap();
    assert_eq!((asked.id, asked.name.as_str()), (9, "example.org"));
    assert_eq!(super::read(read), Err(Unread::Broken), "it is no answer");
}

/// Reads an answer whose bytes are changed at one place.
fn said_with(packet: &Packet<'_>, at: usize, byte: u8) -> Result<Answered, Unread> {
    let mut bytes = packet.build_bytes_vec().unwrap();
    bytes[at] = byte;
    read(&bytes)
}

#[test]
fn an_answer_about_anything_but_the_addresses_of_the_internet_names_nothing() {
    let mut packet = reply("a.example");
    packet.answers.push(a("a.example", 60, [192, 0, 2, 7]));
    let bytes = packet.build_bytes_vec().unwrap();
    assert!(said_with(&packet, 2, bytes[2]).is_ok(), "as it is");
    // An answer to an inverse question, or to one about the server's state.
    for opcode in [1, 2] {
        let other = said_with(&packet, 2, bytes[2] | opcode << 3);
        assert_eq!(other, Err(Unread::Broken), "{opcode}");
    }
    // The class of the question stands behind its name and its type; that of the record likewise.
    let of_question = 12 + b"\x01a\x07example\0".len() + 3;
    let of_record = bytes.len() - (4 + 2 + 4 + 1);
    for of_class in [of_question, of_record] {
        assert_eq!(bytes[of_class], 1);
        let of_chaos = said_with(&packet, of_class, 3);
        assert_eq!(of_chaos, Err(Unread::NoAddress), "{of_class}");
    }
}

#[test]
fn an_address_is_named_once_and_a_mapped_one_as_the_one_that_it_stands_for() {
    let mut packet = reply("a.example");
    let of_v6 = |ttl, address: Ipv6Addr| {
        let address = address.to_bits();
        record("a.example", ttl, RData::AAAA(AAAA { address }))
    };
    let mapped = Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped();
    let loopback = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    packet.answers = vec![
        a("a.example", 60, [192, 0, 2, 7]),
        a("a.example", 90, [192, 0, 2, 7]),
        of_v6(30, mapped),
        of_v6(30, loopback),
        of_v6(30, Ipv6Addr::LOCALHOST),
        of_v6(30, Ipv6Addr::UNSPECIFIED),
        of_v6(30, Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0xFB)),
    ];
    let only = answered("a.example", &[(v4(0x207), 60)]);
    assert_eq!(said(&packet), Ok(only));
}

#[test]
fn a_chain_of_sixteen_names_is_followed_and_a_longer_one_is_not() {
    for (links, expected) in [(16, Ok(())), (17, Err(Unread::Broken))] {
        let name = |n: usize| -> &'static str { format!("n{n}.example").leak() };
        let mut packet = reply("n0.example");
        for n in 0..links {
            packet.answers.push(leads(name(n), 60, name(n + 1)));
        }
        packet.answers.push(a(name(links), 60, [192, 0, 2, 7]));
        assert_eq!(said(&packet).map(drop), expected, "{links}");
    }
}

#[test]
fn what_asks_for_no_name_or_is_an_answer_is_no_question() {
    let query = |names: &[&'static str]| {
        let mut packet = Packet::new_query(9);
        for name in names {
            packet.questions.push(Question::new(
                Name::new(name).unwrap(),
                QTYPE::TYPE(TYPE::A),
                QCLASS::CLASS(CLASS::IN),
                false,
            ));
        }
        packet.build_bytes_vec().unwrap()
    };
    let one = query(&["a.example"]);
    assert_eq!(question(&one).map(|asked| asked.id), Ok(9));
    assert_eq!(question(&query(&[])), Err(Unread::Broken));
    let two = query(&["a.example", "b.example"]);
    assert_eq!(question(&two), Err(Unread::Broken));
    // An answer; questions of other kinds.
    for bits in [0x80, 1 << 3, 2 << 3] {
        let mut other = one.clone();
        other[2] |= bits;
        assert_eq!(question(&other), Err(Unread::Broken), "{bits:#x}");
    }
}

#[test]
fn a_message_is_between_its_packets_ends_in_either_direction() {
    let datagram = |from: u16, to: u16| {
        let ports = [from, to].map(u16::to_be_bytes).concat();
        [&ports[..], &[0, 9, 0, 0, 0xAB]].concat()
    };
    let four = |from, to| {
        let head = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
        let ends = [192, 0, 0, from, 192, 0, 0, to];
        [&head[..], &ends].concat()
    };
    let of_v6 = |last| Ipv6Addr::new(0xFD77, 0, 0, 1, 2, 0, 0, last);
    let six = |from: u8, to: u8| {
        let ends = [from, to].map(|last| of_v6(last.into()).octets()).concat();
        [&[0x60, 0, 0, 0, 0, 9, 17, 64][..], &ends].concat()
    };
    let (client, resolver) = (1_u8, 53_u8);
    for is_v6 in [false, true] {
        let ip = |from, to| if is_v6 { six(from, to) } else { four(from, to) };
        let address = |last: u8| match is_v6 {
            true => IpAddr::from(of_v6(last.into())),
            false => v4(last.into()),
        };
        let expected = DnsExchange {
            client: address(client),
            port: 4000,
            resolver: address(resolver),
            device: 0,
        };
        let asks = [ip(client, resolver), datagram(4000, 53)].concat();
        let says = [ip(resolver, client), datagram(53, 4000)].concat();
        assert_eq!(sent(&asks), Some((expected, &[0xAB][..])));
        assert_eq!(message(&says), Some((expected, &[0xAB][..])));
        assert_eq!((message(&asks), sent(&says)), (None, None));
        let protocol = if is_v6 { 6 } else { 9 };
        for (at, byte) in [(protocol, 6), (0, 0x55)] {
            let mut other = asks.clone();
            other[at] = byte;
            assert_eq!(sent(&other), None, "{at}");
        }
    }
}

#[test]
fn a_question_that_was_repeated_waits_from_then_on() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let asked = || Asked {
        id: 7,
        name: "example.org".to_owned(),
    };
    let answer = answered("example.org", &[]);
    let mut questions = Questions::default();
    questions.ask(ends(1), asked(), after(0));
    questions.ask(ends(1), asked(), after(20));
    // By now the first is over.
    questions.ask(ends(2), asked(), after(30));
    assert!(!questions.is_answer(ends(1), &answer, after(50)));
    questions.ask(ends(1), asked(), after(60));
    questions.ask(ends(1), asked(), after(80));
    questions.ask(ends(2), asked(), after(90));
    assert!(questions.is_answer(ends(1), &answer, after(109)));
}
