//! Buffers of requests and of their answers.

use channel_abi::Refusal;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A request's one buffer, as METHOD_BUFFERED has it: the app's input stands where the answer will.
#[derive(Debug)]
pub struct Buffer<'a> {
    /// The memory, at least as long as the longer of input and output.
    pub bytes: &'a mut [u8],
    /// Length of the app's input, in bytes.
    pub input: usize,
    /// Room that the app has for the answer, in bytes.
    pub output: usize,
}

impl Buffer<'_> {
    pub(super) fn input(&self, length: usize) -> Result<&[u8], Refusal> {
        self.bytes
            .get(..self.input)
            .filter(|bytes| bytes.len() == length)
            .ok_or(Refusal::Length)
    }

    pub(super) fn output(&mut self) -> Result<&mut [u8], Refusal> {
        self.bytes.get_mut(..self.output).ok_or(Refusal::Room)
    }

    /// Puts the answer in place of the request; returns its length.
    ///
    /// # Errors
    /// [`Refusal::Room`] if the answer has no room.
    pub fn answer<T: IntoBytes + Immutable>(&mut self, answer: &T) -> Result<usize, Refusal> {
        let room = self
            .output()?
            .get_mut(..size_of::<T>())
            .ok_or(Refusal::Room)?;
        room.copy_from_slice(answer.as_bytes());
        Ok(size_of::<T>())
    }

    /// Reads the app's input, if it is exactly a `T`.
    ///
    /// # Errors
    /// [`Refusal::Length`] if the request has another length.
    pub fn request<T: FromBytes>(&self) -> Result<T, Refusal> {
        T::read_from_bytes(self.input(size_of::<T>())?).map_err(|_| Refusal::Length)
    }
}
