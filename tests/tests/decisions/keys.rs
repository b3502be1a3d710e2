//! Rules about devices and sets.

use super::*;

#[test]
fn a_rule_for_a_device_or_a_set_decides_both_ways_in_both_versions() {
    let list = Temporary::named("list");
    fs::write(
        &list.0,
        "# kept elsewhere\n10.77.0.40\nfd77::40\n10.77.0.48/29\n",
    )
    .unwrap();
    let mut rules = QUIET.replace("inbound = \"block\"", "inbound = \"allow\"");
    rules += &format!(
        "\n[[set]]\nid = \"listed\"\nfile = \"{}\"\n",
        list.0.display()
    );
    rules += "\n[[set]]\nid = \"here\"\naddresses = [\"10.77.0.20-10.77.0.29\", \"fd77::20-fd77::2f\"]\n";
    rules += &rule(
        "to-listed",
        "block",
        "direction = \"out\"\ndestination = \"@listed\"",
    );
    rules += &rule(
        "to-here",
        "block",
        "direction = \"out\"\ndestination = [\"10.77.0.60\", \"@here\"]",
    );
    rules += &rule(
        "from-sets",
        "block",
        "direction = \"in\"\nsource = [\"@here\", \"@listed\"]",
    );
    rules += &rule(
        "by-device",
        "block",
        "interface = \"gb2\"\nprotocol = \"udp\"",
    );
    let zone = Protected::with(&rules);
    add_pair(&zone, "gb2", "gb3", 1);
    let (here, there) = (name(&zone.lab.netns()), name(&outside(&zone)));
    ip(&[
        "-n",
        &here,
        "addr",
        "add",
        "fd78::2/64",
        "dev",
        "gb2",
        "nodad",
    ]);
    ip(&[
        "-n",
        &there,
        "addr",
        "add",
        "fd78::1/64",
        "dev",
        "gb3",
        "nodad",
    ]);

    let sends = |to: &str| Somebody::root().does(&zone, &format!("send {to}"), true);
    let refused = [
        "10.77.0.40:9",
        "10.77.0.48:9",
        "10.77.0.55:9",
        "[fd77::40]:9",
        "10.77.0.20:9",
        "10.77.0.29:9",
        "[fd77::20]:9",
        "[fd77::2f]:9",
        "10.77.0.60:9",
        "10.78.1.1:9",
        "[fd78::1]:9",
    ];
    assert_eq!(
        refused.iter().filter(|to| sends(to)).collect::<Vec<_>>(),
        [&""; 0],
        "allowed"
    );
    let allowed = [
        "10.77.0.41:9",
        "10.77.0.47:9",
        "10.77.0.56:9",
        "[fd77::41]:9",
        "10.77.0.19:9",
        "10.77.0.30:9",
        "[fd77::1f]:9",
        "[fd77::30]:9",
        "10.77.0.61:9",
        "10.77.0.1:9",
    ];
    assert_eq!(
        allowed.iter().filter(|to| !sends(to)).collect::<Vec<_>>(),
        [&""; 0],
        "refused"
    );

    // In, by where it comes from: each datagram says it, so what arrives can be told apart.
    let from = [
        "10.77.0.20",
        "10.77.0.29",
        "10.77.0.30",
        "10.77.0.40",
        "10.77.0.41",
        "10.77.0.55",
        "10.77.0.56",
    ];
    let from_v6 = [
        "fd77::1f", "fd77::20", "fd77::2f", "fd77::30", "fd77::40", "fd77::41",
    ];
    let ends = from
        .map(|from| (from, INSIDE))
        .into_iter()
        .chain(from_v6.map(|from| (from, INSIDE_V6)));
    let ends: Vec<_> = ends
        .chain([("10.78.1.1", "10.78.1.2"), ("fd78::1", "fd78::2")])
        .collect();
    let listener = within(&zone.lab.netns(), || UdpSocket::bind("[::]:7000").unwrap());
    let sender = Sender::open(&outside(&zone));
    for (source, destination) in &ends {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        sender.send(&Made {
            protocol: UDP,
            source,
            destination,
            source_port: 7000,
            port: 7000,
        });
    }
    listener
        .set_read_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    let mut came = BTreeSet::new();
    while let Ok((_, from)) = listener.recv_from(&mut [0; 16]) {
        came.insert(from.ip().to_canonical().to_string());
    }
    let expected = [
        "10.77.0.30",
        "10.77.0.41",
        "10.77.0.56",
        "fd77::1f",
        "fd77::30",
        "fd77::41",
    ];
    assert_eq!(came, expected.map(str::to_owned).into());
}
