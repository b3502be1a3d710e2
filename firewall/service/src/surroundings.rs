//! Location of the machine, by its default routes: which of the rules' networks are there.

use rules::{
    DefaultRoute, GatewayHardware, Network, NetworkRules, Presence, Rules, Sighting,
    default_routes, look_for_gateway,
};
use std::cell::OnceCell;
use tracing::debug;

/// The default routes at one moment: the first at which somebody asked.
#[derive(Default)]
pub struct Surroundings(OnceCell<Result<Vec<DefaultRoute>, String>>);

impl Surroundings {
    /// Returns surroundings for which the kernel told these routes, or this error.
    #[cfg(test)]
    pub fn told(routes: Result<Vec<DefaultRoute>, String>) -> Self {
        Self(OnceCell::from(routes))
    }

    /// Returns the default routes, or why the kernel does not tell them.
    pub fn routes(&self) -> Result<&[DefaultRoute], &str> {
        let routes = self
            .0
            .get_or_init(|| default_routes().map_err(|cause| cause.to_string()));
        routes.as_deref().map_err(String::as_str)
    }

    /// Returns whether this network is there, and why.
    pub fn seen(&self, network: &Network) -> Sighting {
        match self.routes() {
            Ok(routes) => network.seen(routes),
            Err(why) => Sighting::untold(why),
        }
    }

    /// Returns for each of these networks whether it is there.
    pub fn presences(&self, named: &NetworkRules) -> Vec<Presence> {
        let networks = named.networks.iter();
        networks
            .map(|network| self.seen(network).presence)
            .collect()
    }

    /// Has those rules be on that are right here.
    ///
    /// # Errors
    /// The tables would be too large.
    pub fn put(&self, rules: &mut Rules) -> Result<(), String> {
        rules.put_at(|network| self.seen(network).presence)
    }

    /// Has the kernel look for gateways whose hardware address it has to know before one of these networks is known.
    /// Rules may refuse whatever else would have it do so.
    pub fn look_for_gateways(&self, named: &NetworkRules) {
        let asks = named.networks.iter().any(|network| {
            !network.gateway_hardware.is_empty() && self.seen(network).presence == Presence::Unknown
        });
        let routes = self.routes().unwrap_or_default();
        for route in routes
            .iter()
            .filter(|route| asks && route.hardware == GatewayHardware::Unknown)
        {
            if let Err(cause) = look_for_gateway(route) {
                debug!("the kernel does not look for a gateway: {cause}");
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use rules::{NoResolver, SignKind};

    #[test]
    fn routes_that_the_kernel_does_not_tell_leave_every_network_unknown() {
        let text = "[default]\ninbound = 'block'\noutbound = 'block'\n[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n\
            [[rule]]\nid = 'a'\naction = 'allow'\nnetwork = 'home'\n[[rule]]\nid = 'b'\naction = 'block'\nnetwork = 'home'\n";
        let mut rules = rules::parse("r", text, &NoResolver).unwrap();
        let here = Surroundings::told(Err("no word".to_owned()));
        here.put(&mut rules).unwrap();
        assert_eq!(rules.presences(), [Presence::Unknown]);
        let on: Vec<_> = rules.iter().map(rules::Rule::is_on).collect();
        assert_eq!(on, [false, true]);
        let named = rules.network_rules();
        let signs = here.seen(&named.networks[0]).signs;
        let [sign] = &signs[..] else {
            panic!("{signs:?}");
        };
        assert_eq!(
            (sign.kind, sign.detail.as_deref()),
            (SignKind::Untold, Some("no word"))
        );
    }
}
