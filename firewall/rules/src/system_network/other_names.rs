//! Other names of this machine's devices (`altname`), by which rules do not go.

use super::RoutesUnknown;
use super::netlink::{DUMP, Socket, attributes, attributes_of, once_unchanged};

/// `RTM_NEWLINK`, `RTM_GETLINK`
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
/// Size of `struct ifinfomsg`, in bytes.
const ABOUT: usize = 16;
/// `IFLA_IFNAME`, `IFLA_PROP_LIST` and `IFLA_ALT_IFNAME`
const NAME: u16 = 3;
const PROPERTIES: u16 = 52;
const OTHER_NAME: u16 = 53;
/// `IFLA_EXT_MASK`, and of its bits `RTEXT_FILTER_SKIP_STATS`.
const WANTED: u16 = 29;
const NO_COUNTERS: u32 = 1 << 3;

/// Reads the other names of the devices in this thread's network namespace, each with the name that packets go by.
///
/// # Errors
/// Fails if the kernel does not tell.
pub fn other_names() -> Result<Vec<(String, String)>, RoutesUnknown> {
    once_unchanged(|| {
        let socket = Socket::to_ask()?;
        let mut question = vec![0; ABOUT];
        question.extend(8_u16.to_ne_bytes());
        question.extend(WANTED.to_ne_bytes());
        question.extend(NO_COUNTERS.to_ne_bytes());
        socket.ask(GET_LINK, DUMP, &question)?;
        let mut names = Vec::new();
        socket.answered(|kind, body| {
            if kind == NEW_LINK {
                names.extend(names_in(body).unwrap_or_default());
            }
        })?;
        Ok(names)
    })
}

/// Returns the other names in what the kernel says of one device; `None` if that is cut short.
fn names_in(body: &[u8]) -> Option<Vec<(String, String)>> {
    let about = body.get(ABOUT..)?;
    let name = text(attributes_of(about, NAME)?);
    let properties = attributes_of(about, PROPERTIES).unwrap_or_default();
    let others = attributes(properties).filter(|(kind, _)| *kind == OTHER_NAME);
    Some(
        others
            .map(|(_, other)| (text(other), name.clone()))
            .collect(),
    )
}

/// Returns the text before the byte that ends it.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default())
        .into_owned()
}
