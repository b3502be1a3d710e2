//! Packets to a published port: one of the machine's own, translated to another machine's, a container's for example.

use firewall_abi::packet::{Decision, Reason, Verdict};

/// Returns whether a forwarded packet with this decision is classified once more, as a packet to the machine: so it is
/// only if the default policy decided.
#[must_use]
#[inline(always)]
pub const fn asks_again(forwarded: &Decision) -> bool {
    forwarded.reason == Reason::Default as u8
}

/// Turns the decision on the packet as one sent to the machine into one on the forwarded packet, and returns whether it
/// is to be taken: only a rule's is. `own` says whether the packet was sent to an address of the machine's own; `None`:
/// that can't be known, which opens nothing.
#[must_use]
#[inline(always)]
pub const fn decides(sent: &mut Decision, own: Option<bool>) -> bool {
    if sent.reason != Reason::Rule as u8 {
        return false;
    }
    // Nobody at this machine can be asked about what it only forwards,
    // and an answer would come from another address than was asked.
    if sent.verdict != Verdict::Allow as u8 {
        sent.verdict = Verdict::Block as u8;
        return !matches!(own, Some(false));
    }
    matches!(own, Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(reason: Reason, verdict: Verdict) -> Decision {
        Decision {
            reason: reason as u8,
            verdict: verdict as u8,
            ..Decision::default()
        }
    }

    #[test]
    fn a_rule_opens_a_published_port_only_of_an_address_that_is_known_to_be_the_machines_own() {
        for (own, allows, blocks) in [
            (Some(true), true, true),
            (Some(false), false, false),
            (None, false, true),
        ] {
            for (verdict, expected) in [
                (Verdict::Allow, allows),
                (Verdict::Block, blocks),
                (Verdict::Ask, blocks),
                (Verdict::Reject, blocks),
                (Verdict::Socket, blocks),
            ] {
                let mut sent = said(Reason::Rule, verdict);
                assert_eq!(decides(&mut sent, own), expected, "{verdict:?}, {own:?}");
                let allowed = sent.verdict == Verdict::Allow as u8;
                assert_eq!(allowed, verdict == Verdict::Allow);
                assert!(!decides(&mut said(Reason::Default, verdict), own));
            }
        }
        assert!(asks_again(&said(Reason::Default, Verdict::Block)));
        assert!(!asks_again(&said(Reason::Rule, Verdict::Block)));
        assert!(!asks_again(&said(Reason::Malformed, Verdict::Block)));
    }
}
