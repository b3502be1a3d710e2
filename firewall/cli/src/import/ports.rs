//! Names of ports, as exports have them.

/// Names of ports, as firewalls write them in place of a number.
const NAMES: &[(&str, &str)] = &[
    ("ftp", "21"),
    ("ssh", "22"),
    ("telnet", "23"),
    ("smtp", "25"),
    ("domain", "53"),
    ("bootps", "67"),
    ("bootpc", "68"),
    ("http", "80"),
    ("pop3", "110"),
    ("ntp", "123"),
    ("netbios-ns", "137"),
    ("netbios-dgm", "138"),
    ("netbios-ssn", "139"),
    ("imap2", "143"),
    ("snmp", "161"),
    ("ldap", "389"),
    ("https", "443"),
    ("microsoft-ds", "445"),
    ("submission", "587"),
    ("ipp", "631"),
    ("domain-s", "853"),
    ("imaps", "993"),
    ("pop3s", "995"),
    ("mdns", "5353"),
];

/// A port or a range of them as we have it: `8000-8080`.
pub fn port(text: &str) -> Result<String, String> {
    let number = |text: &str| {
        let named = NAMES.iter().find(|(name, _)| *name == text);
        let number = named.map_or(text, |(_, number)| number);
        number
            .parse::<u16>()
            .map(|number| number.to_string())
            .map_err(|_| format!("`{text}` is no port that is known here"))
    };
    let text = text.trim();
    if let Ok(one) = number(text) {
        return Ok(one);
    }
    match text.split_once(['-', ':']) {
        Some((first, last)) => Ok(format!(
            "{}-{}",
            number(first.trim())?,
            number(last.trim())?
        )),
        None => number(text),
    }
}
