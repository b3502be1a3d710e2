//! Links the crate as a WDM driver.

use channel_link::About;

fn main() -> std::io::Result<()> {
    channel_link::wdm_driver(&About {
        description: "Gatebell sample",
        company: "The founders of Gatebell",
        file: "gatebell_sample.sys",
    })
}
