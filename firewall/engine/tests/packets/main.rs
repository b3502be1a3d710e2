//! The engine seen from outside: packets in, decisions out.

mod decide;
mod keys;
mod made;
mod order;
mod parse;
mod phases;
mod quoted;
mod rejected;
mod seen;
mod sets;
