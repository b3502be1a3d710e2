//! Tests of tracked connections: of the packets that begin one and that pass because of it, and of its time: each
//! packet, each state, each time.

mod beginnings;
mod devices;
mod errors;
mod generations;
mod groups;
mod owners;
mod states;
mod times;
mod zone;
