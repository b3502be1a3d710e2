//! Packets that a kernel itself sends to keep its link.

use crate::headers::protocol::{ICMPV6, IGMP};
use crate::{Parsed, Shape};
use firewall_abi::packet::{
    Decision, Direction, NO_RULE, PacketHeaders, PacketMeta, Reason, Verdict,
};

/// Returns whether a packet may keep the link: IPv6 neighbour discovery (RFC 4861: addresses of neighbours and routers,
/// and the machine's own), and reports of group membership (RFC 2710 and 3810, of IPv4 IGMP).
#[must_use]
#[inline(always)]
pub const fn may_keep_the_link(flow: &PacketHeaders) -> bool {
    const REPORT: u16 = 131;
    const DONE: u16 = 132;
    const ROUTER_SOLICITATION: u16 = 133;
    const NEIGHBOUR_SOLICITATION: u16 = 135;
    const NEIGHBOUR_ADVERTISEMENT: u16 = 136;
    const REPORT_V2: u16 = 143;
    if flow.direction != Direction::Outbound as u8 {
        return false;
    }
    match flow.protocol {
        ICMPV6 => matches!(
            flow.source_port,
            REPORT
                | DONE
                | ROUTER_SOLICITATION
                | NEIGHBOUR_SOLICITATION
                | NEIGHBOUR_ADVERTISEMENT
                | REPORT_V2
        ),
        IGMP => true,
        _ => false,
    }
}

/// Lets a packet that keeps the link pass if the kernel sends it, and not a program by a socket of its own: neither
/// does a default refuse it nor is anybody asked about it. A rule that blocks it does.
#[inline(always)]
pub fn stay_on_the_link(
    Parsed { flow, shape }: &Parsed,
    local: &PacketMeta,
    decision: &mut Decision,
) {
    let asks = decision.verdict == Verdict::Ask as u8;
    if (asks || is_refused_by_default(decision))
        && *shape == Shape::Whole
        && may_keep_the_link(flow)
        && local.knows_who()
        && local.program == PacketMeta::KERNEL
    {
        decision.rule = NO_RULE;
        decision.verdict = Verdict::Allow as u8;
        decision.reason = Reason::Link as u8;
        decision.log = 0;
    }
}

/// Returns whether the default policy alone refuses a packet. Without any rules at all everything is refused.
#[must_use]
#[inline(always)]
pub const fn is_refused_by_default(decision: &Decision) -> bool {
    decision.reason == Reason::Default as u8
        && Verdict::refuses(decision.verdict)
        && decision.generation != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::protocol::{ICMP, UDP};

    #[test]
    fn only_what_the_kernel_itself_sends_keeps_the_link() {
        let kernel = PacketMeta {
            program: PacketMeta::KERNEL,
            ..PacketMeta::UNKNOWN
        };
        /// Verdicts with their reasons, those first that a default or a question gives.
        const SAID: [(Verdict, Reason); 7] = [
            (Verdict::Ask, Reason::Rule),
            (Verdict::Ask, Reason::Default),
            (Verdict::Block, Reason::Default),
            (Verdict::Reject, Reason::Default),
            (Verdict::Block, Reason::Rule),
            (Verdict::Reject, Reason::Rule),
            (Verdict::Socket, Reason::Rule),
        ];
        const KEEPS_THE_LINK: [bool; 7] = [true, true, true, true, false, false, false];
        const KEEPS_NOTHING: [bool; 7] = [false; 7];
        let passes = |packet: &Parsed, local: &PacketMeta| {
            SAID.map(|(verdict, reason)| {
                let before = Decision {
                    rule: 3,
                    generation: 7,
                    verdict: verdict as u8,
                    reason: reason as u8,
                    log: 1,
                    known: 0,
                };
                let mut after = before;
                stay_on_the_link(packet, local, &mut after);
                let passed = Decision {
                    rule: NO_RULE,
                    verdict: Verdict::Allow as u8,
                    reason: Reason::Link as u8,
                    log: 0,
                    ..before
                };
                assert!(after == passed || after == before);
                after == passed
            })
        };
        let sent = |protocol, source_port| Parsed {
            flow: PacketHeaders {
                direction: Direction::Outbound as u8,
                protocol,
                source_port,
                ..PacketHeaders::default()
            },
            shape: Shape::Whole,
        };
        for (protocol, types) in [
            (ICMPV6, &[131, 132, 133, 135, 136, 143][..]),
            (IGMP, &[0][..]),
        ] {
            for of_type in types {
                let packet = sent(protocol, *of_type);
                assert_eq!(passes(&packet, &kernel), KEEPS_THE_LINK, "{packet:?}");
                for program in [[0; 2], [1, 7], PacketMeta::UNSURE, PacketMeta::ELSEWHERE] {
                    let local = PacketMeta {
                        program,
                        ..PacketMeta::UNKNOWN
                    };
                    assert_eq!(
                        passes(&packet, &local),
                        KEEPS_NOTHING,
                        "{packet:?} {program:?}"
                    );
                }
                let before_socket = PacketMeta {
                    phase: PacketMeta::BEFORE_SOCKET,
                    ..kernel
                };
                assert_eq!(passes(&packet, &before_socket), KEEPS_NOTHING, "{packet:?}");
                for shape in [Shape::LaterFragment, Shape::Malformed] {
                    let other = Parsed { shape, ..packet };
                    assert_eq!(passes(&other, &kernel), KEEPS_NOTHING, "{other:?}");
                }
                for direction in [Direction::Inbound, Direction::Forward] {
                    let mut other = packet;
                    other.flow.direction = direction as u8;
                    assert_eq!(passes(&other, &kernel), KEEPS_NOTHING, "{other:?}");
                }
            }
        }
        // Echoes, errors, advertisements of routers, redirects, and what else has such a number.
        for of_type in [1, 2, 3, 4, 128, 129, 130, 134, 137, 138, 151] {
            let other = sent(ICMPV6, of_type);
            assert_eq!(passes(&other, &kernel), KEEPS_NOTHING, "{of_type}");
        }
        for protocol in [ICMP, UDP] {
            assert_eq!(passes(&sent(protocol, 135), &kernel), KEEPS_NOTHING);
        }
    }

    #[test]
    fn without_rules_nothing_is_refused_by_a_default_alone() {
        for (verdict, reason, generation, expected) in [
            (Verdict::Block, Reason::Default, 1, true),
            (Verdict::Reject, Reason::Default, 1, true),
            (Verdict::Block, Reason::Default, 0, false),
            (Verdict::Allow, Reason::Default, 1, false),
            (Verdict::Ask, Reason::Default, 1, false),
            (Verdict::Block, Reason::Rule, 1, false),
            (Verdict::Block, Reason::Fragment, 1, false),
        ] {
            let decision = Decision {
                generation,
                verdict: verdict as u8,
                reason: reason as u8,
                ..Decision::default()
            };
            let is_refused = is_refused_by_default(&decision);
            assert_eq!(is_refused, expected, "{verdict:?} {reason:?} {generation}");
        }
    }
}
