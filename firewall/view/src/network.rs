//! Networks and default routes in the words of the rule file: for the command line and for the window.

use control::RouteStatus;
use rules::Network;
use rules::document::text_value;

/// The key of the device that a default route goes by.
const INTERFACE: &str = "interface";
/// The key of the gateway's address.
const GATEWAY: &str = "gateway";
/// The key of the gateway's hardware address.
const HARDWARE: &str = "gateway_hardware";
/// What a network is called until somebody calls it otherwise.
const NAME: &str = "home";

/// A default route as a network asks for it, key by key.
#[must_use]
pub fn route_keys(route: &RouteStatus) -> Vec<String> {
    let RouteStatus {
        interface,
        gateway,
        gateway_hardware,
    } = route;
    let key = |name: &str, value: &str| format!("{name} = {}", text_value(value));
    let mut keys = vec![key(INTERFACE, interface)];
    keys.extend(gateway.map(|gateway| key(GATEWAY, &gateway.to_string())));
    let hardware = gateway_hardware.as_deref();
    keys.extend(hardware.map(|hardware| key(HARDWARE, hardware)));
    keys
}

/// The network out of which a default route leads, as it is written into a rule file, under a name that none of `taken` is.
#[must_use]
pub fn text(route: &RouteStatus, taken: &[&str]) -> String {
    let others = (2..=u64::MAX).map(|number| format!("{NAME}-{number}"));
    let mut names = std::iter::once(NAME.to_owned()).chain(others);
    let name = names.find(|name| !taken.contains(&name.as_str()));
    let mut text = format!(
        "[[network]]\nid = {}\n",
        text_value(&name.unwrap_or_default())
    );
    for key in route_keys(route) {
        text.push_str(&key);
        text.push('\n');
    }
    text
}

/// What a network asks for.
#[must_use]
pub fn known_by(network: &Network) -> String {
    let listed = |key: &str, all: Vec<String>| {
        (!all.is_empty()).then(|| format!("{key} {}", all.join(", ")))
    };
    let gateways = network.gateways.iter().map(ToString::to_string);
    let hardware = network.gateway_hardware.iter().map(ToString::to_string);
    let keys = [
        listed(INTERFACE, network.interfaces.clone()),
        listed(GATEWAY, gateways.collect()),
        listed(HARDWARE, hardware.collect()),
    ];
    let keys: Vec<_> = keys.into_iter().flatten().collect();
    keys.join("; ")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use rules::{DefaultRoute, GatewayHardware, HardwareAddress, NoResolver, Presence, parse};

    #[test]
    fn the_network_that_is_written_of_a_route_is_there_by_that_route_whatever_its_device_is_called()
    {
        for device in ["wlan0", "odd\"\\"] {
            let hardware = HardwareAddress([2, 0, 0, 0, 0, 1]);
            let gateway = [192, 0, 2, 1].into();
            let route = RouteStatus {
                interface: device.to_owned(),
                gateway: Some(gateway),
                gateway_hardware: Some(hardware.to_string()),
            };
            let text = text(&route, &["home", "home-2"]);
            let file = format!("[default]\ninbound = 'block'\noutbound = 'allow'\n\n{text}");
            let rules = parse("f", &file, &NoResolver).unwrap();
            let network = rules.network(0).unwrap();
            assert_eq!(network.id, "home-3");
            let seen = network.seen(&[DefaultRoute {
                device: device.to_owned(),
                index: 2,
                gateway: Some(gateway),
                hardware: GatewayHardware::Is(hardware),
            }]);
            assert_eq!(seen.presence, Presence::There, "{}", seen.why);
            let words =
                format!("interface {device}; gateway 192.0.2.1; gateway_hardware {hardware}");
            assert_eq!(known_by(network), words);
        }
        let alone = RouteStatus {
            interface: "tun0".to_owned(),
            ..RouteStatus::default()
        };
        assert_eq!(
            text(&alone, &[]),
            "[[network]]\nid = \"home\"\ninterface = \"tun0\"\n"
        );
    }
}
