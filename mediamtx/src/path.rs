//! The suite's paths: `live/<streamId>/in` (ingest) and `live/<streamId>/out` (result).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const RULE: &str = "a path is live/<streamId>/in or live/<streamId>/out";
const ID_RULE: &str = "a streamId is one or more of A-Z a-z 0-9 - _";

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
    crate::excerpt(text, 120)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        }
    }
}
