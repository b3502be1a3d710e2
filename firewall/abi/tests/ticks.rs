//! The clock of connections, for the lengths of a tick that kernels are built with.

use firewall_abi::firewall::Ticks;

#[test]
fn ticks_count_from_five_minutes_before_they_would_fill_32_bits() {
    const SECOND: u64 = 1_000_000_000;
    // 100, 250 and 1000 in a second.
    for length_ns in [10_000_000, 4_000_000, 1_000_000] {
        let ticks = Ticks::of(length_ns);
        assert_eq!(ticks.nanoseconds(ticks.start), 0);
        assert_eq!(ticks.nanoseconds(1 << 32), 300 * SECOND, "{length_ns}");
    }
    // 300 in a second is no whole number of nanoseconds.
    assert_eq!(
        Ticks::of(3_333_333).nanoseconds(1 << 32) / 1_000_000,
        299_999
    );
}

#[test]
fn a_tick_of_any_length_is_taken() {
    for length_ns in [0, 1, u64::MAX] {
        let _some_time = Ticks::of(length_ns).nanoseconds(u64::MAX);
    }
}
