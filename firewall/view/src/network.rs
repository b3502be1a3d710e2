//! Networks and default routes in the words of the rule file: for the command line and for the window.

use crate::text;
use control::{NetworkSign, RouteStatus};
use rules::document::text_value;
use rules::{Network, SignKind};

/// Key of the device that a default route goes by.
const INTERFACE: &str = "interface";
/// Key of the wireless network's name.
const SSID: &str = "ssid";
/// Key of NetworkManager's connection.
const CONNECTION: &str = "connection";
/// Key of the gateway's address.
const GATEWAY: &str = "gateway";
/// Key of the gateway's hardware address.
const HARDWARE: &str = "gateway_hardware";
/// Name of a network until somebody calls it otherwise.
const NAME: &str = "home";

/// Returns a default route as a network asks for it, key by key.
#[must_use]
pub fn route_keys(route: &RouteStatus) -> Vec<String> {
    let RouteStatus {
        interface,
        gateway,
        gateway_hardware,
        ssid,
        connection,
    } = route;
    let key = |name: &str, value: &str| format!("{name} = {}", text_value(value));
    let mut keys = vec![key(INTERFACE, interface)];
    keys.extend(ssid.iter().map(|ssid| key(SSID, ssid)));
    keys.extend(connection.iter().map(|name| key(CONNECTION, name)));
    keys.extend(gateway.map(|gateway| key(GATEWAY, &gateway.to_string())));
    let hardware = gateway_hardware.as_deref();
    keys.extend(hardware.map(|hardware| key(HARDWARE, hardware)));
    keys
}

/// Returns the network out of which a default route leads, as it is written into a rule file, under a name that none of
/// `taken` is.
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

/// Returns the keys and values that a network asks for.
#[must_use]
pub fn known_by(network: &Network) -> String {
    let listed = |key: &str, all: Vec<String>| {
        (!all.is_empty()).then(|| format!("{key} {}", all.join(", ")))
    };
    let gateways = network.gateways.iter().map(ToString::to_string);
    let hardware = network.gateway_hardware.iter().map(ToString::to_string);
    let keys = [
        listed(INTERFACE, network.interfaces.clone()),
        listed(SSID, network.ssids.clone()),
        listed(CONNECTION, network.connections.clone()),
        listed(GATEWAY, gateways.collect()),
        listed(HARDWARE, hardware.collect()),
    ];
    let keys: Vec<_> = keys.into_iter().flatten().collect();
    keys.join("; ")
}

/// Returns the signs of a network that matched the default routes, or did not, in words.
#[must_use]
pub fn signs(signs: &[NetworkSign]) -> String {
    let signs: Vec<_> = signs.iter().map(sign).collect();
    signs.join("; ")
}

fn sign(sign: &NetworkSign) -> String {
    let NetworkSign {
        kind,
        interface,
        gateway,
        gateway_hardware,
        ssid,
        connection,
        asked,
        detail,
    } = sign;
    let device = interface.as_deref().unwrap_or_default();
    let gateway = gateway.map_or_else(String::new, |gateway| gateway.to_string());
    let hardware = gateway_hardware.as_deref().unwrap_or_default();
    let ssid = ssid.as_deref().unwrap_or_default();
    let connection = connection.as_deref().unwrap_or_default();
    let asked = asked.join(", ");
    let Some(kind) = SignKind::named(kind) else {
        return kind.clone();
    };
    match kind {
        SignKind::Device => text!("sign-device", device = device),
        SignKind::Gateway => text!("sign-gateway", device = device, gateway = gateway),
        SignKind::Hardware => text!(
            "sign-hardware",
            device = device,
            gateway = gateway,
            hardware = hardware,
        ),
        SignKind::Ssid => text!("sign-ssid", device = device, ssid = ssid),
        SignKind::OtherSsid => text!(
            "sign-other-ssid",
            device = device,
            ssid = ssid,
            asked = asked,
        ),
        SignKind::NoSsid => text!("sign-no-ssid", device = device),
        SignKind::UnknownSsid => text!("sign-unknown-ssid", device = device),
        SignKind::Connection => {
            text!("sign-connection", device = device, connection = connection)
        }
        SignKind::OtherConnection => text!(
            "sign-other-connection",
            device = device,
            connection = connection,
            asked = asked,
        ),
        SignKind::NoConnection => text!("sign-no-connection", device = device),
        SignKind::UnknownConnection => text!("sign-unknown-connection", device = device),
        SignKind::UnnamedConnection => text!(
            "sign-unnamed-connection",
            device = device,
            connection = connection,
        ),
        SignKind::NoManager => text!("sign-no-manager", device = device),
        SignKind::OtherDevice => text!("sign-other-device", device = device, asked = asked),
        SignKind::OtherGateway => text!(
            "sign-other-gateway",
            device = device,
            gateway = gateway,
            asked = asked,
        ),
        SignKind::OtherHardware => text!(
            "sign-other-hardware",
            device = device,
            gateway = gateway,
            hardware = hardware,
            asked = asked,
        ),
        SignKind::NoGateway => text!("sign-no-gateway", device = device),
        SignKind::NoHardware => text!("sign-no-hardware", device = device, gateway = gateway),
        SignKind::UnknownHardware => {
            text!("sign-unknown-hardware", device = device, gateway = gateway)
        }
        SignKind::NoRoute => text!("sign-no-route"),
        SignKind::Untold => {
            let detail = detail.as_deref().unwrap_or_default();
            text!("sign-untold", detail = detail)
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use rules::{
        ActiveConnection, DefaultRoute, GatewayHardware, HardwareAddress, NoResolver, Presence,
        WirelessNetwork, parse,
    };

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
                ssid: Some("our \"flat\"".to_owned()),
                connection: Some("Home".to_owned()),
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
                wireless: WirelessNetwork::In(b"our \"flat\"".to_vec()),
                connection: ActiveConnection::Is {
                    uuid: String::new(),
                    name: Some("Home".to_owned()),
                },
            }]);
            assert_eq!(seen.presence, Presence::There, "{:?}", seen.signs);
            let words = format!(
                "interface {device}; ssid our \"flat\"; connection Home; gateway 192.0.2.1; gateway_hardware {hardware}"
            );
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

    #[test]
    fn what_of_a_network_is_there_or_not_is_said_by_its_kind_in_each_language() {
        use crate::texts::{Language, speaking};
        let of = |kind: &str| NetworkSign {
            kind: kind.to_owned(),
            interface: Some("eth0".to_owned()),
            gateway: Some([192, 0, 2, 1].into()),
            gateway_hardware: Some("02:00:00:00:00:02".to_owned()),
            ssid: Some("our flat".to_owned()),
            connection: Some("Home".to_owned()),
            asked: vec![
                "02:00:00:00:00:01".to_owned(),
                "02:00:00:00:00:03".to_owned(),
            ],
            detail: Some("EPERM".to_owned()),
        };
        let all: Vec<_> = SignKind::ALL.iter().map(|kind| of(kind.name())).collect();
        assert_eq!(
            signs(&all),
            "the default route goes by eth0; \
             the default route goes by eth0, gateway 192.0.2.1; \
             the default route goes by eth0, gateway 192.0.2.1 at 02:00:00:00:00:02; \
             eth0 is in the wireless network `our flat`; \
             eth0 has NetworkManager's connection `Home`; \
             the default route goes by eth0, not 02:00:00:00:00:01, 02:00:00:00:00:03; \
             eth0 is in the wireless network `our flat`, not 02:00:00:00:00:01, 02:00:00:00:00:03; \
             eth0 has NetworkManager's connection `Home`, not 02:00:00:00:00:01, 02:00:00:00:00:03; \
             the gateway by eth0 is 192.0.2.1, not 02:00:00:00:00:01, 02:00:00:00:00:03; \
             the gateway 192.0.2.1 by eth0 is at 02:00:00:00:00:02, not 02:00:00:00:00:01, 02:00:00:00:00:03; \
             the default route by eth0 has no gateway; \
             the gateway 192.0.2.1 by eth0 has no hardware address; \
             eth0 is in no wireless network; \
             eth0 has no connection of NetworkManager's; \
             the hardware address of the gateway 192.0.2.1 by eth0 is not known yet; \
             it is not known in which wireless network eth0 is; \
             NetworkManager has not said which connection eth0 has; \
             the name of NetworkManager's connection of eth0 is not known, only its UUID `Home`: NetworkManager tells it when the connection begins the next time; \
             NetworkManager, which alone knows the connection of eth0, does not run; \
             there is no default route; \
             the kernel does not tell its routes: EPERM"
        );
        assert_eq!(signs(&[of("of_a_later_release")]), "of_a_later_release");
        let english: Vec<_> = all.iter().map(sign).collect();
        let _spoken = speaking(Language::German);
        for (sign, english) in all.iter().map(sign).zip(english) {
            assert_ne!(sign, english);
        }
    }
}
