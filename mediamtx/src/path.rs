//! The names of MediaMTX's paths, and the suite's scheme for them: `live/<streamId>/in` (ingest) and
//! `live/<streamId>/out` (result).

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const NAME_RULE: &str = "a path has letters, digits and _ - . ~ : in segments separated by /";
const RULE: &str = "a path is live/<streamId>/in or live/<streamId>/out";
const ID_RULE: &str = "a streamId is one or more of A-Z a-z 0-9 - _";

/// Why MediaMTX would refuse a path of this name: names it and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathNameError {
    /// Nothing there.
    #[error("the path is empty: {NAME_RULE}")]
    Empty,
    /// A slash at its beginning or end.
    #[error("path {0:?} begins or ends with a slash: {NAME_RULE}")]
    Slash(String),
    /// A character that no version of MediaMTX allows.
    #[error("path {path:?} contains {character:?}: {NAME_RULE}")]
    Character {
        /// The text.
        path: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// A segment that would climb out of a folder of recordings.
    #[error("path {0:?} has a segment . or ..: {NAME_RULE}, none of which is . or ..")]
    Dots(String),
}

/// The name of a path, as MediaMTX allows it (`IsValidPathName` in its `internal/conf/path.go`). `~` and `:` are
/// allowed by v1.14.0 and refused by v1.19.2: a server that refuses them says so itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathName(String);

impl PathName {
    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    #[must_use]
    pub fn last_segment(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, last)| last)
    }

    /// Which end of which stream it is, where it follows the suite's scheme.
    #[must_use]
    pub fn stream(&self) -> Option<StreamPath> {
        self.0.parse().ok()
    }

    /// `X/out` for `X/in`: where a stream's result goes when nobody says otherwise.
    #[must_use]
    pub fn result(&self) -> Option<Self> {
        let stream = self.0.strip_suffix("/in")?;
        Some(Self(format!("{stream}/out")))
    }
}

impl FromStr for PathName {
    type Err = PathNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(PathNameError::Empty);
        }
        if text.starts_with('/') || text.ends_with('/') {
            return Err(PathNameError::Slash(excerpt(text)));
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || "_-./~:".contains(*c);
        if let Some(character) = text.chars().find(|c| !allowed(c)) {
            return Err(PathNameError::Character {
                path: excerpt(text),
                character,
            });
        }
        if text.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(PathNameError::Dots(excerpt(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PathName {
    type Error = PathNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PathName> for String {
    fn from(name: PathName) -> Self {
        name.0
    }
}

impl From<StreamPath> for PathName {
    fn from(path: StreamPath) -> Self {
        Self(path.to_string())
    }
}

impl Borrow<str> for PathName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text is no [`StreamId`] or [`StreamPath`]: names the text and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not three segments, or the first one is not `live`.
    #[error("path {0:?} is not live/<streamId>/<leg>: {RULE}")]
    Shape(String),
    /// The last segment is neither `in` nor `out`.
    #[error("path {0:?} ends in neither /in nor /out: {RULE}")]
    Leg(String),
    /// The middle segment is no streamId.
    #[error("path {path:?} has a streamId that is not allowed: {error}; {RULE}")]
    Id {
        /// The whole path.
        path: String,
        /// What is wrong with its streamId.
        error: StreamIdError,
    },
}

/// Why a text is no [`StreamId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamIdError {
    /// Nothing there.
    #[error("the streamId is empty: {ID_RULE}")]
    Empty,
    /// A character outside the grammar.
    #[error("streamId {id:?} contains {character:?}: {ID_RULE}")]
    Character {
        /// The text.
        id: String,
        /// The first character that is not allowed.
        character: char,
    },
}

/// The name of one stream: `[A-Za-z0-9_-]+`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId(String);

impl StreamId {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamId {
    type Err = StreamIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(StreamIdError::Empty);
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match text.chars().find(|c| !allowed(c)) {
            Some(character) => Err(StreamIdError::Character {
                id: excerpt(text),
                character,
            }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for StreamId {
    type Error = StreamIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> Self {
        id.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which end of a stream a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leg {
    /// What a publisher sends.
    In,
    /// What a worker made of it.
    Out,
}

impl Leg {
    /// The last segment of the path.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `live/<streamId>/in` or `live/<streamId>/out`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamPath {
    /// The stream.
    pub id: StreamId,
    /// Which end of it.
    pub leg: Leg,
}

impl StreamPath {
    /// The path of the same stream's other end, or this one.
    #[must_use]
    pub fn with_leg(&self, leg: Leg) -> Self {
        Self {
            id: self.id.clone(),
            leg,
        }
    }
}

impl FromStr for StreamPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("live/");
        let (id, leg) = rest
            .and_then(|rest| rest.rsplit_once('/'))
            .filter(|(id, _)| !id.contains('/'))
            .ok_or_else(|| PathError::Shape(excerpt(text)))?;
        let leg = match leg {
            "in" => Leg::In,
            "out" => Leg::Out,
            _ => return Err(PathError::Leg(excerpt(text))),
        };
        let id = id.parse().map_err(|error| PathError::Id {
            path: excerpt(text),
            error,
        })?;
        Ok(Self { id, leg })
    }
}

impl TryFrom<String> for StreamPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StreamPath> for String {
    fn from(path: StreamPath) -> Self {
        path.to_string()
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "live/{}/{}", self.id, self.leg)
    }
}

fn excerpt(text: &str) -> String {
    common::excerpt(text, 120)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whatever_mediamtx_allows_is_a_path() {
        for (text, last, result) in [
            ("cam1", "cam1", None),
            ("building/floor1", "floor1", None),
            ("live/a/b/in", "in", Some("live/a/b/out")),
            ("group/cam.v1-2_x", "cam.v1-2_x", None),
            ("a:1/b~2/in", "in", Some("a:1/b~2/out")),
            ("a//b", "b", None),
            ("in", "in", None),
            ("all_others", "all_others", None),
        ] {
            let path: PathName = text.parse().unwrap();
            assert_eq!((path.as_str(), path.last_segment()), (text, last));
            assert_eq!(path.result().as_ref().map(PathName::as_str), result);
        }
    }

    #[test]
    fn what_mediamtx_refuses_is_refused_with_its_rule() {
        for (text, named) in [
            ("", "empty"),
            ("/cam", "slash"),
            ("cam/", "slash"),
            ("a b", "' '"),
            ("ü", "'ü'"),
            ("a?b", "'?'"),
            ("a/../b", ".."),
            ("./a", "segment ."),
        ] {
            let message = text.parse::<PathName>().unwrap_err().to_string();
            assert!(
                message.contains(named) && message.contains(NAME_RULE),
                "{message}"
            );
        }
    }

    #[test]
    fn a_path_of_the_scheme_names_its_stream() {
        let stream = |text: &str| text.parse::<PathName>().unwrap().stream();
        let path = stream("live/cam/in").unwrap();
        assert_eq!((path.id.as_str(), path.leg), ("cam", Leg::In));
        assert_eq!(PathName::from(path).as_str(), "live/cam/in");
        assert_eq!(stream("cam"), None);
        assert_eq!(stream("live/a.b/in"), None);
    }

    #[test]
    fn both_legs_of_a_stream_are_read() {
        let path: StreamPath = "live/cam_1-A/in".parse().unwrap();
        assert_eq!((path.id.as_str(), path.leg), ("cam_1-A", Leg::In));
        assert_eq!(path.with_leg(Leg::Out).to_string(), "live/cam_1-A/out");
    }

    #[test]
    fn each_rule_has_its_own_error_that_names_path_and_rule() {
        let shape = [
            "",
            "x",
            "live",
            "live/",
            "live/x",
            "/live/x/in",
            "other/x/in",
        ];
        for text in shape
            .into_iter()
            .chain(["live/a/b/in", "live/x/in/", "LIVE/x/in"])
        {
            assert_eq!(
                StreamPath::from_str(text),
                Err(PathError::Shape(text.into()))
            );
        }
        for text in ["live/x/inn", "live/x/", "live/x/IN", "live/x/in "] {
            assert_eq!(StreamPath::from_str(text), Err(PathError::Leg(text.into())));
        }
        for (text, named) in [
            ("live//in", "empty"),
            ("live/a b/in", "' '"),
            ("live/ü/out", "'ü'"),
        ] {
            let message = StreamPath::from_str(text).unwrap_err().to_string();
            for part in [&format!("{text:?}"), named, RULE, ID_RULE] {
                assert!(message.contains(part), "{message} lacks {part}");
            }
        }
    }

    #[test]
    fn a_huge_or_multi_line_path_still_gives_a_short_single_line() {
        for text in [
            "live/".to_owned() + &"x\n".repeat(40_000) + "/in",
            "\n".repeat(70_000),
        ] {
            let message = StreamPath::from_str(&text).unwrap_err().to_string();
            assert!(
                message.len() < 1_000 && !message.contains('\n'),
                "{message}"
            );
        }
    }

    #[test]
    fn json_holds_the_path_as_one_string() {
        let path: StreamPath = serde_json::from_str(r#""live/a/in""#).unwrap();
        assert_eq!(serde_json::to_string(&path).unwrap(), r#""live/a/in""#);
        assert!(serde_json::from_str::<StreamPath>(r#""live/a b/in""#).is_err());
    }

    proptest! {
        #[test]
        fn every_path_of_the_grammar_survives_a_round_trip(text in "live/[A-Za-z0-9_-]{1,80}/(in|out)") {
            prop_assert_eq!(text.parse::<StreamPath>().unwrap().to_string(), text);
        }

        #[test]
        fn whatever_is_accepted_is_written_back_unchanged(text in "(live/)?[a-z/ .%\u{fc}-]{0,12}(/in|/out)?") {
            if let Ok(path) = text.parse::<StreamPath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<StreamPath>();
            let _ = text.parse::<StreamId>();
            let _ = text.parse::<PathName>();
        }
    }
}
