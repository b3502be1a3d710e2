//! Links the crate as a WDM driver.

use channel_link::About;

fn main() -> std::io::Result<()> {
    channel_link::wdm_driver(&About {
        description: "Pager",
        company: "The founders of Gatebell",
        file: "pager.sys",
    })
}
