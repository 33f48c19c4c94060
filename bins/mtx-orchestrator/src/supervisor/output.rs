//! What a worker writes to its stderr: reports for us, and lines of its log to be passed on.

use std::io::{BufRead, BufReader, Read};
use std::process::ChildStderr;
use std::sync::mpsc::Sender;

use common::secret::scrub_of;
use log::Level;
use log::kv::Value as Field;
use mediamtx::path::PathName;
use serde_json::{Map, Value};

use super::supervision::Message;
use crate::declaration::Task;
use crate::stream_key::StreamKey;

/// A longer line is cut in two.
const LONGEST_LINE: u64 = 16 * 1024;

/// One worker among all that were ever started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkerId {
    pub(super) stream: StreamKey,
    pub(super) number: u64,
}

/// What a worker tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// Its counters.
    Report(Counters),
    /// Its state has changed.
    State(String),
    /// Why it has lost its input or an output, which it tries again.
    Retrying(String),
    /// Why it will end, or what may be the reason.
    Trouble(String),
    /// No more: it has ended, or closed its stderr.
    Nothing,
}

impl Said {
    fn scrubbed(self, secrets: &[String]) -> Self {
        let scrub = |reason: &str| scrub_of(reason, secrets).into_owned();
        match self {
            Self::Retrying(reason) => Self::Retrying(scrub(&reason)),
            Self::Trouble(reason) => Self::Trouble(scrub(&reason)),
            other => other,
        }
    }
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

/// Reads until the worker's end.
pub(super) fn follow(
    stderr: ChildStderr,
    pid: u32,
    worker: WorkerId,
    task: &Task,
    messages: &Sender<Message>,
) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    let (path, secrets) = (task.path(), task.secrets());
    let tell = |said| {
        let worker = worker.clone();
        // Fails when nobody is left to be told.
        let _ = messages.send(Message::Said { worker, said });
    };
    loop {
        line.clear();
        match (&mut reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
        {
            Ok(1..) => {}
            Ok(0) | Err(_) => break tell(Said::Nothing),
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        let (said, log_line) = understand(text);
        let said = said.map(|said| said.scrubbed(&secrets));
        if let Some(said) = said {
            tell(said);
        }
        if let Some(log_line) = log_line {
            log_line.pass_on(&worker.stream, path.as_ref(), pid, &secrets);
        }
    }
}

/// What a line means to us, and what of it goes into our log.
fn understand(text: &str) -> (Option<Said>, Option<LogLine>) {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
        // A panic, or the last words of the runtime.
        let line = LogLine {
            level: Level::Warn,
            message: text.to_owned(),
            fields: Map::new(),
        };
        let said = (!text.is_empty()).then(|| Said::Trouble(text.to_owned()));
        return (said, Some(line));
    };
    let message = text_of(&fields, "message");
    if message == "stats" {
        return (Some(Said::Report(counters(&fields))), None);
    }
    let level = match text_of(&fields, "level").as_str() {
        "ERR" => Level::Error,
        "WAR" => Level::Warn,
        "DEB" => Level::Debug,
        "TRA" => Level::Trace,
        _ => Level::Info,
    };
    let (state, reason) = (text_of(&fields, "state"), text_of(&fields, "reason"));
    let said = if !reason.is_empty() && fields.contains_key("attempt") {
        Some(Said::Retrying(reason))
    } else if !reason.is_empty() {
        Some(Said::Trouble(reason))
    } else if level == Level::Error {
        Some(Said::Trouble(message.clone()))
    } else if !state.is_empty() {
        Some(Said::State(state))
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
    (said, Some(line))
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

struct LogLine {
    level: Level,
    message: String,
    fields: Map<String, Value>,
}

impl LogLine {
    /// `secrets` are those of its task; the log knows those of this process.
    fn pass_on(&self, key: &StreamKey, path: Option<&PathName>, pid: u32, secrets: &[String]) {
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
        let (said, line) = understand(
            r#"{"timestamp":"2026-11-21T04:18:22.123Z","level":"INF","message":"stats","state":"streaming",
                "frames":70,"videoFrames":25,"bytes":1000,"bitrate":8000,"dropped":1,
                "discontinuities":3,"lost":5,"damaged":4,"reconnects":2,"latencyMs":0.5}"#,
        );
        let Some(Said::Report(counters)) = said else {
            panic!("{said:?}");
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
                Some(Said::State("streaming".into())),
                Level::Info,
            ),
            (
                r#"{"level":"INF","message":"ended","state":"ended","reason":"the output is gone: x"}"#,
                Some(Said::Trouble("the output is gone: x".into())),
                Level::Info,
            ),
            (
                r#"{"level":"WAR","message":"input lost, retry 1 of 3 in 1s","attempt":1,"of":3,"reason":"timed out"}"#,
                Some(Said::Retrying("timed out".into())),
                Level::Warn,
            ),
            (
                r#"{"level":"ERR","message":"no output"}"#,
                Some(Said::Trouble("no output".into())),
                Level::Error,
            ),
            (
                r#"{"level":"WAR","message":"track left out"}"#,
                None,
                Level::Warn,
            ),
            (
                "thread 'main' panicked at x:1",
                Some(Said::Trouble("thread 'main' panicked at x:1".into())),
                Level::Warn,
            ),
            ("", None, Level::Warn),
            ("[]", Some(Said::Trouble("[]".into())), Level::Warn),
            ("{}", None, Level::Info),
        ] {
            let (said, line) = understand(text);
            assert_eq!(said, expected, "{text}");
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
