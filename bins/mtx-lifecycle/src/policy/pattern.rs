//! Which paths a rule is for.

use std::fmt;

use glob::MatchOptions;
use serde::{Deserialize, Serialize};

/// A path's name, in which `*` stands for anything within a segment, `**` for any segments, `?` for a character and
/// `[a-z]` for one of those.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(glob::Pattern);

/// A text that is no pattern for a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not a pattern.
    #[error("{0:?} is not a path pattern: {1}")]
    Syntax(String, &'static str),
    /// Right for mediamtx.yml, but not here.
    #[error(
        "{0:?} is a regular expression: write a pattern with * and ** instead, for example live/*/in"
    )]
    RegularExpression(String),
    /// No path can be called so.
    #[error(
        "{0:?} is no name of a path: it can have letters, digits, _, -, . and /, not at its ends"
    )]
    Name(String),
}

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Pattern {
    /// Whether a path is meant.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.0.matches_with(path, OPTIONS)
    }

    /// The one path that is meant, if it is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let text = self.0.as_str();
        (!text.contains(['*', '?', '['])).then_some(text)
    }
}

/// Whether MediaMTX would take this for the name of a path.
#[must_use]
pub fn is_path_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    !text.is_empty()
        && !text.starts_with('/')
        && !text.ends_with('/')
        && text.chars().all(plain)
        && !text.split('/').any(|segment| matches!(segment, "." | ".."))
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.starts_with('~') {
            return Err(PatternError::RegularExpression(text));
        }
        match glob::Pattern::new(&text) {
            Err(error) => Err(PatternError::Syntax(text, error.msg)),
            Ok(pattern) => match Self(pattern) {
                pattern if pattern.name().is_some_and(|name| !is_path_name(name)) => {
                    Err(PatternError::Name(text))
                }
                pattern => Ok(pattern),
            },
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Result<Pattern, PatternError> {
        Pattern::try_from(text.to_owned())
    }

    #[test]
    fn a_star_stays_within_a_segment() {
        for (text, path, matches) in [
            ("cam", "cam", true),
            ("cam", "cam2", false),
            ("live/*/in", "live/a/in", true),
            ("live/*/in", "live/a/b/in", false),
            ("**", "live/a/in", true),
            ("live/**", "live/a/in", true),
            ("cam[1-3]", "cam2", true),
        ] {
            assert_eq!(
                pattern(text).unwrap().matches(path),
                matches,
                "{text} {path}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_to_write() {
        assert!(
            pattern("~^cam")
                .unwrap_err()
                .to_string()
                .contains("live/*/in")
        );
        for text in ["", "/cam", "cam/", "a b", "a/../b", "cam[", "a**"] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), path in any::<String>()) {
            if let Ok(pattern) = pattern(&text) {
                let _ = pattern.matches(&path);
            }
        }
    }
}
