//! Outputs that depend on the path: `rtmp://host/live/{name}`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::path::PathName;

const KNOWN: &str = "{path} is the whole path, {name} its last segment, {1}, {2} … the groups of its expression or pattern";

/// Why a text is no [`Template`]. Never shows the whole text, which may hold a stream key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without `}`, or the other way round.
    #[error("a brace has no partner: {KNOWN}; a brace of the URL itself is written %7B or %7D")]
    Brace,
    /// Nothing that a path has.
    #[error("{{{0}}} is nothing that can be filled in: {KNOWN}")]
    Unknown(String),
}

/// A group that the path does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{{{number}}} can't be filled in: the expression or pattern of path {path} has {have} groups"
)]
pub struct MissingGroup {
    number: usize,
    path: PathName,
    have: usize,
}

/// A text with places for parts of a path's name.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Path,
    Name,
    /// From 1, as MediaMTX counts its `G1`, `G2` …
    Group(usize),
}

impl Template {
    /// Whether every path gives the same text.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.parts
            .iter()
            .all(|part| matches!(part, Part::Literal(_)))
    }

    /// The highest group that it names; 0 if it names none.
    #[must_use]
    pub fn groups(&self) -> usize {
        let number = |part: &Part| match part {
            Part::Group(number) => *number,
            _ => 0,
        };
        self.parts.iter().map(number).max().unwrap_or(0)
    }

    /// The text for this path, whose expression or pattern matched these groups.
    ///
    /// # Errors
    /// When it names a group that the path does not have.
    pub fn fill(&self, path: &PathName, groups: &[String]) -> Result<String, MissingGroup> {
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(match part {
                Part::Literal(literal) => literal,
                Part::Path => path.as_str(),
                Part::Name => path.last_segment(),
                Part::Group(number) => groups.get(number - 1).ok_or_else(|| MissingGroup {
                    number: *number,
                    path: path.clone(),
                    have: groups.len(),
                })?,
            });
        }
        Ok(text)
    }

    /// Whether some path could give this text: what tells a stream that a rule has made from one that it is for.
    #[must_use]
    pub fn can_give(&self, text: &str) -> bool {
        can_give(&self.parts, text)
    }

    /// Of a URL, its path: what stands between the host and the query. A path stays as it is.
    #[must_use]
    pub fn url_path(&self) -> Self {
        let path = match self.text.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => &self.text,
        };
        let end = path.find(['?', '#']).unwrap_or(path.len());
        let text = path[..end].trim_end_matches('/').to_owned();
        // A part of what was read before has no errors either.
        let parts = read(&text).unwrap_or_default();
        Self { text, parts }
    }

    /// Whether the last segment, of a URL that of its path, is made of parts of the stream's path alone, and so is no
    /// stream key.
    #[must_use]
    pub fn has_filled_last_segment(&self) -> bool {
        let path = self.url_path();
        let is_literal = |part: &Part| matches!(part, Part::Literal(_));
        let before = path.parts.iter().rposition(is_literal);
        match before.map(|at| (&path.parts[at], at + 1)) {
            None => !path.parts.is_empty(),
            Some((Part::Literal(text), after)) => text.ends_with('/') && after < path.parts.len(),
            Some(_) => false,
        }
    }

    /// The text that every path gives, at its beginning: of a URL with a fixed host, at least scheme and host.
    #[must_use]
    pub fn fixed_start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            _ => "",
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Follows every way to cut the text into the parts at once: the offsets that have been reached.
fn can_give(parts: &[Part], text: &str) -> bool {
    let mut reached = BTreeSet::from([0]);
    for part in parts {
        let after = |start: &usize| ends(part, text, *start);
        reached = reached.iter().flat_map(after).collect();
    }
    reached.contains(&text.len())
}

/// Where a part that begins at `start` can end.
fn ends(part: &Part, text: &str, start: usize) -> Vec<usize> {
    let rest = &text[start..];
    let (least, most) = match part {
        Part::Literal(literal) if rest.starts_with(literal) => (literal.len(), literal.len()),
        Part::Literal(_) => return Vec::new(),
        Part::Path => (1, rest.len()),
        Part::Name => (1, rest.find('/').unwrap_or(rest.len())),
        Part::Group(_) => (0, rest.len()),
    };
    let ends = (start + least)..=(start + most);
    ends.filter(|end| text.is_char_boundary(*end)).collect()
}

fn read(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        if at > 0 {
            parts.push(Part::Literal(rest[..at].to_owned()));
        }
        let inside = rest[at..].strip_prefix('{').ok_or(TemplateError::Brace)?;
        let (name, after) = inside.split_once('}').ok_or(TemplateError::Brace)?;
        parts.push(match name {
            "path" => Part::Path,
            "name" => Part::Name,
            number => Part::Group(group_number(number)?),
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.to_owned()));
    }
    Ok(parts)
}

fn group_number(text: &str) -> Result<usize, TemplateError> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| TemplateError::Unknown(common::excerpt(text, 20)))
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = read(text)?;
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

/// Without what may be a stream key.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&common::secret::redact_url(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn template(text: &str) -> Template {
        text.parse().unwrap()
    }

    fn path(text: &str) -> PathName {
        text.parse().unwrap()
    }

    #[test]
    fn a_last_segment_of_places_is_no_stream_key() {
        for text in [
            "rtmp://h/{path}",
            "rtmp://h/app/{name}",
            "rtmp://h/app/{1}{name}?user=u",
            "{name}/",
        ] {
            assert!(template(text).has_filled_last_segment(), "{text}");
        }
        for text in [
            "rtmp://h/app/k3y",
            "rtmp://h/{path}/k3y",
            "rtmp://h/app/k3y-{name}",
            "rtmp://h/app/{name}-k3y",
            "rtmp://{name}/k3y",
            "rtmp://h/app?key={name}",
            "rtmp://{name}",
        ] {
            assert!(!template(text).has_filled_last_segment(), "{text}");
        }
    }

    #[test]
    fn path_name_and_groups_are_filled_in() {
        let groups = ["7".to_owned(), "north".to_owned()];
        for (text, expected) in [
            ("rtmp://h/app/key", "rtmp://h/app/key"),
            ("rtmp://h/{path}", "rtmp://h/a/b"),
            ("rtmp://h/live/{name}?x={1}", "rtmp://h/live/b?x=7"),
            ("{2}-{1}", "north-7"),
        ] {
            assert_eq!(
                template(text).fill(&path("a/b"), &groups).unwrap(),
                expected
            );
        }
        assert_eq!(template("a/{2}/{1}").groups(), 2);
        assert!(template("rtmp://h/a").is_constant());
        let error = template("{3}")
            .fill(&path("a/b"), &groups)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("{3}") && error.contains("a/b has 2 groups"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_filled_in_is_refused_without_the_rest() {
        for (text, named) in [
            ("rtmp://h/s3cret/{nam}", "{nam}"),
            ("rtmp://h/s3cret/{0}", "{0}"),
            ("rtmp://h/s3cret/{", "partner"),
            ("rtmp://h/s3cret/}", "partner"),
            ("{a{name}}s3cret", "{a{name}"),
        ] {
            let error = text.parse::<Template>().unwrap_err().to_string();
            assert!(
                error.contains(named) && !error.contains("s3cret"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_path_of_a_url_is_its_part_between_host_and_query() {
        for (text, expected) in [
            ("rtmp://h:1935/a/{name}?user={1}", "a/{name}"),
            ("rtmps://h/{path}/out/", "{path}/out"),
            ("rtmp://h", ""),
            ("live/{1}/out", "live/{1}/out"),
        ] {
            assert_eq!(template(text).url_path().as_str(), expected);
        }
    }

    #[test]
    fn a_result_is_told_from_a_source() {
        for (text, given, expected) in [
            ("{path}/out", "a/out", true),
            ("{path}/out", "a/b/out/out", true),
            ("{path}/out", "out", false),
            ("{path}/out", "a/in", false),
            ("copy/{name}", "copy/a", true),
            ("copy/{name}", "copy/a/b", false),
            ("live/{1}/out", "live/a/b/out", true),
            ("live/x", "live/x", true),
            ("live/x", "live/xy", false),
        ] {
            assert_eq!(template(text).can_give(given), expected, "{text} {given}");
        }
    }

    proptest! {
        #[test]
        fn what_was_filled_in_can_be_given(
            text in "[a-z/]{0,5}(\\{path\\}|\\{name\\}|\\{1\\})[a-z/]{0,5}(\\{1\\}|)",
            path in "[a-z]{1,4}(/[a-z]{1,4}){0,2}",
            group in "[a-z/]{0,4}",
        ) {
            let template: Template = text.parse().unwrap();
            let filled = template.fill(&path.parse().unwrap(), &[group]).unwrap();
            prop_assert!(template.can_give(&filled));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), other in "[a-z{}/]{0,12}") {
            for text in [text, other] {
                if let Ok(template) = text.parse::<Template>() {
                    let _ = (template.url_path(), template.can_give("a/b"), format!("{template:?}"));
                }
            }
        }
    }
}
