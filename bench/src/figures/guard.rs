//! Firewalls that protect the zone while something is measured.

use super::Setting;
use crate::gatebell::{App, Gatebell};
use crate::peers::nfqueue::{Nfqueue, Verdict};
use crate::peers::opensnitch::Opensnitch;
use crate::peers::{Iptables, Nft};
use crate::ruleset::{Ordered, chain};
use anyhow::Result;
use channel::{Mask, Pace, Record};

/// Number of rules that Gatebell and nftables have.
pub const RULES: u32 = 100;

/// Firewall that protects the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// No firewall.
    Nobody,
    /// Gatebell, with an app attached that is told of everything.
    Gatebell,
    /// nftables, with the same rules behind `ct state established accept`.
    Nft,
    /// Every packet waits for a verdict in user space.
    Nfqueue,
    /// Debian's opensnitch.
    Opensnitch,
}

impl Guard {
    /// Firewalls other than Gatebell.
    pub const PEERS: [Self; 3] = [Self::Nft, Self::Nfqueue, Self::Opensnitch];

    /// Returns the name of the firewall on the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "unprotected",
            Self::Gatebell => "Gatebell",
            Self::Nft => "nft",
            Self::Nfqueue => "NFQUEUE",
            Self::Opensnitch => "opensnitch",
        }
    }

    /// Measures under this guard, who is gone afterwards.
    pub fn over<T>(self, setting: &Setting<'_>, measure: impl FnOnce() -> Result<T>) -> Result<T> {
        let ground = setting.ground;
        match self {
            Self::Nobody => measure(),
            Self::Gatebell => {
                let gatebell = Gatebell::start(setting.programs, ground, &Ordered::of(RULES).toml)?;
                let attachment = gatebell.attach(Mask::ALL, Pace::default(), 1 << 20)?;
                let app = App::start(attachment, None, (), |(), _: &Record<'_>| {});
                let measured = measure();
                app.stop()?;
                measured
            }
            Self::Nft => {
                let lines = format!(
                    "  ct state established,related accept\n{}",
                    Ordered::of(RULES).nft
                );
                let both = chain("input", "filter", &lines).replace("chain c", "chain i")
                    + &chain("output", "filter", &lines).replace("chain c", "chain o");
                let _rules = Nft::with(ground, &both)?;
                measure()
            }
            Self::Nfqueue => {
                let decides = Nfqueue::start(&ground.netns(), Verdict::Accept, None)?;
                let queue = ["-j", "NFQUEUE", "--queue-num", "0"];
                let (inward, outward) = (["mangle", "INPUT"], ["mangle", "OUTPUT"]);
                let rules = [
                    [&inward[..], &queue].concat(),
                    [&outward[..], &queue].concat(),
                ];
                let rules = Iptables::with(ground, &[&rules[0], &rules[1]])?;
                let measured = measure();
                drop(rules);
                decides.stop()?;
                measured
            }
            Self::Opensnitch => {
                let _daemon = Opensnitch::start(setting.programs, ground)?;
                measure()
            }
        }
    }
}
