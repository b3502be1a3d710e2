//! Reads networks, with the conditions that they are known by.

use super::check_ids;
use crate::Network;
use crate::report::Report;
use crate::section::Section;
use crate::value::{addresses, connection, device, hardware_address, network_id, ssid, text};
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

const NETWORK_KEYS: &[&str] = &[
    "id",
    "interface",
    "ssid",
    "connection",
    "gateway",
    "gateway_hardware",
    "comment",
];
/// Keys of which a network has one at least.
const KNOWN_BY: &[&str] = &[
    "interface",
    "ssid",
    "connection",
    "gateway",
    "gateway_hardware",
];
/// Highest number of networks in a file.
const MOST_NETWORKS: usize = 256;

/// A network, and the place of its name in the text.
pub(super) type ReadNetwork = (Network, Range<usize>);

pub(super) fn networks(file: &mut Section<'_, '_, '_>) -> Vec<ReadNetwork> {
    let tables = file.tables("network");
    let networks: Vec<_> = tables
        .into_iter()
        .map(|(table, place)| network(table, place, file.report))
        .collect();
    check_ids(
        networks
            .iter()
            .map(|(network, place)| (&network.id, network.line, place)),
        "network",
        file.report,
    );
    if let Some((_, place)) = networks.get(MOST_NETWORKS) {
        let message = format!("at most {MOST_NETWORKS} networks are told apart; leave some out");
        file.report.error(place.clone(), message);
    }
    networks
}

fn network(table: &DeTable<'_>, place: Range<usize>, report: &mut Report<'_>) -> ReadNetwork {
    let mut section = Section {
        table,
        place: place.clone(),
        report,
    };
    section.unknown_keys(NETWORK_KEYS);
    let id_place = section.value("id").map_or(place.clone(), Spanned::span);
    let network = Network {
        id: section
            .required("id", "\"home\"", network_id)
            .unwrap_or_default(),
        line: section.report.line(id_place.start),
        interfaces: section.several("interface", device),
        ssids: section.several("ssid", ssid),
        connections: section.several("connection", connection),
        gateways: section.several("gateway", addresses),
        gateway_hardware: section.several("gateway_hardware", hardware_address),
        comment: section.optional("comment", text),
    };
    let is_known = KNOWN_BY.iter().any(|key| section.value(key).is_some());
    if !is_known {
        let message = "nothing is said by which this network is known; add gateway = \"192.168.1.1\", gateway_hardware = \
                       \"02:00:5e:10:00:01\", ssid = \"our flat\", connection = \"Home\" or interface = \"eth0\": `gatebell networks` shows those of here";
        section.report.missing(place, message);
    }
    (network, id_place)
}

/// Returns the networks, and warns of those that no rule asks for.
pub(super) fn asked_networks(
    networks: Vec<ReadNetwork>,
    asked: &[bool],
    report: &mut Report<'_>,
) -> Vec<Network> {
    let asked = networks.into_iter().zip(asked);
    asked
        .map(|((network, place), asked)| {
            if !asked {
                report.warning(
                    place,
                    format!(
                        "no rule asks for the network `{0}`; one would by network = \"{0}\"",
                        network.id
                    ),
                );
            }
            network
        })
        .collect()
}
