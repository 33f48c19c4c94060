//! Variables in place of the file's settings, such as `MTX_RTMPADDRESS`, `MTX_PATHDEFAULTS_RECORD` and
//! `MTX_PATHS_CAM1_RECORD`: see MediaMTX's `internal/conf/env/env.go`.

use super::configuration::{Configuration, Entry, PATH_DEFAULTS, Settings};
use super::entries::is_for_all;
use super::finding::Diagnosis;
use super::process::Process;
use super::settings::Level;

const PREFIX: &str = "MTX_";

/// Variables of an entry; MediaMTX still reads those with the older prefix.
const PATH_PREFIXES: [&str; 2] = ["MTX_PATHS_", "RTSP_PATHS_"];

/// What MediaMTX and the suite have variables for that set nothing in the file: whole names, and beginnings of names.
const OTHERS: [&str; 18] = [
    "PATH",
    "QUERY",
    "SOURCE_TYPE",
    "SOURCE_ID",
    "READER_TYPE",
    "READER_ID",
    "CONN_TYPE",
    "CONN_ID",
    "SEGMENT_PATH",
    "SEGMENT_DURATION",
    "CONFKEY",
    "WORKER",
    "GRACE",
    "RECOVERY",
    "HEALTHY_AFTER",
    "START_LIMIT",
    "LOG_FORMAT",
    "TIMEOUT",
];
const FAMILIES: [&str; 5] = ["WORKER_", "HOOK_", "LIFECYCLE_", "ORCHESTRATOR_", "BREAKER"];

/// What MediaMTX does with a variable that sets nothing.
enum Misfit {
    /// It passes it over.
    Ignored(String),
    /// It does not start.
    Refused(String),
}

/// Puts them into the configuration; returns the names of those that set something.
pub(super) fn apply(
    process: &Process,
    configuration: &mut Configuration,
    diagnosis: &mut Diagnosis,
) -> Vec<String> {
    crashes(process, configuration, diagnosis);
    let mut used = Vec::new();
    for (variable, value) in process.variables_with(PREFIX) {
        let rest = &variable[PREFIX.len()..];
        if OTHERS.contains(&rest) || FAMILIES.iter().any(|family| rest.starts_with(family)) {
            continue;
        }
        let applied = match rest.split_once('_') {
            Some(("PATHS", rest)) => of_path(rest, value, configuration),
            Some(("PATHDEFAULTS", rest)) => {
                let set = set(Level::Path, rest, value, &mut configuration.defaults);
                set.map(|name| note(configuration, Some(PATH_DEFAULTS), name))
            }
            _ => set(Level::Server, rest, value, &mut configuration.global)
                .map(|name| note(configuration, None, name)),
        };
        match applied {
            Ok(()) => used.push(variable.to_owned()),
            Err(Misfit::Ignored(text)) => diagnosis.warning(variable, text),
            Err(Misfit::Refused(text)) => diagnosis.error(variable, text),
        }
    }
    used
}

/// MediaMTX panics when a variable, whatever it sets, belongs to an entry that is null in the file: seen on each of
/// [`mediamtx::version::tried_versions`].
fn crashes(process: &Process, configuration: &Configuration, diagnosis: &mut Diagnosis) {
    for entry in configuration.entries.iter().filter(|entry| entry.is_null) {
        let variable = PATH_PREFIXES.iter().find_map(|prefix| {
            let mut variables = process.variables_with(prefix);
            variables.find_map(|(variable, _)| {
                let key = variable[prefix.len()..].split('_').next()?;
                (key == key.to_uppercase() && key.to_lowercase() == entry.name).then_some(variable)
            })
        });
        if let Some(variable) = variable {
            let name = &entry.name;
            diagnosis.error(
                format!("paths: {name}"),
                format!(
                    "the server crashes at its start (reflect.Value.Addr of unaddressable value), since {variable} is \
                     for an entry without any settings: write {name}: {{}} in the file"
                ),
            );
        }
    }
}

fn note(configuration: &mut Configuration, owner: Option<&str>, name: Option<&'static str>) {
    let name = name.map(|name| (owner.map(str::to_owned), name));
    configuration.of_variables.extend(name);
}

/// Sets what the rest of a variable's name stands for. Of a list of groups, such as `AUTHINTERNALUSERS_0_USER`, nothing is
/// set that doctor looks at: `Ok(None)`.
fn set(
    level: Level,
    rest: &str,
    value: &str,
    settings: &mut Settings,
) -> Result<Option<&'static str>, Misfit> {
    if let Some(name) = level.named_in_capitals(rest) {
        if let Some(kind) = level.kind(name).filter(|kind| !kind.takes(value)) {
            let wanted = kind.wanted();
            return Err(Misfit::Refused(format!(
                "the server does not start for its value, which has to be {wanted}"
            )));
        }
        settings.insert(name.to_owned(), value.into());
        return Ok(Some(name));
    }
    let is_item = |item: &str| item.starts_with(|first: char| first.is_ascii_digit());
    let list = rest.split_once('_').filter(|(_, item)| is_item(item));
    match list.and_then(|(list, _)| level.named_in_capitals(list)) {
        Some(_) => Ok(None),
        None => Err(Misfit::Ignored(nothing(level, rest))),
    }
}

/// `CAM1_RECORD`: what stands before the first underscore, in small letters, is the name of an entry, which MediaMTX creates
/// if the file has none.
fn of_path(rest: &str, value: &str, configuration: &mut Configuration) -> Result<(), Misfit> {
    let (key, setting) = rest.split_once('_').unwrap_or((rest, ""));
    if key.is_empty() || key != key.to_uppercase() {
        let text = "MediaMTX passes it over: a path's name stands there in capital letters, MTX_PATHS_CAM1_RECORD";
        return Err(Misfit::Ignored(text.to_owned()));
    }
    let name = key.to_lowercase();
    let at = configuration
        .entries
        .iter()
        .position(|entry| entry.name == name);
    if at.is_none()
        && let Some(meant) = unreachable(rest, configuration)
    {
        let created = format!("it sets nothing of {meant}, but creates a path {name}");
        let way_out = "variables reach only paths without capital letters and underscores; set it in the file";
        return Err(if is_for_all(meant) && is_for_all(&name) {
            Misfit::Refused(format!(
                "{created}, which is the same to the server, so that it refuses the whole file: {way_out}"
            ))
        } else {
            Misfit::Ignored(format!("{created}: {way_out}"))
        });
    }
    let at = at.unwrap_or_else(|| {
        configuration.entries.push(Entry {
            name: name.clone(),
            settings: Settings::new(),
            is_null: false,
        });
        configuration.entries.len() - 1
    });
    if setting.is_empty() {
        return Ok(());
    }
    let set = set(
        Level::Path,
        setting,
        value,
        &mut configuration.entries[at].settings,
    );
    match set {
        Ok(set) => note(configuration, Some(&name), set),
        Err(Misfit::Ignored(text)) => {
            return Err(Misfit::Ignored(format!("{text} for the path {name}")));
        }
        Err(refused) => return Err(refused),
    }
    Ok(())
}

/// The entry that was probably meant, of those whose name no variable can have.
fn unreachable<'a>(rest: &str, configuration: &'a Configuration) -> Option<&'a str> {
    let mut names = configuration
        .entries
        .iter()
        .map(|entry| entry.name.as_str());
    names.find(|name| {
        let rest = rest.strip_prefix(&name.to_uppercase());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    })
}

fn nothing(level: Level, capitals: &str) -> String {
    match level.closest(capitals, None) {
        Some(meant) => format!(
            "MediaMTX has no such setting, and sets nothing: write …{}",
            meant.to_uppercase()
        ),
        None => "MediaMTX has no such setting, and sets nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn applied(
        yaml: &str,
        variables: &[(&str, &str)],
    ) -> (Configuration, Vec<String>, Vec<String>) {
        let mut configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
        let mut diagnosis = Diagnosis::default();
        let used = apply(
            &Process::test(variables),
            &mut configuration,
            &mut diagnosis,
        );
        let found = diagnosis.found.iter().map(ToString::to_string).collect();
        (configuration, used, found)
    }

    #[test]
    fn variables_win_over_the_file() {
        let (configuration, used, found) = applied(
            "rtmp: yes\npaths: {cam1: {}, a_b: {}}",
            &[
                ("MTX_RTMP", "no"),
                ("MTX_PATHDEFAULTS_RECORD", "yes"),
                ("MTX_PATHS_CAM1_RUNONREADY", "mtx-worker"),
                ("MTX_AUTHINTERNALUSERS_0_USER", "me"),
                ("MTX_PATH", "cam1"),
                ("MTX_WORKER_RETRY", "none"),
            ],
        );
        assert_eq!((used.len(), found.len()), (4, 0), "{used:?} {found:?}");
        assert!(!configuration.is_on("rtmp"));
        assert_eq!(configuration.hooks()[0].place(), "cam1: runOnReady");
        assert!(configuration.is_of_variable(Some("cam1"), "runOnReady"));
    }

    #[test]
    fn variables_create_paths_that_the_file_has_not() {
        let variables = [("MTX_PATHS_CAM-2_RUNONREAD", "x"), ("MTX_PATHS_LOBBY", "")];
        let (configuration, used, found) = applied("", &variables);
        assert_eq!((used.len(), found.len()), (2, 0), "{found:?}");
        assert_eq!(configuration.hooks()[0].place(), "cam-2: runOnRead");
        assert_eq!(configuration.entries[1].name, "lobby");
    }

    #[test]
    fn variables_that_set_nothing_are_said() {
        for (variable, part) in [
            ("MTX_RTMPADRESS", "write …RTMPADDRESS"),
            ("MTX_COLOUR", "sets nothing"),
            ("MTX_PATHDEFAULTS_RECORDS", "write …RECORD"),
            (
                "MTX_PATHS_FRONT_DOOR_RECORD",
                "nothing of front_door, but creates a path front",
            ),
            ("MTX_PATHS_CAM1_RECORD", "nothing of Cam1"),
            ("MTX_PATHS_lobby_RECORD", "capital letters"),
            ("MTX_PATHS_X_RECORDS", "for the path x"),
        ] {
            let (_, used, found) =
                applied("paths: {front_door: {}, Cam1: {}}", &[(variable, "s3cret")]);
            assert!(used.is_empty() && found[0].contains(part), "{found:?}");
            assert!(!found[0].contains("s3cret"), "{found:?}");
        }
    }

    proptest! {
        #[test]
        fn no_variable_panics(name in "MTX_(PATHS_|PATHDEFAULTS_|)[A-Za-z0-9_~^é]{0,12}") {
            applied("paths: {a: {}, b_c: {}}", &[(&name, "yes")]);
        }
    }
}
