//! ICMP's types by their names elsewhere: the same name stands for another number in each version of IP.

use super::model::Version;

/// A type's name, and its numbers in IPv4 and IPv6.
type Named = (&'static str, Option<u8>, Option<u8>);

/// ICMP types by their names in nft.
const NFT: &[Named] = &[
    ("echo-reply", Some(0), Some(129)),
    ("destination-unreachable", Some(3), Some(1)),
    ("source-quench", Some(4), None),
    ("redirect", Some(5), None),
    ("echo-request", Some(8), Some(128)),
    ("router-advertisement", Some(9), None),
    ("router-solicitation", Some(10), None),
    ("time-exceeded", Some(11), Some(3)),
    ("parameter-problem", Some(12), Some(4)),
    ("timestamp-request", Some(13), None),
    ("timestamp-reply", Some(14), None),
    ("packet-too-big", None, Some(2)),
    ("mld-listener-query", None, Some(130)),
    ("mld-listener-report", None, Some(131)),
    ("mld-listener-done", None, Some(132)),
    ("mld-listener-reduction", None, Some(132)),
    ("nd-router-solicit", None, Some(133)),
    ("nd-router-advert", None, Some(134)),
    ("nd-neighbor-solicit", None, Some(135)),
    ("nd-neighbor-advert", None, Some(136)),
    ("nd-redirect", None, Some(137)),
    ("mld2-listener-report", None, Some(143)),
];

/// ICMP types by their names in firewalld, without those that are codes: it has a file for each, and most names hold
/// for both versions.
const FIREWALLD: &[Named] = &[
    ("echo-reply", Some(0), Some(129)),
    ("destination-unreachable", Some(3), Some(1)),
    ("source-quench", Some(4), None),
    ("redirect", Some(5), Some(137)),
    ("echo-request", Some(8), Some(128)),
    ("router-advertisement", Some(9), Some(134)),
    ("router-solicitation", Some(10), Some(133)),
    ("time-exceeded", Some(11), Some(3)),
    ("parameter-problem", Some(12), Some(4)),
    ("timestamp-request", Some(13), None),
    ("timestamp-reply", Some(14), None),
    ("packet-too-big", None, Some(2)),
    ("mld-listener-query", None, Some(130)),
    ("mld-listener-report", None, Some(131)),
    ("mld-listener-done", None, Some(132)),
    ("neighbour-solicitation", None, Some(135)),
    ("neighbour-advertisement", None, Some(136)),
    ("mld2-listener-report", None, Some(143)),
];

fn of_version(named: &Named, version: Version) -> Option<u8> {
    match version {
        Version::V4 => named.1,
        Version::V6 => named.2,
    }
}

/// The type that nft calls so, as a rule of ours has it.
pub fn type_of_nft(name: &str, version: Version) -> Result<String, String> {
    if name.parse::<u8>().is_ok() {
        return Ok(name.to_owned());
    }
    let named = NFT.iter().find(|named| named.0 == name);
    let number = named.and_then(|named| of_version(named, version));
    number.map_or_else(
        || {
            Err(format!(
                "the ICMP type `{name}` is not known here by that name"
            ))
        },
        |number| Ok(spelled(number, version)),
    )
}

/// The types that firewalld calls so: one for each version of IP that has it.
pub fn types_of_firewalld(name: &str) -> Vec<(Version, String)> {
    let Some(named) = FIREWALLD.iter().find(|named| named.0 == name) else {
        return Vec::new();
    };
    let of = |version| Some((version, spelled(of_version(named, version)?, version)));
    Version::ALL.into_iter().filter_map(of).collect()
}

/// Returns the name of an ICMP type in rule files, or its number if it has no name.
fn spelled(number: u8, version: Version) -> String {
    let protocol = match version {
        Version::V4 => rules::Protocol::ICMP,
        Version::V6 => rules::Protocol::ICMPV6,
    };
    let name = protocol.icmp_type_name(number);
    name.map_or_else(|| number.to_string(), ToString::to_string)
}
