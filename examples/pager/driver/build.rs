//! How this driver is linked.

use channel_link::About;

fn main() -> std::io::Result<()> {
    channel_link::wdm_driver(&About {
        description: "Pager",
        company: "The founders of Gatebell",
        file: "pager.sys",
    })
}
