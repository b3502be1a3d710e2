//! Devices by name or by how their names begin.

use firewall_abi::packet::name_words;

/// What stands for any further letters, at the end of a name.
pub(crate) const ANY: char = '*';

/// The names that a rule's word for devices stands for, as [`name_words`] has them: from the first to the last.
pub(crate) fn names(word: &str) -> (u128, u128) {
    let Some(start) = word.strip_suffix(ANY) else {
        let name = value(word);
        return (name, name);
    };
    let first = value(start);
    let letters = start.len().min(size_of::<u128>());
    let rest = u128::MAX.checked_shr(8 * letters as u32).unwrap_or(0);
    (first, first | rest)
}

/// Whether a rule's word for devices stands for this one, which is named as [`name_words`] has it.
#[must_use]
pub fn names_device(word: &str, device: [u64; 2]) -> bool {
    let (first, last) = names(word);
    (first..=last).contains(&joined(device))
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
}
