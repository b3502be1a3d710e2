//! Text of the kernel's: counted UTF-16.

use super::nt::UNICODE_STRING;

/// A name in the kernel's name space. Made by [`wide_name!`](crate::wide_name).
#[derive(Clone, Copy)]
pub struct Name(&'static [u16]);

impl Name {
    /// Returns the name as the kernel's functions take it.
    pub(super) const fn unicode(self) -> UNICODE_STRING {
        // A name is a few dozen characters: `Wide::new` checked that its bytes can be counted.
        let bytes = (self.0.len() * 2) as u16;
        UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: self.0.as_ptr(),
        }
    }
}

/// Makes a [`Name`] from ASCII, when it is compiled: `wide_name!(r"\Device\Mine")`.
#[macro_export]
macro_rules! wide_name {
    ($text:expr) => {{
        static WIDE: $crate::driver::wdm::Wide<{ $text.len() }> =
            $crate::driver::wdm::Wide::new($text);
        WIDE.name()
    }};
}

/// Characters that a [`Name`] points to.
pub struct Wide<const N: usize>([u16; N]);

impl<const N: usize> Wide<N> {
    /// Makes the characters of a text, which must be ASCII and `N` long.
    ///
    /// # Panics
    /// Where it is compiled: if the text is not ASCII, too long for the kernel, or has another length.
    #[must_use]
    pub const fn new(text: &str) -> Self {
        assert!(text.len() == N && N < 1024 && text.is_ascii());
        let (mut units, mut n) = ([0; N], 0);
        while n < N {
            units[n] = text.as_bytes()[n] as u16;
            n += 1;
        }
        Self(units)
    }

    /// Returns the name, which lives for good.
    #[must_use]
    pub const fn name(&'static self) -> Name {
        Name(&self.0)
    }
}
