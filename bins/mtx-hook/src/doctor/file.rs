//! mediamtx.yml: where it is, what it holds, and what variables change about it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::configuration::{Configuration, Entry, Settings};
use super::finding::Diagnosis;
use super::process::Process;
use super::variables;

/// Where MediaMTX looks if no file is named (`defaultConfPaths` in its `internal/core/core.go`).
pub(super) const PLACES: [&str; 5] = [
    "rtsp-simple-server.yml",
    "mediamtx.yml",
    "/usr/local/etc/mediamtx.yml",
    "/usr/etc/mediamtx.yml",
    "/etc/mediamtx/mediamtx.yml",
];

/// Whoever has a larger one has named another file by mistake.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Why a file can't be looked at.
#[derive(Debug)]
pub(super) enum FileError {
    /// Not there, or not for us.
    Read(io::Error),
    /// Encrypted with `MTX_CONFKEY`.
    Encrypted,
    /// MediaMTX can't read it either.
    Content(String),
}

/// The file that the server reads, if it is where servers look.
pub(super) fn locate(process: &Process) -> Option<PathBuf> {
    let places = PLACES.iter().map(PathBuf::from);
    let given = process.file_of_server();
    given.into_iter().chain(places).find(|file| file.exists())
}

/// What a file says, with what the process' environment says instead, and the names of those variables.
pub(super) fn read(
    file: &Path,
    process: &Process,
    diagnosis: &mut Diagnosis,
) -> Result<(Configuration, Vec<String>), FileError> {
    let length = fs::metadata(file).map_err(FileError::Read)?.len();
    if length > LARGEST {
        return Err(FileError::Content(format!(
            "{length} bytes are no mediamtx.yml"
        )));
    }
    let text = fs::read(file).map_err(FileError::Read)?;
    let mut configuration = match parse(&text) {
        Ok(configuration) => configuration,
        Err(_) if is_encrypted(&text) => return Err(FileError::Encrypted),
        Err(error) => return Err(FileError::Content(error)),
    };
    let variables = variables::apply(process, &mut configuration, diagnosis);
    Ok((configuration, variables))
}

/// As MediaMTX decrypts it with `MTX_CONFKEY` (its `internal/conf/decrypt`): one long word of base64.
fn is_encrypted(text: &[u8]) -> bool {
    const SHORTEST: usize = 56;
    let word = text.trim_ascii();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    word.len() >= SHORTEST && word.iter().all(is_base64)
}

pub(super) fn parse(text: &[u8]) -> Result<Configuration, String> {
    let mut yaml: serde_yaml::Value =
        serde_yaml::from_slice(text).map_err(|error| error.to_string())?;
    yaml.apply_merge().map_err(|error| error.to_string())?;
    // Keys that are numbers become text, as they do in MediaMTX.
    let json = serde_json::to_value(&yaml).map_err(|error| error.to_string())?;
    let mut global = match json {
        Value::Null => Settings::new(),
        Value::Object(settings) => settings,
        _ => return Err("it is no list of settings, each with its value".to_owned()),
    };
    let defaults = settings_in("pathDefaults", global.remove("pathDefaults"))?;
    let entries = settings_in("paths", global.remove("paths"))?;
    let entry = |(name, value): (String, Value)| {
        let is_null = value.is_null();
        let settings = settings_in(&name, Some(value))?;
        Ok(Entry {
            name,
            settings,
            is_null,
        })
    };
    Ok(Configuration {
        global,
        defaults,
        entries: entries
            .into_iter()
            .map(entry)
            .collect::<Result<_, String>>()?,
        of_variables: Vec::new(),
    })
}

/// An entry without settings is as good as none.
fn settings_in(name: &str, value: Option<Value>) -> Result<Settings, String> {
    match value {
        None | Some(Value::Null) => Ok(Settings::new()),
        Some(Value::Object(settings)) => Ok(settings),
        Some(_) => Err(format!(
            "{name} is no list of settings, each with its value"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn anchors_merges_and_empty_entries_are_understood() {
        let yaml = b"rtmp: no\nx: &hooks {runOnAvailable: mtx-hook ready}\n\
            pathDefaults:\npaths:\n  cam1: {<<: *hooks, record: yes}\n  7:\n  all_others:\n";
        let configuration = parse(yaml).unwrap();
        assert!(!configuration.is_on("rtmp") && configuration.is_on("rtsp"));
        let names: Vec<_> = configuration.entries.iter().map(|it| &it.name).collect();
        assert_eq!(names, ["7", "all_others", "cam1"]);
        assert_eq!(configuration.hooks()[0].place(), "cam1: runOnAvailable");
        assert!(parse(b"").unwrap().entries.is_empty());
    }

    #[test]
    fn an_encrypted_file_is_told_from_one_that_is_wrong() {
        let word = "bm9uY2Vub25jZW5vbmNlbm9uY2U0Y2lwaGVydGV4dGNpcGhlcnRleHQrLw==";
        assert!(is_encrypted(word.as_bytes()) && is_encrypted(format!("{word}\n").as_bytes()));
        for text in ["", "abcd", &format!("a: {word}"), &format!("- {word}")] {
            assert!(!is_encrypted(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for yaml in [
            "[]",
            "5",
            "paths: 5",
            "paths: {a: [b]}",
            "a: *b",
            "a: {",
            "a: 1\na: 2",
        ] {
            assert!(parse(yaml.as_bytes()).is_err(), "{yaml}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in any::<Vec<u8>>(), text in "[a-zA-Z0-9_:&*<>!| \\[\\]{},'\"\\-\n~^$/.]{0,200}") {
            for bytes in [bytes.as_slice(), text.as_bytes(), format!("paths:\n  {text}").as_bytes()] {
                if let Ok(configuration) = parse(bytes) {
                    super::super::tests::look_at(&configuration);
                }
            }
        }
    }
}
