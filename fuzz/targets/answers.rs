//! Fuzzes answers of DNS, as packets that anybody sends: read, kept, and asked for.
#![no_main]

use gatebell_fuzz::Bytes;
use names::{
    Answered, Cache, LONGEST_DNS_NAME, MOST_CACHED, MOST_CACHED_OF_A_NAME, Segment, Streams,
    message, question, read,
};
use std::time::{Duration, Instant};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| any_answers_name_addresses_or_nothing(bytes));

fn any_answers_name_addresses_or_nothing(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut cache = Cache::default();
    let mut streams = Streams::default();
    let mut now = Instant::now();
    let mut learned = 0;
    while !bytes.is_empty() {
        let (minutes, length) = (bytes.byte(), u16::from_le_bytes(bytes.array()));
        now += Duration::from_secs(60) * u32::from(minutes);
        let packet = bytes.take(length.into());
        if let Some(segment) = Segment::of(packet, 1) {
            for (_, _, said) in streams.take(&segment, now).messages {
                let _any = question(&said);
                let _any = read(&said).inspect(can_be_shown);
            }
        }
        // Behind the headers of a packet, and as a message by itself.
        for said in message(packet)
            .map(|(_, said)| said)
            .into_iter()
            .chain([packet])
        {
            if let Ok(answered) = read(said) {
                can_be_shown(&answered);
                learned += answered.addresses.len();
                cache.learn(&answered, now);
                is_kept(&cache, &answered, now);
            }
        }
        assert!(cache.len() <= learned.min(MOST_CACHED));
    }
    let (all, _) = cache.since(0, now);
    assert!(all.len() <= cache.len());
    for one in &all {
        assert_eq!(cache.name_of(one.address, now), Some(one.name.clone()));
    }
}

fn can_be_shown(answered: &Answered) {
    let name = &answered.name;
    assert!(
        !name.is_empty() && name.len() <= LONGEST_DNS_NAME,
        "{name:?}"
    );
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    assert!(!answered.addresses.is_empty());
    for (address, _) in &answered.addresses {
        let nobodys = address.is_unspecified() || address.is_loopback() || address.is_multicast();
        assert!(!nobodys && *address == address.to_canonical(), "{address}");
    }
}

/// Checks that the first addresses, which a program tries, stay in the cache.
fn is_kept(cache: &Cache, answered: &Answered, now: Instant) {
    for (address, _) in answered.addresses.iter().take(MOST_CACHED_OF_A_NAME) {
        let name = cache.name_of(*address, now);
        assert_eq!(name.as_deref(), Some(answered.name.as_str()));
    }
}
