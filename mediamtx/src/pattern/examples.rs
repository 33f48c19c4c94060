//! What a pattern stands for: paths that it matches, and whether it matches all that another one does.

use super::Pattern;
use crate::path::PathName;

/// Fit the classes that people write, negated ones included.
const CHARACTERS: [char; 6] = ['x', 'X', '0', '_', '-', '.'];

impl Pattern {
    /// Paths that are meant, at most `most`: each wildcard stands for nothing and for each of `words`, and `**` for two
    /// segments as well. Those with the first words come first.
    #[must_use]
    pub fn examples(&self, words: &[String], most: usize) -> Vec<PathName> {
        let mut texts = vec![String::new()];
        for piece in pieces(&self.text) {
            let fillings = piece.fillings(words);
            texts = product(&texts, &fillings, most.saturating_mul(2));
        }
        let name = |text: &String| text.parse::<PathName>().ok();
        let mut found: Vec<PathName> = Vec::new();
        for path in texts.iter().filter_map(name) {
            if self.matches(path.as_str()) && !found.contains(&path) {
                found.push(path);
            }
        }
        found.truncate(most);
        found
    }

    /// Whether every path that `other` means is meant, as far as that is plain from the two texts: `false` may only say
    /// that it is not plain.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if let Some(name) = other.name() {
            return self.matches(name);
        }
        let segments = |pattern: &'_ Self| -> Vec<String> {
            pattern.text.split('/').map(str::to_owned).collect()
        };
        covers(&segments(self), &segments(other))
    }
}

fn covers(general: &[String], special: &[String]) -> bool {
    match (general.split_first(), special.split_first()) {
        (None, None) => true,
        (Some((first, [])), _) if first == "**" => !special.is_empty(),
        (Some((first, rest)), _) if first == "**" => {
            (0..=special.len()).any(|taken| covers(rest, &special[taken..]))
        }
        (Some((one, rest)), Some((other, others))) => {
            let covered = one == other || (one == "*" && other != "**");
            covered && covers(rest, others)
        }
        _ => false,
    }
}

/// Each of `texts` with each of `endings`, the first endings first.
fn product(texts: &[String], endings: &[String], most: usize) -> Vec<String> {
    let pairs = endings
        .iter()
        .flat_map(|ending| texts.iter().map(move |text| format!("{text}{ending}")));
    pairs.take(most).collect()
}

/// A part of a pattern's text.
enum Piece {
    Literal(char),
    Star,
    /// `**`, with the slash behind it if there is one.
    Segments(&'static str),
    /// `?` or a class, with the characters that it may stand for.
    One(Vec<char>),
}

impl Piece {
    fn fillings(&self, words: &[String]) -> Vec<String> {
        match self {
            Self::Literal(character) => vec![character.to_string()],
            Self::One(characters) => characters.iter().map(char::to_string).collect(),
            Self::Star => words.iter().cloned().chain([String::new()]).collect(),
            Self::Segments(slash) => {
                let one = words.iter().map(|word| format!("{word}{slash}"));
                let first = words.first().map_or("x", String::as_str);
                let more = words.iter().flat_map(|word| {
                    [
                        format!("{word}/{first}{slash}"),
                        format!("{first}/{word}{slash}"),
                    ]
                });
                one.chain(more).chain([String::new()]).collect()
            }
        }
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '*' if rest.starts_with("**/") => {
                pieces.push(Piece::Segments("/"));
                3
            }
            '*' if rest.starts_with("**") => {
                pieces.push(Piece::Segments(""));
                2
            }
            '*' => {
                pieces.push(Piece::Star);
                1
            }
            '?' => {
                pieces.push(Piece::One(CHARACTERS.to_vec()));
                1
            }
            '[' => {
                // It was read before, so it has an end.
                let length = super::class(rest).map_or(1, |(_, length)| length);
                let members = rest[1..length.saturating_sub(1).max(1)].chars();
                let members = members.filter(char::is_ascii_alphanumeric).take(2);
                pieces.push(Piece::One(members.chain(CHARACTERS).collect()));
                length
            }
            other => {
                pieces.push(Piece::Literal(other));
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn examples(pattern: &str) -> Vec<String> {
        let pattern: Pattern = pattern.parse().unwrap();
        let words = ["a".to_owned(), "b".to_owned()];
        let found = pattern.examples(&words, 100);
        found.iter().map(PathName::to_string).collect()
    }

    #[test]
    fn wildcards_stand_for_words_and_for_nothing() {
        assert_eq!(examples("cam"), ["cam"]);
        assert_eq!(
            examples("live/*/in"),
            ["live/a/in", "live/b/in", "live//in"]
        );
        assert_eq!(examples("cam-*"), ["cam-a", "cam-b", "cam-"]);
        for path in ["a", "b", "a/a", "b/a", "a/b"] {
            assert!(examples("**").contains(&path.to_owned()), "{path}");
        }
        assert!(examples("**/in").contains(&"in".to_owned()));
        assert!(examples("cam[1-3]").contains(&"cam1".to_owned()));
        assert!(examples("cam[!0-9]").contains(&"camx".to_owned()));
    }

    #[test]
    fn a_general_pattern_covers_a_special_one() {
        for (general, special, expected) in [
            ("**", "cam/*", true),
            ("cam/*", "cam/*", true),
            ("cam/*", "cam/1", true),
            ("cam?", "cam1", true),
            ("live/**", "live/*/in", true),
            ("**/in", "live/*/in", true),
            ("**/in", "in", true),
            ("*/in", "cam*/in", true),
            ("cam/*", "**", false),
            ("*", "**", false),
            ("live/**", "live", false),
            ("*/in", "**/in", false),
            ("cam/*", "cam/*/in", false),
            ("cam*", "c*", false),
        ] {
            let covers = general
                .parse::<Pattern>()
                .unwrap()
                .covers(&special.parse().unwrap());
            assert_eq!(covers, expected, "{general} {special}");
        }
    }

    proptest! {
        #[test]
        fn examples_match_and_what_is_covered_matches_too(
            general in "(\\*\\*/)?([ab]|\\*|\\?){1,3}(/([ab]|\\*)){0,2}(/\\*\\*)?",
            special in "(\\*\\*/)?([ab]|\\*|\\?|\\[!?[ab]\\]){1,3}(/([ab]|\\*)){0,2}(/\\*\\*)?",
        ) {
            if let (Ok(general), Ok(special)) = (general.parse::<Pattern>(), special.parse::<Pattern>()) {
                for path in special.examples(&["a".to_owned(), "zb".to_owned()], 200) {
                    prop_assert!(special.matches(path.as_str()));
                    prop_assert!(!general.covers(&special) || general.matches(path.as_str()), "{}", path);
                }
            }
        }

        #[test]
        fn no_pattern_panics(text in any::<String>()) {
            if let Ok(pattern) = text.parse::<Pattern>() {
                let _ = pattern.examples(&[text], 10);
            }
        }
    }
}
