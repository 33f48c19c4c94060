//! One structured line an event, as JSON or text, through the `log` crate.

mod background;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

use log::kv::{self, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::secret;
use crate::timestamp::Timestamp;
use background::Background;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `2026-11-21T04:18:22.123Z INF message path=live/x/in attempt=1`
    #[default]
    Text,
    /// `{"timestamp":"2026-11-21T04:18:22.123Z","level":"INF","message":"…","path":"live/x/in"}`
    Json,
}

/// A text that is no [`LogFormat`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log format: text or json")]
pub struct LogFormatError(String);

impl FromStr for LogFormat {
    type Err = LogFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LogFormatError(crate::excerpt(text, 40))),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For services, whose log is all they print.
    Stdout,
    /// For hooks and workers.
    Stderr,
}

impl Output {
    /// One write a line, so that processes which share a stream do not mix theirs; and nobody is
    /// left to be told that the stream is closed.
    fn write(self, line: &str) {
        let _ = match self {
            Self::Stdout => io::stdout().lock().write_all(line.as_bytes()),
            Self::Stderr => io::stderr().lock().write_all(line.as_bytes()),
        };
    }
}

/// Makes the `log` macros write to `output`. The fields of `context` go on every line, unless the
/// line has one of the same name. Only the first call in a process has an effect.
pub fn init(
    format: LogFormat,
    output: Output,
    level: LevelFilter,
    context: Vec<(&'static str, String)>,
) {
    set(Writer::Direct(output), Form { format, context }, level);
}

/// Like [`init`], for processes that go on for long: whoever logs never waits for whoever reads the
/// log. Call `log::logger().flush()` before the process ends.
pub fn init_background(
    format: LogFormat,
    output: Output,
    level: LevelFilter,
    context: Vec<(&'static str, String)>,
) {
    let form = Arc::new(Form { format, context });
    let writer = match Background::start(output, Arc::clone(&form)) {
        Ok(background) => Writer::Background(background),
        // A line that may have to wait is better than none.
        Err(_) => Writer::Direct(output),
    };
    set(writer, form, level);
}

fn set(writer: Writer, form: impl Into<Arc<Form>>, level: LevelFilter) {
    let logger = Logger {
        writer,
        form: form.into(),
        level,
    };
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
    }
}

struct Logger {
    writer: Writer,
    form: Arc<Form>,
    level: LevelFilter,
}

enum Writer {
    Direct(Output),
    Background(Background),
}

/// What a line looks like.
struct Form {
    format: LogFormat,
    context: Vec<(&'static str, String)>,
}

impl Form {
    fn line(&self, timestamp: Timestamp, record: &Record<'_>) -> String {
        let mut line = Line::new(record);
        for (key, value) in &self.context {
            line.put((*key).into(), Value::from(value.as_str()));
        }
        // Only a visitor that fails makes this fail, and ours does not.
        let _ = record.key_values().visit(&mut line);
        match self.format {
            LogFormat::Text => line.text(timestamp),
            LogFormat::Json => line.json(timestamp),
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let krate = target.split("::").next().unwrap_or(target);
        let is_ours = krate.starts_with("mtx") || ["common", "mediamtx"].contains(&krate);
        let level = if is_ours {
            self.level
        } else {
            self.level.min(LevelFilter::Warn)
        };
        metadata.level() <= level
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = self.form.line(Timestamp::now(), record);
        match &self.writer {
            Writer::Direct(output) => output.write(&line),
            Writer::Background(background) => background.line(line),
        }
    }

    fn flush(&self) {
        match &self.writer {
            Writer::Direct(_) => {
                let _ = io::stdout().flush();
            }
            Writer::Background(background) => background.flush(),
        }
    }
}

struct Line {
    level: &'static str,
    message: String,
    fields: Vec<(String, Value)>,
}

impl Line {
    fn new(record: &Record<'_>) -> Self {
        Self {
            level: level_name(record.level()),
            message: secret::scrub(&record.args().to_string()).into_owned(),
            fields: Vec::new(),
        }
    }

    /// The last one of a name wins: a JSON object has each key once. A field that would pass for
    /// one of the line's own is renamed.
    fn put(&mut self, key: Cow<'_, str>, value: Value) {
        let key = match key.as_ref() {
            "timestamp" | "level" | "message" => format!("{key}_"),
            _ => key.into_owned(),
        };
        let value = match value {
            Value::String(text) => Value::String(secret::scrub(&text).into_owned()),
            other => other,
        };
        match self.fields.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.fields.push((key, value)),
        }
    }

    fn text(&self, timestamp: Timestamp) -> String {
        let mut text = format!("{timestamp} {} {}", self.level, one_line(&self.message));
        for (key, value) in &self.fields {
            let value = match value {
                Value::String(value) if is_bare(value) => value.clone(),
                quoted => quoted.to_string(),
            };
            text.push_str(&format!(" {key}={value}"));
        }
        text.push('\n');
        text
    }

    fn json(&self, timestamp: Timestamp) -> String {
        let line = JsonLine {
            line: self,
            timestamp,
        };
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl<'kvs> VisitSource<'kvs> for Line {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let value = if let Some(value) = value.to_bool() {
            Value::from(value)
        } else if let Some(value) = value.to_u64() {
            Value::from(value)
        } else if let Some(value) = value.to_i64() {
            Value::from(value)
        } else if let Some(value) = value.to_f64() {
            Value::from(value)
        } else {
            Value::from(value.to_string())
        };
        self.put(key.as_str().into(), value);
        Ok(())
    }
}

/// Keeps the order of the fields, which a JSON map would sort.
struct JsonLine<'a> {
    line: &'a Line,
    timestamp: Timestamp,
}

impl Serialize for JsonLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = [
            ("timestamp", Value::from(self.timestamp.to_string())),
            ("level", Value::from(self.line.level)),
            ("message", Value::from(self.line.message.as_str())),
        ];
        let own = own.iter().map(|(key, value)| (*key, value));
        let fields = self.line.fields.iter();
        serializer.collect_map(own.chain(fields.map(|(key, value)| (key.as_str(), value))))
    }
}

/// The names MediaMTX gives its levels, since the lines end up in the same log.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERR",
        Level::Warn => "WAR",
        Level::Info => "INF",
        Level::Debug => "DEB",
        Level::Trace => "TRA",
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_control() => c.escape_default().to_string(),
            c => c.to_string(),
        })
        .collect()
}

fn is_bare(value: &str) -> bool {
    let special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\');
    !value.is_empty() && !value.contains(special)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(format: LogFormat) -> Form {
        let context = vec![("path", "live/x/in".into()), ("streamId", "x".into())];
        Form { format, context }
    }

    fn line(format: LogFormat, message: &str, fields: &[(&str, kv::Value<'_>)]) -> String {
        let timestamp = "2026-11-21T04:18:22.123Z".parse().unwrap();
        let record = |args: fmt::Arguments<'_>| {
            let mut builder = Record::builder();
            builder.target("mtx_worker").level(Level::Info);
            form(format).line(timestamp, &builder.args(args).key_values(&fields).build())
        };
        record(format_args!("{message}"))
    }

    #[test]
    fn text_has_time_level_message_context_and_fields() {
        let fields = [
            ("attempt", 1.into()),
            ("reason", "no route".into()),
            ("path", "live/y/in".into()),
        ];
        assert_eq!(
            line(LogFormat::Text, "retrying", &fields),
            "2026-11-21T04:18:22.123Z INF retrying path=live/y/in streamId=x attempt=1 reason=\"no route\"\n"
        );
    }

    #[test]
    fn json_keeps_order_and_types() {
        let fields = [
            ("attempt", 1.into()),
            ("ok", true.into()),
            ("lag", 0.5.into()),
            ("d", (-1).into()),
        ];
        assert_eq!(
            line(LogFormat::Json, "a \"b\"", &fields),
            "{\"timestamp\":\"2026-11-21T04:18:22.123Z\",\"level\":\"INF\",\"message\":\"a \\\"b\\\"\",\
             \"path\":\"live/x/in\",\"streamId\":\"x\",\"attempt\":1,\"ok\":true,\"lag\":0.5,\"d\":-1}\n"
        );
    }

    #[test]
    fn a_field_cannot_pass_for_the_time_or_the_level() {
        let text = line(LogFormat::Json, "m", &[("level", "ERR".into())]);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&value["level"], &value["level_"]),
            (&"INF".into(), &"ERR".into())
        );
    }

    #[test]
    fn secrets_are_hidden_in_message_and_fields() {
        secret::register("hunter2");
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = line(
                format,
                "with hunter2",
                &[("url", "rtsp://u:hunter2@h".into())],
            );
            assert!(
                !text.contains("hunter2") && text.contains("***@h"),
                "{text}"
            );
        }
    }

    #[test]
    fn other_crates_are_heard_from_warnings_up() {
        let logger = Logger {
            writer: Writer::Direct(Output::Stderr),
            form: form(LogFormat::Text).into(),
            level: LevelFilter::Info,
        };
        for (target, level, heard) in [
            ("mtx_worker::rtsp", Level::Info, true),
            ("mediamtx::path", Level::Info, true),
            ("common::http::server", Level::Info, true),
            ("common_crates::any", Level::Info, false),
            ("mtx_worker", Level::Debug, false),
            ("tokio_rustls::client", Level::Info, false),
            ("tokio_rustls::client", Level::Warn, true),
        ] {
            let metadata = Metadata::builder().target(target).level(level).build();
            assert_eq!(logger.enabled(&metadata), heard, "{target} {level}");
        }
    }

    #[test]
    fn formats_are_named_text_and_json() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "xml".parse::<LogFormat>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"xml\" is not a log format: text or json"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_logged_is_one_line(message in any::<String>(), value in any::<String>()) {
            let fields = [("field", value.as_str().into())];
            let text = line(LogFormat::Text, &message, &fields);
            prop_assert_eq!(text.lines().count(), 1);
            let json = line(LogFormat::Json, &message, &fields);
            prop_assert_eq!(json.lines().count(), 1);
            let parsed: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(parsed["message"].as_str(), Some(message.as_str()));
            prop_assert_eq!(parsed["field"].as_str(), Some(value.as_str()));
        }
    }
}
