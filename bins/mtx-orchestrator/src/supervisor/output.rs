//! What a worker writes to its stderr: reports for us, and lines of its log to be passed on.

use common::secret::scrub_of;
use log::Level;
use log::kv::Value as Field;
use mediamtx::path::PathName;
use serde_json::{Map, Value};

use crate::stream_key::StreamKey;

/// What a line tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    Counters(Counters),
    /// The worker's state has changed.
    State(String),
    /// Why it has lost its input or an output, which it tries again.
    Retrying(String),
    /// Why it will end, or what may be the reason.
    Trouble(String),
}

/// The counters of one report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Counters {
    pub(super) state: String,
    pub(super) frames: u64,
    pub(super) video_frames: u64,
    pub(super) bytes: u64,
    pub(super) bitrate: u64,
    pub(super) dropped: u64,
    pub(super) discontinuities: u64,
    pub(super) lost: u64,
    pub(super) damaged: u64,
    pub(super) reconnects: u64,
    pub(super) latency_ms: f64,
}

/// What a line means to us, and what of it goes into our log.
pub(super) fn understand(text: &str) -> (Option<Meaning>, Option<LogLine>) {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
        // A panic, or the last words of the runtime.
        let line = LogLine {
            level: Level::Warn,
            message: text.to_owned(),
            fields: Map::new(),
        };
        let meaning = (!text.is_empty()).then(|| Meaning::Trouble(text.to_owned()));
        return (meaning, Some(line));
    };
    let message = text_of(&fields, "message");
    if message == "stats" {
        return (Some(Meaning::Counters(counters(&fields))), None);
    }
    let level = match text_of(&fields, "level").as_str() {
        "ERR" => Level::Error,
        "WAR" => Level::Warn,
        "DEB" => Level::Debug,
        "TRA" => Level::Trace,
        _ => Level::Info,
    };
    let (state, reason) = (text_of(&fields, "state"), text_of(&fields, "reason"));
    let meaning = if !reason.is_empty() && fields.contains_key("attempt") {
        Some(Meaning::Retrying(reason))
    } else if !reason.is_empty() {
        Some(Meaning::Trouble(reason))
    } else if level == Level::Error {
        Some(Meaning::Trouble(message.clone()))
    } else if !state.is_empty() {
        Some(Meaning::State(state))
    } else {
        None
    };
    // Those we write ourselves.
    for key in ["timestamp", "level", "message", "path", "streamId"] {
        fields.remove(key);
    }
    let line = LogLine {
        level,
        message,
        fields,
    };
    (meaning, Some(line))
}

fn counters(fields: &Map<String, Value>) -> Counters {
    let number = |key: &str| fields.get(key).and_then(Value::as_u64).unwrap_or_default();
    let latency = fields.get("latencyMs").and_then(Value::as_f64);
    Counters {
        state: text_of(fields, "state"),
        frames: number("frames"),
        video_frames: number("videoFrames"),
        bytes: number("bytes"),
        bitrate: number("bitrate"),
        dropped: number("dropped"),
        discontinuities: number("discontinuities"),
        lost: number("lost"),
        damaged: number("damaged"),
        reconnects: number("reconnects"),
        latency_ms: latency.unwrap_or_default(),
    }
}

fn text_of(fields: &Map<String, Value>, key: &str) -> String {
    let text = fields.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// What goes into our log.
pub(super) struct LogLine {
    level: Level,
    message: String,
    fields: Map<String, Value>,
}

impl LogLine {
    /// `secrets` are those of its task; the log knows those of this process.
    pub(super) fn pass_on(
        &self,
        key: &StreamKey,
        path: Option<&PathName>,
        pid: u32,
        secrets: &[String],
    ) {
        let texts: Vec<(&str, String)> = self
            .fields
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) => (key.as_str(), scrub_of(text, secrets).into_owned()),
                other => (key.as_str(), other.to_string()),
            })
            .collect();
        let id = key.short_id();
        let mut fields = vec![("pid", Field::from(pid))];
        fields.extend(id.as_ref().map(|id| ("streamId", Field::from_display(id))));
        fields.extend(path.map(|path| ("path", Field::from_display(path))));
        fields.extend(
            texts
                .iter()
                .map(|(key, text)| (*key, Field::from(text.as_str()))),
        );
        let mut record = log::Record::builder();
        record
            .level(self.level)
            .target(module_path!())
            .key_values(&fields);
        log::logger().log(
            &record
                .args(format_args!("worker: {}", scrub_of(&self.message, secrets)))
                .build(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_for_us_and_the_rest_is_for_the_log() {
        let (meaning, line) = understand(
            r#"{"timestamp":"2026-11-21T04:18:22.123Z","level":"INF","message":"stats","state":"streaming",
                "frames":70,"videoFrames":25,"bytes":1000,"bitrate":8000,"dropped":1,
                "discontinuities":3,"lost":5,"damaged":4,"reconnects":2,"latencyMs":0.5}"#,
        );
        let Some(Meaning::Counters(counters)) = meaning else {
            panic!("{meaning:?}");
        };
        assert!(line.is_none());
        assert_eq!((counters.frames, counters.video_frames), (70, 25));
        assert_eq!((counters.dropped, counters.discontinuities), (1, 3));
        assert_eq!((counters.lost, counters.damaged), (5, 4));
        assert_eq!((counters.reconnects, counters.latency_ms), (2, 0.5));
    }

    #[test]
    fn states_and_reasons_are_understood() {
        for (text, expected, level) in [
            (
                r#"{"level":"INF","message":"streaming","state":"streaming"}"#,
                Some(Meaning::State("streaming".into())),
                Level::Info,
            ),
            (
                r#"{"level":"INF","message":"ended","state":"ended","reason":"the output is gone: x"}"#,
                Some(Meaning::Trouble("the output is gone: x".into())),
                Level::Info,
            ),
            (
                r#"{"level":"WAR","message":"input lost, retry 1 of 3 in 1s","attempt":1,"of":3,"reason":"timed out"}"#,
                Some(Meaning::Retrying("timed out".into())),
                Level::Warn,
            ),
            (
                r#"{"level":"ERR","message":"no output"}"#,
                Some(Meaning::Trouble("no output".into())),
                Level::Error,
            ),
            (
                r#"{"level":"WAR","message":"track left out"}"#,
                None,
                Level::Warn,
            ),
            (
                "thread 'main' panicked at x:1",
                Some(Meaning::Trouble("thread 'main' panicked at x:1".into())),
                Level::Warn,
            ),
            ("", None, Level::Warn),
            ("[]", Some(Meaning::Trouble("[]".into())), Level::Warn),
            ("{}", None, Level::Info),
        ] {
            let (meaning, line) = understand(text);
            assert_eq!(meaning, expected, "{text}");
            assert_eq!(line.map(|line| line.level), Some(level), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(text in ".*", key in "[a-zA-Z]*") {
            let _ = understand(&text);
            let _ = understand(&format!("{{\"message\":\"stats\",\"{key}\":{text:?}}}"));
        }
    }
}
