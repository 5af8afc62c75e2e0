//! A plain table for a terminal: the first column to the left, numbers to the right, two blanks between, headings over
//! groups of rows.

use std::fmt;

/// Rows of text under one line of titles.
pub(crate) struct Table {
    titles: Vec<String>,
    /// A row of a single cell is a heading.
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new<T: Into<String>>(titles: impl IntoIterator<Item = T>) -> Self {
        Self { titles: titles.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a line of its own, as long as it likes.
    pub(crate) fn heading(&mut self, text: String) {
        self.rows.push(vec![text]);
    }

    /// Adds a row; missing cells are left blank.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert!(cells.len() <= self.titles.len(), "{} cells under {} titles", cells.len(), self.titles.len());
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let lines = || std::iter::once(&self.titles).chain(self.rows.iter().filter(|row| row.len() > 1));
        let width = |column: usize| lines().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
        (0..self.titles.len()).map(|column| width(column).unwrap_or(0)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        line(f, &self.titles, &widths)?;
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        line(f, &rule, &widths)?;
        self.rows.iter().try_for_each(|row| line(f, row, &widths))
    }
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[String], widths: &[usize]) -> fmt::Result {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if column == 0 {
            text.push_str(&format!("  {cell:<width$}"));
        } else {
            text.push_str(&format!("  {cell:>width$}"));
        }
    }
    writeln!(f, "{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["trace", "hit %"]);
        table.row(vec!["oltp".into(), "67.8".into()]);
        table.heading("all of them".into());
        assert_eq!(table.to_string(), "  trace  hit %\n  -----  -----\n  oltp    67.8\n  all of them\n");
    }
}
