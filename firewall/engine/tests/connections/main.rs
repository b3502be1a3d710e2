//! What begins a connection, what passes because of it, and for how long: each packet, each state, each time.

mod beginnings;
mod devices;
mod errors;
mod generations;
mod groups;
mod owners;
mod states;
mod times;
mod zone;
