//! The status for people.

use mtx_lifecycle::commands::status::{PathStatus, Status};

const HEAD: [&str; 6] = ["PATH", "STATE", "USE CASES", "VIEWERS", "RECORDING", "NOTE"];

/// A line for each path.
pub(crate) fn table(status: &Status) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(status.paths.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..HEAD.len())
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn row(path: &PathStatus) -> [String; 6] {
    let use_cases = match path.use_cases.is_empty() {
        true => "-".to_owned(),
        false => path.use_cases.join(","),
    };
    let recording = if path.recording { "yes" } else { "no" };
    [
        path.path.clone(),
        path.state.as_str().to_owned(),
        use_cases,
        path.viewers.to_string(),
        recording.to_owned(),
        note(path),
    ]
}

fn note(path: &PathStatus) -> String {
    let stopped = path
        .stopped
        .iter()
        .map(|reason| format!("stopped: {reason}"));
    let problem = path.problem.iter().cloned();
    let pending = path.pending.iter().map(ToString::to_string);
    stopped
        .chain(problem)
        .chain(pending)
        .collect::<Vec<_>>()
        .join("; ")
}
