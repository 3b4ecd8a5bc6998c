//! What the page shows of a chart: the picture, and the same figures as a table for who does not see it.

/// A picture with its words and figures.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Unique on the page.
    pub id: String,
    /// What is shown, with its unit.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The picture.
    pub svg: String,
    /// The same figures.
    pub table: Table,
}

/// A table: its first column names the row.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// What it is.
    pub caption: String,
    /// The columns' titles.
    pub columns: Vec<String>,
    /// The rows, each as long as the columns.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(caption: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
        Table {
            caption: caption.to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows,
        }
    }

    /// Whether a column holds figures, which stand to its right.
    pub fn holds_figures(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).peekable();
        column > 0 && cells.peek().is_some() && cells.all(|cell| is_figure(cell))
    }
}

/// Whether a cell holds a figure, or stands for one.
fn is_figure(cell: &str) -> bool {
    let begins = |c: char| c.is_ascii_digit() || matches!(c, '≥' | '+' | '-' | '–');
    cell.starts_with(begins) || cell == "baseline" || cell == "not known"
}
