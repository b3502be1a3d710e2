//! Parts that the fuzz targets share: the bytes that a fuzzer gives, taken apart, and a resolver for rules.
//!
//! Each file in `targets/` is a program that is fed any bytes at all, guided by what they reach. It asserts what holds
//! for all of them; that nothing panics, overflows or hangs goes without saying.
//! `cargo xtask fuzz` builds and runs them.
#![forbid(unsafe_code)]

use rules::{Resolver, SetFile};

/// Bytes of a fuzzer, taken from the front. Beyond their end they read as zero.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// Takes `count` bytes, or as many as there are.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Takes an array of bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// Returns whether no byte is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Resolver of a machine with one list, one user who has a name, and one program that may be there.
#[derive(Default)]
pub struct Machine<'a> {
    /// Content of every file of a set.
    pub list: &'a [u8],
    /// Identity that the kernel gives every program, or `None` if there is none.
    pub program: Option<[u64; 2]>,
}

impl Resolver for Machine<'_> {
    fn set_file(&self, path: &str) -> Result<SetFile, String> {
        Ok(SetFile {
            confidential: false,
            name: path.to_owned(),
            bytes: self.list.to_vec(),
            trouble: None,
        })
    }

    fn user(&self, name: &str) -> Result<u32, String> {
        if name == "root" {
            Ok(0)
        } else {
            Err("only root has a name here".to_owned())
        }
    }

    fn program(&self, _: &str) -> Option<[u64; 2]> {
        self.program
    }
}
