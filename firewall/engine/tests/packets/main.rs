//! The engine seen from outside: packets in, decisions out.

mod decide;
mod made;
mod parse;
mod quoted;
mod rejected;
