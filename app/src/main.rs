//! gatebell-app.
mod entry;

fn main() {}
