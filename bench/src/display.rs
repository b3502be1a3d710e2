//! A display without a screen, whose picture lies in a file: what a person would see is read there,
//! from outside of every program.

use crate::gatebell::now_ns;
use crate::ground::Server;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Wider than the window: the pointer, which rests in the middle, rests beside it.
const SCREEN: &str = "2400x800x24";
/// Between two looks at the picture.
const GLANCE: Duration = Duration::from_micros(200);
/// Number of colours from which on a picture shows text, and not an empty background.
const COLOURS_OF_WORDS: usize = 16;

/// The display.
pub struct Display {
    server: Server,
    number: String,
    picture: Picture,
}

impl Display {
    /// Starts it, with its picture in this folder.
    pub fn start(folder: &Path) -> Result<Self> {
        let mut command = Command::new("Xvfb");
        command.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            SCREEN,
            "-nolisten",
            "tcp",
        ]);
        command.arg("-fbdir").arg(folder).stdin(Stdio::null());
        let (server, mut says) = Server::that_says(&mut command)?;
        let number = says.next().context("Xvfb has ended")??;
        let picture = Picture::open(&folder.join("Xvfb_screen0"))?;
        Ok(Self {
            server,
            number,
            picture,
        })
    }

    /// Returns the name of the display, as programs are given it (`DISPLAY`).
    pub fn name(&self) -> String {
        format!(":{}", self.number)
    }

    /// The process that draws it.
    pub fn pid(&self) -> u32 {
        self.server.0.id()
    }

    /// These lines of it, as they are now.
    pub fn lines(&self, lines: &Range<u64>) -> Result<Vec<u8>> {
        self.picture.lines(lines)
    }

    /// Waits until there are words in these lines; when they were seen first, on the records' clock.
    pub fn words(&self, lines: &Range<u64>, most: Duration) -> Result<u64> {
        self.look(lines, most, |seen| colours(seen) >= COLOURS_OF_WORDS)?
            .context("the window shows nothing")
    }

    /// Waits until these lines are others than they were; when that was seen first,
    /// on the records' clock. None: they stay.
    pub fn change(&self, before: &[u8], lines: &Range<u64>, most: Duration) -> Result<Option<u64>> {
        self.look(lines, most, |seen| seen != before)
    }

    /// Waits until these lines have been the same for so long, and returns them.
    pub fn rest(&self, lines: &Range<u64>, long: Duration) -> Result<Vec<u8>> {
        let end = Instant::now() + 20 * long;
        while Instant::now() < end {
            let seen = self.lines(lines)?;
            if self.change(&seen, lines, long)?.is_none() {
                return Ok(seen);
            }
        }
        bail!("the window does not come to rest")
    }

    fn look(
        &self,
        lines: &Range<u64>,
        most: Duration,
        is_it: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<u64>> {
        let end = Instant::now() + most;
        loop {
            if is_it(&self.lines(lines)?) {
                return Ok(Some(now_ns()));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(GLANCE);
        }
    }
}

/// A picture in the X window dump format, which its writer goes on to change.
#[derive(Debug)]
struct Picture {
    file: File,
    layout: Layout,
}

/// Layout of the picture's lines in the file.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    begin: u64,
    line_bytes: u64,
    lines: u64,
}

/// Bytes of the head that say where the rest is, of its colours, and of a pixel.
const HEAD: usize = 100;
const COLOUR: u64 = 12;
const PIXEL: usize = 4;

impl Picture {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("can't open {}", path.display()))?;
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0)
            .context("the display's picture has no head")?;
        let layout = Layout::of(&head).context("the display's picture is in another format")?;
        Ok(Self { file, layout })
    }

    fn lines(&self, lines: &Range<u64>) -> Result<Vec<u8>> {
        let Layout {
            begin,
            line_bytes,
            lines: all,
        } = self.layout;
        if lines.end > all || lines.start > lines.end {
            bail!("the display has {all} lines, and none from {lines:?}");
        }
        let mut seen = vec![0; ((lines.end - lines.start) * line_bytes) as usize];
        self.file
            .read_exact_at(&mut seen, begin + lines.start * line_bytes)
            .context("the display's picture can't be read")?;
        Ok(seen)
    }
}

impl Layout {
    /// Reads the layout from the file's header, whose numbers are big-endian.
    fn of(head: &[u8; HEAD]) -> Option<Self> {
        const VERSION: u64 = 7;
        let number = |n: usize| {
            let bytes = head.get(4 * n..4 * n + 4)?.try_into().ok()?;
            Some(u64::from(u32::from_be_bytes(bytes)))
        };
        let is_ours = number(1)? == VERSION && number(11)? == 8 * PIXEL as u64;
        is_ours.then_some(Self {
            begin: number(0)? + COLOUR * number(19)?,
            line_bytes: number(12)?,
            lines: number(5)?,
        })
    }
}

/// Returns the number of colours in a picture, as far as they are counted.
fn colours(pixels: &[u8]) -> usize {
    let mut found: Vec<&[u8]> = Vec::new();
    for pixel in pixels.chunks_exact(PIXEL) {
        if !found.contains(&pixel) {
            found.push(pixel);
        }
        if found.len() == COLOURS_OF_WORDS {
            break;
        }
    }
    found.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::ensure;

    /// Returns a header as Xvfb writes it: 160 bytes with the display's name, 256 colours, and lines of ten pixels.
    fn head() -> [u8; HEAD] {
        let mut head = [0; HEAD];
        for (n, value) in [
            (0, 160_u32),
            (1, 7),
            (4, 10),
            (5, 3),
            (11, 32),
            (12, 40),
            (19, 256),
        ] {
            head[4 * n..4 * n + 4].copy_from_slice(&value.to_be_bytes());
        }
        head
    }

    #[test]
    fn the_displays_picture_is_read_line_by_line_and_another_format_is_not() -> Result<()> {
        let layout = Layout {
            begin: 160 + 256 * 12,
            line_bytes: 40,
            lines: 3,
        };
        assert_eq!(Layout::of(&head()), Some(layout));
        let mut other = head();
        other[7] = 6;
        assert_eq!(Layout::of(&other), None);
        let path = std::env::temp_dir().join(format!("gatebell-picture-{}", std::process::id()));
        let mut bytes = head().to_vec();
        bytes.resize(160 + 256 * 12, 0);
        bytes.extend([1; 40].iter().chain(&[2; 40]).chain(&[3; 40]));
        std::fs::write(&path, &bytes)?;
        let picture = Picture::open(&path);
        std::fs::remove_file(&path)?;
        let picture = picture?;
        ensure!(picture.lines(&(1..3))? == [[2; 40], [3; 40]].concat());
        ensure!(picture.lines(&(2..4)).is_err());
        Ok(())
    }

    #[test]
    fn an_empty_ground_has_no_words_and_what_has_shades_does() {
        assert_eq!(colours(&[7; 4000]), 1);
        let two: Vec<u8> = [[0; 4], [9; 4]].concat().repeat(100);
        assert_eq!(colours(&two), 2);
        let shades: Vec<u8> = (0..200_u8).flat_map(|shade| [shade; 4]).collect();
        assert_eq!(colours(&shades), COLOURS_OF_WORDS);
    }
}
