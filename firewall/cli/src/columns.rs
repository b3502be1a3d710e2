//! Tables: foreign text in columns.

/// No column is padded beyond this: what is longer stands out of its own line alone.
const WIDEST: usize = 200;

/// Returns the width of a column with these cells, in characters.
pub fn width<'a>(cells: impl IntoIterator<Item = &'a str>) -> usize {
    let widths = cells.into_iter().map(|cell| cell.chars().count());
    widths.max().unwrap_or(0).min(WIDEST)
}

/// A cell in a column of this width. Unlike what a format does with a width, it takes any.
pub fn padded(cell: &str, width: usize) -> String {
    format!("{cell}{}", blanks(cell, width))
}

/// Pads a cell on the left, for numbers, which are aligned to the right.
#[cfg(any(target_os = "linux", test))]
pub fn padded_left(cell: &str, width: usize) -> String {
    format!("{}{cell}", blanks(cell, width))
}

fn blanks(cell: &str, width: usize) -> String {
    " ".repeat(width.min(WIDEST).saturating_sub(cell.chars().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_cells_and_takes_any_width() {
        assert_eq!(width(["a", "grün", ""]), 4);
        assert_eq!(width([]), 0);
        assert_eq!(padded("grün", 6), "grün  ");
        assert_eq!(padded_left("7", 3), "  7");
        let wide = "x".repeat(70_000);
        assert_eq!(width([wide.as_str()]), WIDEST);
        assert_eq!(padded(&wide, usize::MAX), wide);
        assert_eq!(padded("a", usize::MAX).len(), WIDEST);
    }
}
