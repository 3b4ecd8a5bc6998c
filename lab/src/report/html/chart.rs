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

    /// The class of a column: figures stand to its right, sentences get some width.
    pub fn class(&self, column: usize) -> &'static str {
        let cells = || self.rows.iter().filter_map(|row| row.get(column));
        if column > 0 && cells().next().is_some() && cells().all(|cell| is_figure(cell)) {
            "n"
        } else if cells().any(|cell| cell.chars().count() > SENTENCE) {
            "words"
        } else {
            "word"
        }
    }
}

/// Longer cells are sentences, which need some width to be read.
const SENTENCE: usize = 30;

/// Whether a cell holds a figure, or stands for one.
fn is_figure(cell: &str) -> bool {
    let begins = |c: char| c.is_ascii_digit() || matches!(c, '≥' | '+' | '-' | '–');
    cell.starts_with(begins) || cell == "baseline" || cell == "not known"
}
