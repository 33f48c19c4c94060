//! The status for people.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, IsTerminal};

use mtx_lifecycle::commands::status::{PathState, PathStatus, Status};
use mtx_lifecycle::commands::storage::{Place, Storage, bytes};

const COLUMNS: usize = 9;
const HEAD: [&str; COLUMNS] = [
    "PATH",
    "STATE",
    "USE CASES",
    "VIEWERS",
    "RECORDING",
    "KEPT",
    "FILES",
    "FREE",
    "NOTE",
];
/// The column that has a colour.
const STATE: usize = 1;

/// A line for each path; in colour on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
pub(crate) fn table(status: &Status) -> String {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    render(status, io::stdout().is_terminal() && !no_color)
}

fn render(status: &Status, in_color: bool) -> String {
    let head = HEAD.map(str::to_owned);
    let rows: Vec<_> = status.paths.iter().map(row).collect();
    let all = || rows.iter().chain([&head]);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..HEAD.len())
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let line = |row: &[String; COLUMNS], color: Option<&str>| {
        let cells = row.iter().zip(&widths).enumerate();
        let padded: Vec<_> = cells
            .map(
                |(column, (cell, width))| match color.filter(|_| column == STATE) {
                    Some(color) => format!("\x1b[{color}m{cell:width$}\x1b[0m"),
                    None => format!("{cell:width$}"),
                },
            )
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&head, None)];
    for (path, row) in status.paths.iter().zip(&rows) {
        lines.push(line(row, in_color.then(|| color(path.state))));
    }
    lines.extend(why_unknown(status));
    lines.join("\n")
}

/// A line for each reason why a disk could not be looked at.
fn why_unknown(status: &Status) -> BTreeSet<String> {
    let places = status.paths.iter().filter_map(|path| path.storage.as_ref());
    let why = places.filter_map(|storage| match &storage.place {
        Place::DiskUnknown(why) => Some(format!("FILES and FREE are unknown: {why}")),
        Place::Disk(_) => None,
    });
    why.collect()
}

/// As a terminal numbers them: green, yellow, red, dim.
fn color(state: PathState) -> &'static str {
    match state {
        PathState::Live => "32",
        PathState::Waiting => "33",
        PathState::Degraded | PathState::Unknown => "31",
        PathState::Idle => "2",
    }
}

fn row(path: &PathStatus) -> [String; COLUMNS] {
    let use_cases = match path.use_cases.as_slice() {
        [] => "-".to_owned(),
        some => some.join(","),
    };
    let recording = if path.recording { "yes" } else { "no" };
    let [kept, files, free] = path
        .storage
        .as_ref()
        .map_or(["-"; 3].map(str::to_owned), disk);
    [
        path.path.clone(),
        path.state.as_str().to_owned(),
        use_cases,
        path.viewers.to_string(),
        recording.to_owned(),
        kept,
        files,
        free,
        note(path),
    ]
}

/// How long files are kept, what they take, and what is left.
fn disk(storage: &Storage) -> [String; 3] {
    let delete_after = storage.retention.delete_after;
    let kept = if delete_after.is_zero() {
        "for ever".to_owned()
    } else {
        delete_after.to_string()
    };
    match &storage.place {
        Place::Disk(disk) => [kept, bytes(disk.used), bytes(disk.free)],
        Place::DiskUnknown(_) => [kept, "?".to_owned(), "?".to_owned()],
    }
}

fn note(path: &PathStatus) -> String {
    let stopped = path
        .stopped
        .iter()
        .map(|reason| format!("stopped: {reason}"));
    let until = path.until.iter();
    let until = until.map(|(use_case, until)| format!("{use_case} until {until}"));
    let problem = path.problem.iter().cloned();
    let rivalry = path.rivalry().into_iter();
    let missing = path.missing.iter().map(ToString::to_string);
    let pending = path.pending.iter().map(ToString::to_string);
    let full = path.storage.iter().filter_map(Storage::warning);
    let notes = stopped
        .chain(until)
        .chain(problem)
        .chain(missing)
        .chain(rivalry)
        .chain(full)
        .chain(pending);
    notes.collect::<Vec<_>>().join("; ")
}
