//! What MediaMTX tells its hooks, through their environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::path::{PathName, PathNameError};

/// Why the environment is not one that MediaMTX gives a hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// A variable is missing, or empty where MediaMTX never leaves it so.
    #[error("{0} is not set: MediaMTX sets it for {1}")]
    Missing(&'static str, &'static str),
    /// A value is no text.
    #[error("{0} is not valid UTF-8")]
    NotUtf8(String),
    /// MediaMTX has no such path.
    #[error("MTX_PATH: {0}")]
    Path(PathNameError),
    /// The port is no port.
    #[error("RTSP_PORT {0:?} is not a port number")]
    Port(String),
    /// The duration is none.
    #[error("MTX_SEGMENT_DURATION {0:?} is not a number of seconds")]
    SegmentDuration(String),
}

/// The variables of a hook's environment; each is checked when it is asked for.
#[derive(Debug, Clone, Default)]
pub struct HookEnvironment(BTreeMap<String, OsString>);

impl HookEnvironment {
    /// The environment of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        std::env::vars_os().collect()
    }

    /// `MTX_PATH`
    pub fn path(&self) -> Result<PathName, HookError> {
        let path = self.required("MTX_PATH", "every hook of a path")?;
        path.parse().map_err(HookError::Path)
    }

    /// `MTX_QUERY`, as the client wrote it: MediaMTX escapes it once more.
    pub fn query(&self) -> Result<String, HookError> {
        let escaped = self.text("MTX_QUERY")?;
        let escaped = escaped.ok_or(HookError::Missing(
            "MTX_QUERY",
            "the hooks of publishers and readers, empty if there was no query",
        ))?;
        Ok(if is_query_escaped(&escaped) {
            unescape(&escaped)
        } else {
            escaped
        })
    }

    /// `RTSP_PORT`; none if the server has no RTSP listener.
    pub fn rtsp_port(&self) -> Result<Option<u16>, HookError> {
        match self.text("RTSP_PORT")? {
            Some(text) if !text.is_empty() => {
                let port = text.parse().ok().filter(|port| *port != 0);
                let error = || HookError::Port(common::excerpt(&text, 40));
                port.ok_or_else(error).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `G1`, `G2`, …: what the groups of a path's regular expression matched.
    pub fn groups(&self) -> Result<Vec<String>, HookError> {
        (1_u32..)
            .map_while(|number| self.text(&format!("G{number}")).transpose())
            .collect()
    }

    /// `MTX_SOURCE_TYPE`; MediaMTX does not set it where an `alwaysAvailable` path becomes available without a publisher.
    pub fn source_type(&self) -> Result<Option<String>, HookError> {
        self.optional("MTX_SOURCE_TYPE")
    }

    /// `MTX_SOURCE_ID`; as for the type, and a static source has none.
    pub fn source_id(&self) -> Result<Option<String>, HookError> {
        self.optional("MTX_SOURCE_ID")
    }

    /// `MTX_READER_TYPE`
    pub fn reader_type(&self) -> Result<String, HookError> {
        self.required("MTX_READER_TYPE", "runOnRead and runOnUnread")
    }

    /// `MTX_READER_ID`
    pub fn reader_id(&self) -> Result<String, HookError> {
        self.required("MTX_READER_ID", "runOnRead and runOnUnread")
    }

    /// `MTX_CONN_TYPE`
    pub fn conn_type(&self) -> Result<String, HookError> {
        self.required("MTX_CONN_TYPE", "runOnConnect and runOnDisconnect")
    }

    /// `MTX_CONN_ID`
    pub fn conn_id(&self) -> Result<String, HookError> {
        self.required("MTX_CONN_ID", "runOnConnect and runOnDisconnect")
    }

    /// `MTX_SEGMENT_PATH`
    pub fn segment_path(&self) -> Result<String, HookError> {
        self.required("MTX_SEGMENT_PATH", "the runOnRecordSegment… hooks")
    }

    /// `MTX_SEGMENT_DURATION`
    pub fn segment_duration(&self) -> Result<Duration, HookError> {
        let text = self.required("MTX_SEGMENT_DURATION", "runOnRecordSegmentComplete")?;
        let seconds = text.parse().ok();
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| HookError::SegmentDuration(common::excerpt(&text, 40)))
    }

    fn required(&self, name: &'static str, set_for: &'static str) -> Result<String, HookError> {
        let value = self.optional(name)?;
        value.ok_or(HookError::Missing(name, set_for))
    }

    fn optional(&self, name: &str) -> Result<Option<String>, HookError> {
        Ok(self.text(name)?.filter(|value| !value.is_empty()))
    }

    fn text(&self, name: &str) -> Result<Option<String>, HookError> {
        self.0
            .get(name)
            .map(|value| value.to_str().map(str::to_owned))
            .map(|value| value.ok_or_else(|| HookError::NotUtf8(name.to_owned())))
            .transpose()
    }
}

impl FromIterator<(OsString, OsString)> for HookEnvironment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        // A name that is no text is none of MediaMTX's.
        let named = |(name, value): (OsString, _)| Some((name.into_string().ok()?, value));
        Self(variables.into_iter().filter_map(named).collect())
    }
}

/// Whether a text comes from Go's `url.QueryEscape`, which MediaMTX applies to the query since a version between
/// v1.14.0 and v1.19.2. Older ones pass it on as the client wrote it, with its `=` and `&`.
///
/// `QueryEscape` writes a space as `+`, and escapes no letter and no digit. A text with `+` alone is left as it is: a
/// client's `a+b`, or its `a b`, which mean the same in a query.
fn is_query_escaped(text: &str) -> bool {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let mut parts = text.split('%');
    let plain = parts.next().unwrap_or_default();
    let is_plain = |text: &str| text.bytes().all(|byte| is_kept(byte) || byte == b'+');
    let is_escape = |part: &str| {
        let (Some(digits), Some(rest)) = (part.get(..2), part.get(2..)) else {
            return false;
        };
        let is_upper_hex = digits
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'A'..=b'F'));
        let byte = u8::from_str_radix(digits, 16).ok();
        let is_needed = byte.is_some_and(|byte| byte != b' ' && !is_kept(byte));
        is_upper_hex && is_needed && is_plain(rest)
    };
    text.contains('%') && is_plain(plain) && parts.all(is_escape)
}

/// Undoes Go's `url.QueryEscape`. What a client sent as raw bytes that are no text stays escaped,
/// which means the same in a query.
fn unescape(escaped: &str) -> String {
    let spaces = escaped.replace('+', " ");
    let bytes: Vec<u8> = percent_decode_str(&spaces).collect();
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    fn environment(variables: &[(&str, &str)]) -> HookEnvironment {
        let owned = |(name, value): &(&str, &str)| (name.into(), value.into());
        variables.iter().map(owned).collect()
    }

    #[test]
    fn test_hook_wrapper_parses_env_vars() {
        let hook = environment(&[
            ("MTX_PATH", "live/stream123/in"),
            ("MTX_QUERY", "lang%3Des%26x%3Da%2520b"),
            ("MTX_SOURCE_TYPE", "rtmpConn"),
            ("MTX_SOURCE_ID", "0a1b"),
            ("RTSP_PORT", "8554"),
            ("G1", "stream123"),
            ("G2", ""),
            ("G4", "not reached"),
        ]);
        assert_eq!(hook.path().unwrap().to_string(), "live/stream123/in");
        assert_eq!(hook.query().unwrap(), "lang=es&x=a%20b");
        assert_eq!(hook.source_type().unwrap().unwrap(), "rtmpConn");
        assert_eq!(hook.source_id().unwrap().unwrap(), "0a1b");
        assert_eq!(hook.rtsp_port().unwrap(), Some(8554));
        assert_eq!(hook.groups().unwrap(), ["stream123", ""]);
    }

    #[test]
    fn the_query_is_what_the_publisher_wrote() {
        for (escaped, query) in [
            ("", ""),
            ("lang%3Des", "lang=es"),
            ("a+b%2Bc", "a b+c"),
            ("a%25FF", "a%FF"),
            ("a%FF%C3%A9", "a%FFé"),
            ("%22%0A%24%28id%29", "\"\n$(id)"),
            ("%zz%", "%zz%"),
            // Servers up to v1.14.0 do not escape it.
            ("a+b", "a+b"),
            ("a%20b", "a%20b"),
            ("%61%2Bb", "%61%2Bb"),
            ("lang=es&x=a%20b&y=1+2", "lang=es&x=a%20b&y=1+2"),
        ] {
            let hook = environment(&[("MTX_QUERY", escaped)]);
            assert_eq!(hook.query().unwrap(), query);
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let hook = environment(&[
            ("MTX_PATH", "other/x/"),
            ("RTSP_PORT", "70000"),
            ("MTX_SEGMENT_DURATION", "-1"),
            ("MTX_SOURCE_ID", ""),
        ]);
        for (error, parts) in [
            (hook.path().unwrap_err(), ["MTX_PATH", "other/x/", "slash"]),
            (
                hook.rtsp_port().unwrap_err(),
                ["RTSP_PORT", "70000", "port"],
            ),
            (
                hook.segment_duration().unwrap_err(),
                ["MTX_SEGMENT_DURATION", "-1", "seconds"],
            ),
            (hook.query().unwrap_err(), ["MTX_QUERY", "not set", "empty"]),
            (
                hook.reader_id().unwrap_err(),
                ["MTX_READER_ID", "not set", "runOnRead"],
            ),
            (
                hook.conn_id().unwrap_err(),
                ["MTX_CONN_ID", "not set", "runOnConnect"],
            ),
        ] {
            let message = error.to_string();
            for part in parts {
                assert!(message.contains(part), "{message} lacks {part}");
            }
        }
        assert_eq!(environment(&[("RTSP_PORT", "")]).rtsp_port(), Ok(None));
        assert_eq!(hook.source_id(), Ok(None));
        for seconds in ["NaN", "inf", "1e300", "x", "1,5"] {
            let hook = environment(&[("MTX_SEGMENT_DURATION", seconds)]);
            assert!(hook.segment_duration().is_err(), "{seconds}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_an_error_that_names_the_variable() {
        use std::os::unix::ffi::OsStringExt;
        let value = OsString::from_vec(b"live/\xff/in".to_vec());
        let hook: HookEnvironment = [("MTX_PATH".into(), value)].into_iter().collect();
        assert_eq!(hook.path(), Err(HookError::NotUtf8("MTX_PATH".into())));
    }

    proptest! {
        #[test]
        fn escaping_once_is_undone(query in any::<String>()) {
            let escaped = percent_encode(query.as_bytes(), NON_ALPHANUMERIC).to_string();
            prop_assert_eq!(unescape(&escaped), query.as_str());
            prop_assert_eq!(unescape(&escaped.replace("%20", "+")), query);
        }

        #[test]
        fn bytes_that_are_no_text_are_kept_as_escapes(bytes in any::<Vec<u8>>()) {
            let escaped = percent_encode(&bytes, NON_ALPHANUMERIC).to_string();
            let query = unescape(&escaped);
            if !bytes.contains(&b'%') {
                let again: Vec<u8> = percent_decode_str(&query).collect();
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
