//! Network devices by name, by a prefix of names, or by what they lead to.

use firewall_abi::packet::{GUESTS, MAYBE_GUESTS, name_words};

/// Wildcard for any further letters, at the end of a name.
pub(crate) const ANY: char = '*';

/// First letter of words that are no names.
pub(crate) const KIND: char = '@';

/// Word for bridges that lead to guests of this machine alone.
pub(crate) const GUESTS_WORD: &str = "@guests";

/// Returns the devices that a rule's word stands for, as ranges of [`device_words`], both ends included. A device of
/// which it can't be known whether it leads to guests is one of them for a rule that does not open: not knowing opens
/// nothing.
pub(crate) fn names(word: &str, opens: bool) -> Vec<(u128, u128)> {
    if word == GUESTS_WORD {
        let last = if opens { KINDS[1] } else { KINDS[2] };
        return vec![(KINDS[1], last | (KINDS[1] - 1))];
    }
    let (first, last) = match word.strip_suffix(ANY) {
        None => (value(word), value(word)),
        Some(start) => {
            // Behind the kind's byte.
            let letters = (1 + start.len()).min(size_of::<u128>());
            let rest = u128::MAX.checked_shr(8 * letters as u32).unwrap_or(0);
            (value(start), value(start) | rest)
        }
    };
    // Whatever it leads to.
    KINDS.map(|kind| (first | kind, last | kind)).to_vec()
}

/// Marks before names, by kind of device: none, guests, maybe guests.
const KINDS: [u128; 3] = [0, (GUESTS as u128) << 64, (MAYBE_GUESTS as u128) << 64];

/// Encodes a device as drivers do, by its name, or by the word for what it leads to. Returns `None` if the name is too
/// long.
#[must_use]
pub fn device_words(device: &str) -> Option<[u64; 2]> {
    if device == GUESTS_WORD {
        Some([GUESTS, 0])
    } else {
        name_words(device)
    }
}

/// Returns whether a rule's word for devices stands for this one, which [`device_words`] has encoded.
#[must_use]
pub fn names_device(word: &str, device: [u64; 2]) -> bool {
    let device = joined(device);
    let spans = names(word, true);
    spans
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&device))
}

fn value(name: &str) -> u128 {
    joined(name_words(name).unwrap_or_default())
}

fn joined([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_all_names_that_begin_so() {
        let is = |word: &str, name: &str| names_device(word, name_words(name).unwrap_or_default());
        for (word, name) in [
            ("eth0", "eth0"),
            ("eth*", "eth0"),
            ("eth*", "eth"),
            ("veth*", "veth0123456789a"),
            ("br-*", "br-0123456789ab"),
            ("br-0123456789a*", "br-0123456789ab"),
            ("br-0123456789ab*", "br-0123456789ab"),
        ] {
            assert!(is(word, name), "{word} {name}");
        }
        for (word, name) in [
            ("eth0", "eth00"),
            ("eth0", "eth"),
            ("eth*", "veth0"),
            ("eth*", "et"),
            ("br-*", "br0"),
            ("br-0123456789ab*", "br-0123456789ac"),
            ("eth*", ""),
        ] {
            assert!(!is(word, name), "{word} {name}");
        }
    }

    #[test]
    fn a_bridge_of_guests_has_its_name_and_its_kind() {
        let [high, low] = name_words("br-0123456789ab").unwrap_or_default();
        let is = |word: &str, opens: bool| {
            [GUESTS, MAYBE_GUESTS, 0].map(|kind| {
                let device = joined([high | kind, low]);
                let spans = names(word, opens);
                spans
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&device))
            })
        };
        for opens in [true, false] {
            for word in ["br-0123456789ab", "br-*"] {
                assert_eq!(is(word, opens), [true; 3], "{word}");
            }
            for word in ["br0*", "eth0"] {
                assert_eq!(is(word, opens), [false; 3], "{word}");
            }
            assert_eq!(is(GUESTS_WORD, opens), [true, !opens, false]);
        }
        let word = device_words(GUESTS_WORD).unwrap_or_default();
        assert!(names_device(GUESTS_WORD, word) && !names_device("eth0", word));
    }
}
