//! Loopback traffic: packets that stay on this machine are judged only if a rule names the loopback device.

use crate::flow::{PacketQuestion, destination, source};
use crate::rule_file::RuleFile;
use rules::own_network;
use std::net::IpAddr;

/// The device that packets stay on which a machine sends to itself.
pub const LOOPBACK: &str = "lo";

/// Message about a loopback packet that the rules do not judge.
pub const NOT_JUDGED: &str =
    "allow: what stays on the loopback device is not judged, and no rule names it";

/// The addresses by which this machine reaches itself.
pub struct OwnAddresses(Vec<IpAddr>);

impl OwnAddresses {
    /// Returns the addresses of this machine.
    pub fn here() -> Self {
        let network = own_network();
        Self(network.addresses.into_iter().map(|(own, _)| own).collect())
    }

    /// Puts a packet that stays on this machine on the loopback device, unless somebody said another;
    /// whether no rule is asked about it there.
    pub fn pass_unseen(&self, question: &mut PacketQuestion, rules: &RuleFile) -> bool {
        let PacketQuestion(packet, who) = question;
        let (from, to) = (source(&packet.flow), destination(&packet.flow));
        if who.interface.is_none() && who.out_interface.is_none() && self.stays(from, to) {
            who.interface = Some(LOOPBACK.to_owned());
        }
        who.interface.as_deref() == Some(LOOPBACK) && !rules.rules.judges_loopback()
    }

    /// Returns whether packets between two addresses stay on this machine.
    fn stays(&self, from: IpAddr, to: IpAddr) -> bool {
        let own = |address: &IpAddr| address.is_loopback() || self.0.contains(address);
        from.is_loopback() || to.is_loopback() || (own(&from) && own(&to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_an_address_of_this_machine_goes_by_the_loopback_device() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap_or(IpAddr::from([0; 4]));
        let own = OwnAddresses(vec![address("192.0.2.5"), address("2001:db8::5")]);
        let stays = |from: &str, to: &str| own.stays(address(from), address(to));
        assert!(stays("192.0.2.5", "192.0.2.5") && stays("2001:db8::5", "2001:db8::5"));
        assert!(stays("127.0.0.1", "127.0.0.53") && stays("::1", "::1"));
        assert!(!stays("192.0.2.5", "192.0.2.6") && !stays("192.0.2.6", "192.0.2.5"));
    }
}
