//! Which paths a rule is for: patterns with `*` and `**`, in policies and routes alike.

mod examples;

use std::fmt;
use std::str::FromStr;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use crate::path::{PathName, PathNameError};

/// In characters; names that are nearly as long are nobody's.
const LONGEST: usize = 512;

/// A path's name, in which `*` stands for anything within a segment, `**` for any segments, `?` for a character and
/// `[a-z]` or `[!a-z]` for one of those or none of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    /// Its wildcards are the groups; `None` if it is the name of one path.
    expression: Option<Regex>,
}

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
    #[error(transparent)]
    Name(#[from] PathNameError),
}

impl Pattern {
    /// Whether a path is meant.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match &self.expression {
            Some(expression) => expression.is_match(path),
            None => self.text == path,
        }
    }

    /// What each `*` and `**` stands for in a path, from the left; `None` for a path that is not meant.
    #[must_use]
    pub fn groups(&self, path: &str) -> Option<Vec<String>> {
        let Some(expression) = &self.expression else {
            return self.matches(path).then(Vec::new);
        };
        let captures = expression.captures(path)?;
        let groups = captures.iter().skip(1);
        let text = |group: Option<regex_lite::Match<'_>>| {
            group.map_or_else(String::new, |group| group.as_str().to_owned())
        };
        Some(groups.map(text).collect())
    }

    /// How many `*` and `**` there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.expression
            .as_ref()
            .map_or(0, |expression| expression.captures_len() - 1)
    }

    /// The one path that is meant, if it is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.expression.is_none().then_some(&self.text)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.starts_with('~') {
            return Err(PatternError::RegularExpression(text.to_owned()));
        }
        let syntax = |why| PatternError::Syntax(common::excerpt(text, 120), why);
        if text.len() > LONGEST {
            return Err(syntax("it is too long"));
        }
        let expression = if text.contains(['*', '?', '[']) {
            let expression = expression(text).map_err(syntax)?;
            Some(Regex::new(&expression).map_err(|_| syntax("it is too long"))?)
        } else {
            text.parse::<PathName>()?;
            None
        };
        Ok(Self {
            text: text.to_owned(),
            expression,
        })
    }
}

/// The regular expression of a pattern.
fn expression(text: &str) -> Result<String, &'static str> {
    let mut expression = String::from("^");
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at_segment = rest.len() == text.len() || text[..text.len() - rest.len()].ends_with('/');
        let (written, length) = match first {
            '*' if rest.starts_with("**") => any_segments(rest, at_segment)?,
            '*' => ("([^/]*)".to_owned(), 1),
            '?' => ("[^/]".to_owned(), 1),
            '[' => class(rest)?,
            other => (
                regex_lite::escape(&rest[..other.len_utf8()]),
                other.len_utf8(),
            ),
        };
        expression.push_str(&written);
        rest = &rest[length..];
    }
    expression.push('$');
    Ok(expression)
}

/// `**`, which is a segment of its own: also none, where another one follows.
fn any_segments(rest: &str, at_segment: bool) -> Result<(String, usize), &'static str> {
    match rest.strip_prefix("**") {
        Some("") if at_segment => Ok(("(.*)".to_owned(), 2)),
        Some(after) if at_segment && after.starts_with('/') => Ok(("(?:(.*)/)?".to_owned(), 3)),
        _ => Err("** has to be a whole segment, as in live/** or **/in"),
    }
}

/// `[…]`, in which a `]` may come first. A slash, which parts segments, is never matched.
fn class(rest: &str) -> Result<(String, usize), &'static str> {
    const OPEN: &str = "a [ has no ]";
    let inside = rest.get(1..).ok_or(OPEN)?;
    let (negated, inside) = match inside.strip_prefix('!') {
        Some(inside) => ("^/", inside),
        None => ("", inside),
    };
    let first = inside.chars().next().ok_or(OPEN)?.len_utf8();
    let end = first + inside[first..].find(']').ok_or(OPEN)?;
    let members: Vec<char> = inside[..end].chars().collect();
    if members.contains(&'/') {
        return Err("a [] is for a character within a segment, which a / is not");
    }
    let mut class = format!("[{negated}");
    let mut at = 0;
    while let Some(from) = members.get(at) {
        match (members.get(at + 1), members.get(at + 2)) {
            (Some('-'), Some(to)) if from > to => return Err("a range in [] runs backwards"),
            (Some('-'), Some(to)) if (*from..=*to).contains(&'/') => {
                class.push_str(&format!("{}-.0-{}", member(*from), member(*to)));
                at += 3;
            }
            (Some('-'), Some(to)) => {
                class.push_str(&format!("{}-{}", member(*from), member(*to)));
                at += 3;
            }
            _ => {
                class.push_str(&member(*from));
                at += 1;
            }
        }
    }
    class.push(']');
    let length = rest.len() - inside.len() + end + 1;
    Ok((class, length))
}

/// A character of a class, which means nothing else there.
fn member(c: char) -> String {
    format!("\\u{{{:x}}}", u32::from(c))
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glob::MatchOptions;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Result<Pattern, PatternError> {
        text.parse()
    }

    #[test]
    fn a_star_stays_within_a_segment() {
        for (text, path, groups) in [
            ("cam", "cam", Some(&[][..])),
            ("cam", "cam2", None),
            ("live/*/in", "live/a/in", Some(&["a"])),
            ("live/*/in", "live/a/b/in", None),
            ("**", "live/a/in", Some(&["live/a/in"])),
            ("live/**", "live/a/in", Some(&["a/in"])),
            ("live/**", "live", None),
            ("**/in", "in", Some(&[""])),
            ("**/in", "a/b/in", Some(&["a/b"])),
            ("*/cam-*", "north/cam-7", Some(&["north", "7"])),
            ("cam[1-3]", "cam2", Some(&[])),
            ("cam[!1-3]", "cam2", None),
            ("cam[!1-3]x", "cam/x", None),
            ("cam[.-1]x", "cam/x", None),
            ("cam[.-1]x", "cam0x", Some(&[])),
            ("cam[.-1]x", "cam.x", Some(&[])),
            ("cam.1", "camx1", None),
            ("c?m", "cam", Some(&[])),
        ] {
            let groups = groups.map(|groups| groups.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(pattern(text).unwrap().groups(path), groups, "{text} {path}");
        }
        assert_eq!(pattern("*/x/**").unwrap().group_count(), 2);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_to_write() {
        assert!(
            pattern("~^cam")
                .unwrap_err()
                .to_string()
                .contains("live/*/in")
        );
        for text in [
            "", "/cam", "cam/", "a b", "a/../b", "cam[", "cam[]", "a**", "**a", "***", "[b-a]",
            "[/]", "[!/]", "a[b/c]d",
        ] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), path in any::<String>()) {
            if let Ok(pattern) = pattern(&text) {
                let _ = pattern.groups(&path);
            }
        }

        /// The glob crate is what patterns are known from.
        #[test]
        fn it_matches_what_a_glob_does(
            text in "(\\*\\*/)?([a-c.]|\\*|\\?|\\[!?[a-c./]-?[c-d/]\\]){1,4}(/([a-c]|\\*){1,2}){0,2}(/\\*\\*)?",
            path in "[a-d.]{1,3}(/[a-d.]{1,3}){0,3}",
        ) {
            const OPTIONS: MatchOptions = MatchOptions {
                case_sensitive: true,
                require_literal_separator: true,
                require_literal_leading_dot: false,
            };
            if let (Ok(ours), Ok(theirs)) = (pattern(&text), glob::Pattern::new(&text)) {
                prop_assert_eq!(ours.matches(&path), theirs.matches_with(&path, OPTIONS), "{} {}", text, path);
            }
        }
    }
}
