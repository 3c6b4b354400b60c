//! Tables that people read: columns aligned, two blanks between them, no borders; and ages.

use super::error::CommandError;
use super::output::{Colour, Output};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A table under construction.
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// What stands in one place of a table.
pub struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        let text: String = text.into();
        // Names come from users, reasons from guests: neither may move the cursor.
        Cell {
            text: text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
            colour: None,
        }
    }
}

impl Cell {
    /// The same cell in a colour.
    pub fn coloured(self, colour: Colour) -> Cell {
        Cell {
            colour: Some(colour),
            ..self
        }
    }
}

impl Table {
    /// A table with these column heads.
    pub fn new<const N: usize>(head: [&'static str; N]) -> Table {
        Table {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.head.len());
        self.rows.push(cells.into_iter().collect());
    }

    /// The table's lines, its head first if that has any words; none if it has no rows. Columns in which nothing stands are left out.
    pub fn lines(&self, out: &Output) -> Vec<String> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let widths: Vec<usize> = (0..self.head.len()).map(|column| self.width(column)).collect();
        let head: Vec<Cell> = self
            .head
            .iter()
            .map(|text| Cell::from(*text).coloured(Colour::Dim))
            .collect();
        let has_words = self.head.iter().any(|text| !text.is_empty());
        has_words
            .then_some(&head)
            .into_iter()
            .chain(&self.rows)
            .map(|row| render(row, &widths, out))
            .collect()
    }

    /// Prints it.
    ///
    /// # Errors
    /// Standard output can't be written to.
    pub fn print(&self, out: &Output) -> Result<(), CommandError> {
        self.lines(out).iter().try_for_each(|line| out.line(line))
    }

    /// How wide a column is; 0 when only its head stands in it.
    fn width(&self, column: usize) -> usize {
        let length = |row: &Vec<Cell>| row.get(column).map_or(0, |cell| cell.text.chars().count());
        match self.rows.iter().map(length).max() {
            Some(widest) if widest > 0 => widest.max(self.head[column].chars().count()),
            _ => 0,
        }
    }
}

fn render(row: &[Cell], widths: &[usize], out: &Output) -> String {
    let mut line = String::new();
    let mut blanks = 0;
    for (cell, width) in row.iter().zip(widths).filter(|(_, width)| **width > 0) {
        line.extend(std::iter::repeat_n(' ', blanks));
        match cell.colour {
            Some(colour) => line.push_str(&out.paint(colour, &cell.text)),
            None => line.push_str(&cell.text),
        }
        blanks = width - cell.text.chars().count() + 2;
    }
    line.trim_end().to_string()
}

/// How long ago a moment of the API (RFC 3339) was, in the unit that fits: `12 s`, `5 min`, `3 h`, `9 d`.
pub fn age(moment: &str, now: OffsetDateTime) -> String {
    let Ok(then) = OffsetDateTime::parse(moment, &Rfc3339) else {
        return String::new();
    };
    let seconds = (now - then).whole_seconds().max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Output {
        // Tests have no terminal, so no colours.
        Output::new(false)
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut table = Table::new(["ID", "NAME", "REASON", "STATE"]);
        table.row(["i-1".into(), "web".into(), "".into(), "running".into()]);
        table.row(["i-22222".into(), "".into(), "".into(), "stopped".into()]);
        assert_eq!(
            table.lines(&plain()),
            [
                "ID       NAME  STATE",
                "i-1      web   running",
                "i-22222        stopped"
            ]
        );
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\x1b[2Jb\n".into()]);
        assert_eq!(table.lines(&plain())[1], "a?[2Jb?");
    }

    #[test]
    fn ages_are_in_the_unit_that_fits() {
        let now = OffsetDateTime::parse("2026-01-10T12:00:00Z", &Rfc3339).unwrap();
        for (moment, text) in [
            ("2026-01-10T11:59:48.000Z", "12 s"),
            ("2026-01-10T11:55:00.000Z", "5 min"),
            ("2026-01-10T09:00:00.000Z", "3 h"),
            ("2026-01-01T12:00:00.000Z", "9 d"),
            ("2027-01-01T12:00:00.000Z", "0 s"),
            ("yesterday", ""),
        ] {
            assert_eq!(age(moment, now), text, "{moment}");
        }
    }
}
