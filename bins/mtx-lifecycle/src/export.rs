//! What is wanted, as a part of mediamtx.yml: for a server that can't be told.

use std::fs;
use std::path::PathBuf;

use mediamtx::api::Fields;
use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use crate::engine::{Error, Lifecycle};
use crate::journal::{Journal, State};
use crate::keeper;

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
        let rtsp = self.options().rtsp.clone();
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
        let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, &file));
        written.map_err(|error| Error::Folder {
            folder: file.display().to_string(),
            error,
        })?;
        Ok(file)
    }
}

fn export(state: &State, rtsp: Option<&Url>) -> String {
    let wanted = state.wanted();
    let mut names: std::collections::BTreeSet<&str> = wanted.named();
    let touched = state.touched.keys().map(String::as_str);
    names.extend(touched.filter(|entry| keeper::kept(entry).is_none()));
    let mut paths = Map::new();
    for path in names {
        let known = state.touched.get(path);
        let mut entry = known.map(|it| it.base.clone()).unwrap_or_default();
        let mut others = entry.clone();
        others.extend(known.map(|it| it.before.clone()).unwrap_or_default());
        let keeper = state.touched.get(&keeper::name(path));
        let target = wanted.target(path, &others);
        entry.extend(target.fields);
        if !entry.is_empty() {
            paths.insert(path.to_owned(), Value::from(entry));
        }
        let fields = match (keeper, rtsp) {
            (Some(keeper), _) => keeper.written.clone(),
            (None, Some(rtsp)) if target.kept => keeper::fields(rtsp, path, &Fields::new()),
            _ => continue,
        };
        paths.insert(keeper::name(path), Value::from(fields));
    }
    // Maps with text for keys always have a YAML form.
    let yaml = serde_yaml::to_string(&Fragment { paths }).unwrap_or_default();
    format!("{HEAD}{yaml}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Record;
    use mediamtx::timestamp::Timestamp;

    #[test]
    fn a_recording_is_exported_with_what_keeps_it_open() {
        let mut state = State::default();
        let policy = "paths: [{path: cam, useCase: recording, source: {rtsp: 'rtsp://h/1'}}]";
        state.fold(Record::Revision {
            at: Timestamp::now(),
            number: 1,
            what: "apply".to_owned(),
            policy: Some(policy.parse().unwrap()),
            uses: std::collections::BTreeMap::new(),
        });
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
