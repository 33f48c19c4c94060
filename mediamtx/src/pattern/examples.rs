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
        let general: Vec<&str> = self.text.split('/').collect();
        let special: Vec<&str> = other.text.split('/').collect();
        covers(&general, &special)
    }
}

/// From the ends backwards: whether what is left of the one covers what is left of the other.
fn covers(general: &[&str], special: &[&str]) -> bool {
    let mut after = vec![false; special.len() + 1];
    after[special.len()] = true;
    for (number, one) in general.iter().enumerate().rev() {
        let is_last = number + 1 == general.len();
        let mut now = vec![false; special.len() + 1];
        for at in (0..=special.len()).rev() {
            now[at] = match special.get(at) {
                // The last ** needs something to stand for.
                None => *one == "**" && !is_last && after[at],
                Some(_) if *one == "**" => is_last || after[at] || now[at + 1],
                Some(other) => (one == other || (*one == "*" && *other != "**")) && after[at + 1],
            };
        }
        after = now;
    }
    after[0]
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

    #[test]
    fn long_patterns_are_compared_at_once() {
        let general: Pattern = format!("{}x", "**/a/".repeat(60)).parse().unwrap();
        let special: Pattern = format!("{}*", "a/".repeat(200)).parse().unwrap();
        assert!(!general.covers(&special));
        assert!(
            format!("{}**", "**/".repeat(60))
                .parse::<Pattern>()
                .unwrap()
                .covers(&special)
        );
        assert!(format!("{}a", "a/".repeat(300)).parse::<Pattern>().is_err());
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
