//! Where the driver's devices stand: whatever their numbers are, each of a zone's finds a slot.

use firewall_abi::firewall::{DEVICE_SLOTS, DEVICE_TRIES, device_slot};
use std::collections::HashSet;

/// How many of these devices find none of their slots free, one after the other.
fn left_out(numbers: impl Iterator<Item = u32>) -> usize {
    let mut taken = HashSet::new();
    let mut finds =
        |number| (0..DEVICE_TRIES).any(|attempt| taken.insert(device_slot(number, attempt)));
    numbers.filter(|number| !finds(*number)).count()
}

#[test]
fn devices_whose_numbers_count_up_all_find_a_slot() {
    assert_eq!(left_out(1..=DEVICE_SLOTS), 0);
    assert_eq!(left_out(u32::MAX - 1000..=u32::MAX), 0);
}

#[test]
fn devices_that_want_the_same_slot_find_others() {
    assert_eq!(left_out((0..200).map(|n| 5 + n * DEVICE_SLOTS)), 0);
    let far: HashSet<u32> = (0..DEVICE_TRIES)
        .map(|attempt| device_slot(5 + DEVICE_SLOTS, attempt))
        .collect();
    assert_eq!(far.len(), DEVICE_TRIES as usize);
}
