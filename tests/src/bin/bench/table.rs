//! Tables in Markdown, and the numbers in them.

use std::time::Duration;

/// A titled table.
pub(crate) struct Table {
    title: String,
    note: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, note: &str, header: &[&str]) -> Self {
        let header = header.iter().map(|&cell| cell.to_owned()).collect();
        Self {
            title: title.to_owned(),
            note: note.to_owned(),
            header,
            rows: vec![],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn render(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        // The first column holds names, the others numbers.
        let mut rule = vec!["---:".to_owned(); self.header.len()];
        rule[0] = ":---".to_owned();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!(
            "### {}\n\n{}\n\n{}{}{rows}",
            self.title,
            self.note,
            line(&self.header),
            line(&rule)
        )
    }
}

/// The median; of an even number, the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which a share (0 to 1) lies, interpolated; not a number if there are no values.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = share * last as f64;
    let (below, above) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    below + (above - below) * place.fract()
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A number and, in brackets, how many times the reference it is.
pub(crate) fn with_ratio(value: f64, reference: f64, unit: &str) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    let space = if unit.is_empty() { "" } else { " " };
    format!("{value:.digits$}{space}{unit} ({:.1}×)", value / reference)
}
