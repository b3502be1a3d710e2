//! A kernel's UTF-16 as UTF-8 in a fixed field: whole characters, as many as fit; the rest of the field stays.

/// Character that stands first where the beginning is cut.
const CUT: char = '…';

/// Writes the text's beginning into the field.
pub fn fill_utf8(field: &mut [u8], units: &[u16]) {
    let mut used = 0;
    for character in characters(units) {
        if !put(field, &mut used, character) {
            return;
        }
    }
}

/// Writes the text's end into the field, after a `…` if that is not all: the last part of a path says most.
pub fn fill_utf8_end(field: &mut [u8], units: &[u16]) {
    let all: usize = characters(units).map(char::len_utf8).sum();
    if all <= field.len() {
        return fill_utf8(field, units);
    }
    let (mut left, room) = (all, field.len());
    let mut kept = characters(units).skip_while(|character| {
        let over = left + CUT.len_utf8() > room;
        left -= if over { character.len_utf8() } else { 0 };
        over
    });
    let mut used = 0;
    let mut fits = put(field, &mut used, CUT);
    while fits && let Some(character) = kept.next() {
        fits = put(field, &mut used, character);
    }
}

fn characters(units: &[u16]) -> impl Iterator<Item = char> {
    char::decode_utf16(units.iter().copied())
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// Writes a character, and returns whether there was room for it.
fn put(field: &mut [u8], used: &mut usize, character: char) -> bool {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).as_bytes();
    let Some(room) = field.get_mut(*used..*used + bytes.len()) else {
        return false;
    };
    room.iter_mut()
        .zip(bytes)
        .for_each(|(room, byte)| *room = *byte);
    *used += bytes.len();
    true
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn filled(fill: fn(&mut [u8], &[u16]), text: &str, room: usize) -> String {
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut field = vec![0; room];
        fill(&mut field, &units);
        let used = field.iter().rposition(|byte| *byte != 0);
        field.truncate(used.map_or(0, |last| last + 1));
        String::from_utf8(field).expect("whole characters")
    }

    #[test]
    fn a_path_that_is_too_long_keeps_its_end() {
        let path = r"\??\C:\Program Files\WindowsApps\Größe\プログラム.exe";
        for room in 0..80 {
            let kept = filled(fill_utf8_end, path, room);
            assert!(kept.len() <= room);
            match kept.strip_prefix(CUT) {
                None => assert!(kept == path || room < CUT.len_utf8(), "{room}: {kept}"),
                Some(end) => {
                    assert!(path.ends_with(end) && end != path, "{room}: {kept}");
                    // Not one character less than there is room for.
                    let before = path[..path.len() - end.len()].chars().last();
                    let next = before.map_or(0, char::len_utf8);
                    assert!(kept.len() + next > room, "{room}: {kept}");
                }
            }
        }
        let letters = "\u{1F600}a\u{1F600}";
        assert_eq!(filled(fill_utf8_end, letters, 9), letters);
        assert_eq!(filled(fill_utf8_end, letters, 8), "…a\u{1F600}");
        assert_eq!(filled(fill_utf8, letters, 8), "\u{1F600}a");
    }
}
