//! gatebell-app.
mod entry;
mod window;

fn main() {}
