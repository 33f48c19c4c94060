//! What is wanted, as a part of mediamtx.yml: for a server that can't be told.

use std::collections::BTreeSet;
use std::fs;
use std::io;
#[cfg(unix)]
use std::io::Write;
use std::path::{Path, PathBuf};

use mediamtx::api::Fields;
use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use super::{Error, Lifecycle};
use crate::journal::{Journal, State};
use crate::plan::keeper_fields;
use crate::server::{Demand, Keeper, is_reserved};

const HEAD: &str = "\
# What mtx-lifecycle wants of these paths. Written out for a mediamtx.yml: an entry that is there already gets
# the settings that are named here.
";
const FALLBACK: &str = "fallback.yml";
const DEFAULT_RTSP: &str = "rtsp://127.0.0.1:8554";

#[derive(Serialize)]
struct Fragment {
    paths: Map<String, Value>,
}

impl Lifecycle {
    /// The paths of a mediamtx.yml, from the journal alone.
    #[must_use]
    pub fn export(&self, state: &State) -> String {
        let rtsp = self.options().rtsp.clone().or_else(|| state.rtsp.clone());
        let rtsp = rtsp.or_else(|| DEFAULT_RTSP.parse().ok());
        export(state, rtsp.as_ref())
    }

    /// The same as a file beside the journal, for as long as the server can't be told.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_fallback(&self) -> Result<PathBuf, Error> {
        let folder = &self.options().folder;
        let file = folder.join(FALLBACK);
        let text = self.export(&Journal::peek(folder)?);
        let draft = file.with_extension("new");
        let written = write_private(&draft, &text).and_then(|()| fs::rename(&draft, &file));
        written.map_err(|error| Error::Folder {
            folder: file.display().to_string(),
            error,
        })?;
        Ok(file)
    }
}

/// It has the passwords of sources.
#[cfg(unix)]
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let _ = fs::remove_file(file);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(file)?.write_all(text.as_bytes())
}

#[cfg(not(unix))]
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text)
}

fn export(state: &State, rtsp: Option<&Url>) -> String {
    let current = state.current();
    let mut names: BTreeSet<&str> = current.named();
    names.extend(state.ledger.entries().filter(|entry| !is_reserved(entry)));
    let mut paths = Map::new();
    for path in names {
        let owned = state.ledger.get(path);
        let mut entry = Fields::new();
        // What came along from an entry for many paths.
        for (name, field) in owned.into_iter().flat_map(|owned| &owned.fields) {
            let is_untouched =
                owned.is_some_and(|it| it.created) && field.ours.contains(&field.original);
            if is_untouched {
                entry.insert(name.clone(), field.original.clone());
            }
        }
        let mut kept = false;
        for others in kinds(state, path) {
            let target = current.target(path, &others);
            entry.extend(target.fields);
            kept |= target.kept;
        }
        if !entry.is_empty() {
            paths.insert(path.to_owned(), Value::from(entry));
        }
        if kept && let Some((name, fields)) = keeper(state, rtsp, path) {
            paths.insert(name, Value::from(fields));
        }
    }
    // Maps with text for keys always have a YAML form.
    let yaml = serde_yaml::to_string(&Fragment { paths }).unwrap_or_default();
    format!("{HEAD}{yaml}")
}

/// The settings of a path without this program, as far as they decide whether it is on demand. A path that was never
/// looked at may be all kinds, since MediaMTX leaves the settings of the other kinds alone.
fn kinds(state: &State, path: &str) -> Vec<Fields> {
    match state.demands.get(path) {
        Some(demand) => vec![example(*demand)],
        None => vec![example(Demand::Command), example(Demand::Fetched)],
    }
}

fn example(demand: Demand) -> Fields {
    let fields: &[(&str, Value)] = match demand {
        Demand::Command => &[("runOnDemand", Value::from("?"))],
        Demand::Fetched => &[
            ("source", Value::from("rtsp://?")),
            ("sourceOnDemand", Value::from(true)),
        ],
        Demand::None => &[],
    };
    let fields = fields.iter();
    fields
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn keeper_name(state: &State, path: &str) -> String {
    let journal = match state.id.as_str() {
        "" => "keep",
        id => id,
    };
    Keeper { journal, path }.name()
}

/// As it was written last, or would be.
fn keeper(state: &State, rtsp: Option<&Url>, path: &str) -> Option<(String, Fields)> {
    let name = keeper_name(state, path);
    let written = state.ledger.get(&name).map(|owned| {
        let fields = owned.fields.iter();
        let values =
            fields.filter_map(|(name, field)| Some((name.clone(), field.ours.last()?.clone())));
        values.collect()
    });
    let fields = written.or_else(|| Some(keeper_fields(rtsp?, path, &Fields::new())))?;
    Some((name, fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Record;
    use common::timestamp::Timestamp;

    fn recording(policy: &str) -> State {
        let mut state = State::default();
        state.fold(Record::Revision {
            at: Timestamp::now(),
            number: 1,
            what: "apply".to_owned(),
            policy: Some(policy.parse().unwrap()),
            uses: std::collections::BTreeMap::new(),
            undoes: None,
        });
        state
    }

    #[test]
    fn nothing_keeps_a_path_open_that_is_only_published() {
        let mut state = recording("paths: [{path: cam, useCase: recording}]");
        let text = |state: &State| export(state, DEFAULT_RTSP.parse().ok().as_ref());
        assert!(
            text(&state).contains("lifecycle/keep/cam"),
            "never looked at"
        );
        for (demand, is_kept) in [
            (Demand::None, false),
            (Demand::Command, true),
            (Demand::Fetched, true),
        ] {
            let paths = [("cam".to_owned(), demand)].into();
            state.fold(Record::Demands { paths });
            let text = text(&state);
            assert_eq!(
                text.contains("lifecycle/keep"),
                is_kept,
                "{demand:?}: {text}"
            );
            assert!(text.contains("record: true"), "{text}");
        }
    }

    #[test]
    fn a_recording_is_exported_with_what_keeps_it_open() {
        let policy = "paths: [{path: cam, useCase: recording, source: {rtsp: 'rtsp://h/1'}}]";
        let state = recording(policy);
        let text = export(&state, DEFAULT_RTSP.parse().ok().as_ref());
        let yaml: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(yaml["paths"]["cam"]["record"], true);
        assert_eq!(yaml["paths"]["cam"]["source"], "rtsp://h/1");
        assert_eq!(
            yaml["paths"]["lifecycle/keep/cam"]["source"],
            "rtsp://127.0.0.1:8554/cam"
        );
    }
}
