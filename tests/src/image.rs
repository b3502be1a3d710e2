//! A Windows image as bytes: what it imports, and what its headers say.

use std::collections::BTreeSet;
use std::path::Path;

/// Headers of an image, by which it asks the kernel: every field that a loader acts on and that no build changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The processor: 0x8664 is x86-64.
    pub machine: u16,
    /// Characteristics of the file: an executable, one that takes addresses above 2 GiB, …
    pub file: u16,
    /// Oldest version of Windows that loads the image, major and minor.
    pub windows: [u16; 2],
    /// Oldest version of the subsystem that runs the image, major and minor.
    pub subsystem_version: [u16; 2],
    /// The subsystem: 1 is native, a driver.
    pub subsystem: u16,
    /// DllCharacteristics: relocatable, no code on data pages, integrity check, a PnP driver, …
    pub characteristics: u16,
}

/// Section of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name of the section, at most eight letters.
    pub name: String,
    /// Flags of the section: its kind of content, and whether its pages can be read, written and run.
    pub flags: u32,
}

/// A program, library or driver for 64-bit Windows.
pub struct Image {
    bytes: Vec<u8>,
    /// Offset of the headers in the file.
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

    /// Reads the image's headers.
    pub fn headers(&self) -> Result<Headers, String> {
        let half = |at| self.half(self.headers + at);
        Ok(Headers {
            machine: half(0x04)?,
            file: half(0x16)?,
            windows: [half(0x40)?, half(0x42)?],
            subsystem_version: [half(0x48)?, half(0x4A)?],
            subsystem: half(0x5C)?,
            characteristics: half(0x5E)?,
        })
    }

    /// Reads the image's sections, in the order of the file.
    pub fn sections(&self) -> Result<Vec<Section>, String> {
        let section = |at| {
            let name = self.bytes.get(at..at + 8).unwrap_or(&[]);
            let name = String::from_utf8_lossy(name)
                .trim_end_matches('\0')
                .to_owned();
            let flags = self.number(at + 36)? as u32;
            Ok(Section { name, flags })
        };
        self.section_table()?.map(section).collect()
    }

    /// The checksum, which the kernel compares before it loads a driver; 0 if there is none.
    pub fn checksum(&self) -> Result<usize, String> {
        self.number(self.headers + 0x58)
    }

    /// Reads the image's imports as `library!name`, the library in lower case.
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

    /// Bytes of stack that each function takes for itself, by its unwind data: what it pushes and what it allocates.
    pub fn frames(&self) -> Result<Vec<usize>, String> {
        let (table, bytes) = (
            self.number(self.headers + 0xA0)?,
            self.number(self.headers + 0xA4)?,
        );
        let table = self.place(table)?;
        // Each entry: where the function begins, where it ends, where it is described; 12 bytes.
        (0..bytes / 12)
            .map(|n| self.frame(self.place(self.number(table + n * 12 + 8)?)?))
            .collect()
    }

    /// Returns the size of a stack frame from its description, whose third byte counts codes of two bytes each, which
    /// start at the fifth.
    fn frame(&self, description: usize) -> Result<usize, String> {
        let codes = self.number(description)? >> 16 & 0xFF;
        let (mut frame, mut n) = (0, 0);
        while n < codes {
            let code = description + 4 + n * 2;
            let what = usize::from(self.half(code)? >> 8);
            let (bytes, slots) = match (what & 15, what >> 4) {
                (0, _) => (8, 1),
                (1, 0) => (usize::from(self.half(code + 2)?) * 8, 2),
                (1, _) => (self.number(code + 2)?, 3),
                (2, eights) => (eights * 8 + 8, 1),
                (3, _) => (0, 1),
                (4 | 8, _) => (0, 2),
                (5 | 9, _) => (0, 3),
                (other, _) => return Err(format!("unwind code {other} at {code:#x}")),
            };
            frame += bytes;
            n += slots;
        }
        Ok(frame)
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

    fn half(&self, at: usize) -> Result<u16, String> {
        Ok(self.number(at)? as u16)
    }

    fn text(&self, at: usize) -> Result<String, String> {
        let bytes = self.bytes.get(at..).unwrap_or(&[]);
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or(&[]);
        String::from_utf8(text.to_vec()).map_err(|_| format!("no text at {at:#x}"))
    }

    /// Returns the offset in the file of each section's description, of 40 bytes.
    fn section_table(&self) -> Result<impl Iterator<Item = usize> + use<>, String> {
        let sections = usize::from(self.half(self.headers + 6)?);
        let table = self.headers + 24 + usize::from(self.half(self.headers + 20)?);
        Ok((0..sections).map(move |n| table + n * 40))
    }

    /// Returns the offset in the file of an address of the loaded image.
    fn place(&self, address: usize) -> Result<usize, String> {
        for section in self.section_table()? {
            let (size, start) = (self.number(section + 8)?, self.number(section + 12)?);
            if (start..start + size).contains(&address) {
                return Ok(address - start + self.number(section + 20)?);
            }
        }
        Err(format!("no section holds {address:#x}"))
    }
}
