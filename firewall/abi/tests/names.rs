//! Names of network devices, encoded in two words.

use firewall_abi::packet::{name_until_end, name_words, process_name};

#[test]
fn a_device_s_name_ends_at_its_first_zero_whatever_stands_behind() {
    for length in 0..16 {
        let name = &"abcdefghijklmno"[..length];
        let whole = name_words(name).expect("it is short enough");
        let kept = process_name(name).expect("it is short enough");
        let mut bytes: [u8; 16] = zerocopy::transmute!(kept);
        bytes[length + 1..].fill(b'x');
        assert_eq!(name_until_end(zerocopy::transmute!(bytes)), whole, "{name}");
        bytes[length + 1..].fill(0x80);
        assert_eq!(name_until_end(zerocopy::transmute!(bytes)), whole, "{name}");
    }
}
