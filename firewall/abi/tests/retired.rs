//! Slots of ended connections in the table of retired ones.

use firewall_abi::firewall::{FlowKey, MAX_RETIRED, first_retired_slot};
use std::collections::HashMap;

#[test]
fn ended_connections_stand_all_over_and_nobody_outside_can_choose_where() {
    let keys = (1..=8192).map(|local_port| FlowKey {
        local: [10; 16],
        remote: [11; 16],
        local_port,
        remote_port: 443,
        protocol: 6,
    });
    let keys: Vec<FlowKey> = keys.collect();
    let (mut shared, mut moved) = (HashMap::<u32, u32>::new(), 0);
    for key in &keys {
        let slot = first_retired_slot(key, 7);
        assert!(slot.is_multiple_of(2) && slot < MAX_RETIRED as u32);
        *shared.entry(slot).or_default() += 1;
        moved += u32::from(first_retired_slot(key, 8) != slot);
    }
    // As many as there are pairs of slots: of numbers drawn at random some ten would share the fullest.
    let fullest = shared.values().max().copied().unwrap_or_default();
    assert!(fullest <= 12, "{fullest} of them share one pair");
    assert!(shared.len() > 4500, "{} pairs are used", shared.len());
    assert!(moved > 8000, "another seed moves them: {moved}");
}
