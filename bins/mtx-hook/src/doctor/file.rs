//! mediamtx.yml: where it is, what it holds, and what variables change about it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::configuration::{Configuration, Entry, Settings, Style};
use super::deprecated;
use super::finding::Diagnosis;
use super::process::Process;
use super::refused::is_flag;
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
    /// MediaMTX may well read it.
    Unsure(String),
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
        Err(ParseError::Refused(error)) => return Err(FileError::Content(error)),
        Err(ParseError::Unsure(error)) => return Err(FileError::Unsure(error)),
    };
    check_start(file, &text, diagnosis);
    let variables = variables::apply(process, &mut configuration, diagnosis);
    deprecated::translate(&mut configuration, diagnosis);
    Ok((configuration, variables))
}

/// As MediaMTX decrypts it with `MTX_CONFKEY` (its `internal/conf/decrypt`): one long word of base64.
fn is_encrypted(text: &[u8]) -> bool {
    const SHORTEST: usize = 56;
    let word = text.trim_ascii();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    word.len() >= SHORTEST && word.iter().all(is_base64)
}

/// What some versions refuse at the beginning of a file (goccy/go-yaml), and others don't.
fn check_start(file: &Path, text: &[u8], diagnosis: &mut Diagnosis) {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let text_of = |what: &str| {
        format!("it begins with {what}: v1.19.3 and others refuse the whole file for it")
    };
    let place = file.display().to_string();
    if text.starts_with(BYTE_ORDER_MARK) {
        let text = text_of("a byte order mark (BOM), if a comment follows");
        diagnosis.warning(place, format!("{text}; save it as UTF-8 without one"));
    } else if text.starts_with(b"%") {
        diagnosis.warning(
            place,
            format!("{}; remove that line", text_of("a directive")),
        );
    }
}

/// Why a text is no configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ParseError {
    /// No version of MediaMTX takes it.
    Refused(String),
    /// Its YAML can't be read here; some versions of MediaMTX read what others don't.
    Unsure(String),
}

impl From<String> for ParseError {
    fn from(error: String) -> Self {
        Self::Refused(error)
    }
}

/// Newer servers read YAML with goccy/go-yaml, which takes some texts that libyaml does not, and so serde_yaml.
fn judge(error: &serde_yaml::Error, text: &[u8]) -> ParseError {
    const LONGEST_KEY: usize = 1024;
    let Ok(utf8) = std::str::from_utf8(text) else {
        return ParseError::Unsure("it is not in UTF-8".to_owned());
    };
    let at = error.location().map_or(0, |place| place.index());
    let fails_at = |c: char| utf8.get(at..).is_some_and(|rest| rest.starts_with(c));
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let is_unsure = utf8.contains(|c: char| is_control(c) || matches!(c, '\u{2028}' | '\u{2029}'))
        || utf8.lines().any(|line| line.len() > LONGEST_KEY)
        || ['%', '@', '`'].into_iter().any(fails_at);
    if is_unsure {
        ParseError::Unsure(error.to_string())
    } else {
        ParseError::Refused(error.to_string())
    }
}

pub(super) fn parse(text: &[u8]) -> Result<Configuration, ParseError> {
    let mut yaml: serde_yaml::Value =
        serde_yaml::from_slice(text).map_err(|error| judge(&error, text))?;
    yaml.apply_merge().map_err(|error| error.to_string())?;
    // Keys that are numbers become text, as they do in MediaMTX.
    let json = serde_json::to_value(&yaml).map_err(|_| {
        ParseError::Unsure("one of its keys is no text, such as ~ or null".to_owned())
    })?;
    let mut global = match json {
        Value::Null => Settings::new(),
        Value::Object(settings) => settings,
        _ => {
            return Err("it is no list of settings, each with its value"
                .to_owned()
                .into());
        }
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
            .collect::<Result<_, ParseError>>()?,
        of_variables: Vec::new(),
        styles: std::str::from_utf8(text).map(styles).unwrap_or_default(),
    })
}

/// How words such as `no` are written in `name: word`, on a line of its own or in braces, which serde_yaml does not tell.
fn styles(text: &str) -> Vec<(String, Style)> {
    let style = |part: &str| {
        let (name, value) = part.trim().split_once(": ")?;
        let value = value.split(" #").next().unwrap_or_default().trim();
        let unquoted = ['\'', '"']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let style = match unquoted {
            Some(_) => Style::Quoted,
            None => Style::Plain,
        };
        is_flag(unquoted.unwrap_or(value)).then(|| (name.to_owned(), style))
    };
    let parts = text.split(['\n', '{', ',', '}']);
    parts.filter_map(style).collect()
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
            let error = parse(yaml.as_bytes()).unwrap_err();
            assert!(matches!(error, ParseError::Refused(_)), "{yaml}");
        }
        for yaml in [
            "paths:\n\tcam: {}",
            "rtmp: no\nrtsp",
            "a: {\n  b: 1\n",
            "a: 'b",
        ] {
            let error = parse(yaml.as_bytes()).unwrap_err();
            assert!(matches!(error, ParseError::Refused(_)), "{yaml}: {error:?}");
        }
    }

    #[test]
    fn what_some_servers_read_is_not_called_unreadable() {
        let long = format!("{}: 1", "a".repeat(1025));
        for yaml in [
            &b"pathDefaults: {recordPath: %path/x}"[..],
            b"recordPath: \"a\"\npathDefaults:\n  recordPath: %path/x",
            b"# f\xfcr\nrtmp: no",
            b"# a\x07b\nrtmp: no",
            long.as_bytes(),
            b"paths: {~: {}}",
            b"paths: {null: {}}",
            "# a\u{85}b\nrtmp: no".as_bytes(),
            "# a\u{2028}b\nrtmp: no".as_bytes(),
        ] {
            if let Err(error) = parse(yaml) {
                assert!(matches!(error, ParseError::Unsure(_)), "{error:?}");
            }
        }
        assert!(parse(b"paths: {~: {}}").is_err() && parse(long.as_bytes()).is_err());
    }

    #[test]
    fn quotes_around_words_are_seen() {
        let yaml = "rtmp: 'no' # off\nhls: no # off\napi: yes\npathDefaults:\n  record: yes\npaths:\n  a: {srt: no}\n  b:\n    record: \"yes\"\n";
        let configuration = parse(yaml.as_bytes()).unwrap();
        for (name, style) in [
            ("rtmp", Style::Quoted),
            ("hls", Style::Plain),
            ("api", Style::Plain),
            ("record", Style::Unknown),
            ("srt", Style::Plain),
            ("moq", Style::Unknown),
        ] {
            assert_eq!(configuration.style(name), style, "{name}");
        }
    }

    #[test]
    fn a_byte_order_mark_and_a_directive_are_named() {
        for (text, part) in [
            (&b"\xef\xbb\xbf# c\nrtmp: no"[..], "byte order mark"),
            (b"%YAML 1.1\n---\nrtmp: no", "directive"),
        ] {
            let mut diagnosis = Diagnosis::default();
            check_start(Path::new("mediamtx.yml"), text, &mut diagnosis);
            assert!(parse(text).is_ok() && diagnosis.found[0].text.contains(part));
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
