//! A Windows image as bytes: what it imports, and what its headers say.

use std::collections::BTreeSet;
use std::path::Path;

/// A program, library or driver for 64-bit Windows.
pub struct Image {
    bytes: Vec<u8>,
    /// Where its headers start.
    headers: usize,
}

impl Image {
    /// Reads one; an error says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
        let mut image = Self { bytes, headers: 0 };
        image.headers = image.number(0x3C)?;
        if image.bytes.get(image.headers..image.headers + 4) == Some(b"PE\0\0") {
            Ok(image)
        } else {
            Err(format!("{} is no Windows image", path.display()))
        }
    }

    /// The subsystem: 1 is native, a driver.
    pub fn subsystem(&self) -> Result<usize, String> {
        Ok(self.number(self.headers + 0x5C)? & 0xFFFF)
    }

    /// DllCharacteristics: relocatable, no code on data pages, integrity check, …
    pub fn characteristics(&self) -> Result<usize, String> {
        Ok(self.number(self.headers + 0x5C)? >> 16)
    }

    /// The checksum, which the kernel compares before it loads a driver; 0 if there is none.
    pub fn checksum(&self) -> Result<usize, String> {
        self.number(self.headers + 0x58)
    }

    /// What it imports, as `library!name`, the library in lower case.
    pub fn imports(&self) -> Result<BTreeSet<String>, String> {
        let mut found = BTreeSet::new();
        let mut descriptor = self.place(self.number(self.headers + 0x90)?)?;
        // Each descriptor: its names at 0, its library's name at 12; 20 bytes.
        while self.number(descriptor + 12)? != 0 {
            let library = self
                .text(self.place(self.number(descriptor + 12)?)?)?
                .to_lowercase();
            let mut names = self.place(self.number(descriptor)?)?;
            while self.number(names)? != 0 {
                // Two bytes of hint stand before the name.
                let name = self.text(self.place(self.number(names)?)? + 2)?;
                found.insert(format!("{library}!{name}"));
                names += 8;
            }
            descriptor += 20;
        }
        Ok(found)
    }

    fn number(&self, at: usize) -> Result<usize, String> {
        let bytes = self
            .bytes
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok());
        Ok(
            u32::from_le_bytes(bytes.ok_or_else(|| format!("the image ends before {at:#x}"))?)
                as usize,
        )
    }

    fn text(&self, at: usize) -> Result<String, String> {
        let bytes = self.bytes.get(at..).unwrap_or(&[]);
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or(&[]);
        String::from_utf8(text.to_vec()).map_err(|_| format!("no text at {at:#x}"))
    }

    /// Where in the file an address of the loaded image is: through the table of sections, 40 bytes each.
    fn place(&self, address: usize) -> Result<usize, String> {
        let sections = self.number(self.headers + 4)? >> 16;
        let table = self.headers + 24 + (self.number(self.headers + 20)? & 0xFFFF);
        for section in (0..sections).map(|n| table + n * 40) {
            let (size, start) = (self.number(section + 8)?, self.number(section + 12)?);
            if (start..start + size).contains(&address) {
                return Ok(address - start + self.number(section + 20)?);
            }
        }
        Err(format!("no section holds {address:#x}"))
    }
}
