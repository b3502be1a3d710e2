//! Tests of rules that are judged as if this machine were in another network.

use crate::DEFAULTS;
use crate::commands::{File, err, gatebell, gatebell_given, out};

#[test]
fn a_file_is_judged_as_if_a_network_was_there() {
    let text = format!(
        "{DEFAULTS}[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n[[network]]\nid = 'office'\ngateway = '::1'\n\
         [[rule]]\nid = 'ssh'\naction = 'allow'\ndirection = 'in'\nprotocol = 'tcp'\nports = 22\nnetwork = 'home'\n\
         [[rule]]\nid = 'no-web'\naction = 'block'\ndirection = 'out'\nprotocol = 'tcp'\nports = 80\nnetwork = ['!home', '!office']\n"
    );
    let run = |words: &[&str], as_if: Option<&str>| {
        let as_if = as_if.map(|name| ["--as-if", name]);
        let words: Vec<_> = words
            .iter()
            .copied()
            .chain(as_if.into_iter().flatten())
            .collect();
        gatebell_given(text.as_bytes(), &words)
    };
    let ssh = ["test", "in", "tcp", "192.0.2.9:22", "--file", "-"];
    let web = ["test", "out", "tcp", "192.0.2.9:80", "--file", "-"];
    for (as_if, codes) in [
        (Some("home"), [0, 0]),
        (Some("office"), [3, 0]),
        (Some("home,office"), [0, 0]),
        (Some("none"), [3, 3]),
        (Some("unknown"), [3, 3]),
        (None, [3, 3]),
    ] {
        let decided = [&ssh, &web].map(|words| run(&words[..], as_if));
        let found = decided
            .each_ref()
            .map(|output| output.status.code().unwrap());
        assert_eq!(found, codes, "{as_if:?}: {decided:?}");
        let said = decided
            .iter()
            .all(|output| err(output).contains("--as-if says where to judge"));
        assert_eq!(said, as_if.is_none(), "{decided:?}");
    }
    let why = [
        "why",
        "-",
        "--packet",
        "in tcp 192.0.2.9:50000 -> 192.0.2.1:22",
    ];
    let missed = out(&run(&why, Some("office")));
    assert!(missed.contains("it is on at home only"), "{missed}");
    let shown = out(&run(&["rules", "show", "-"], Some("office")));
    assert!(
        shown.contains("at home") && shown.contains("(off here)"),
        "{shown}"
    );
    let check = ["rules", "check", "--elsewhere", "-"];
    assert_eq!(run(&check, Some("home")).status.code(), Some(0));
    for words in [&ssh[..], &why, &check, &["rules", "show", "-"]] {
        let wrong = run(words, Some("hone"));
        let said = err(&wrong);
        assert!(
            wrong.status.code() == Some(1)
                && said.contains("there is no network `hone`; did you mean `home`?"),
            "{words:?}: {said}"
        );
    }
    let wrong = text.replace("network = 'home'", "network = 'hone'");
    let checked = gatebell_given(wrong.as_bytes(), &check);
    let said = out(&checked);
    assert!(
        checked.status.code() == Some(1)
            && said.contains("there is no network `hone`; did you mean `home`?"),
        "{said}"
    );
}

#[test]
fn a_word_for_all_networks_stands_alone() {
    let home = "[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n";
    let file = File::new(&format!("{DEFAULTS}{home}"));
    for (words, word) in [("none,unknown", "none"), ("home,unknown", "unknown")] {
        let output = gatebell(&["rules", "show", &file.path, "--as-if", words]);
        let said = format!("`{word}` stands for all networks, so it stands alone");
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains(&said), "{}", err(&output));
    }
}
