//! Paths that a regular expression is for, to try on them what depends on the path.

use std::iter::Peekable;
use std::str::Chars;

use mediamtx::path::PathName;
use regex_lite::Regex;

/// A path, and the groups of its entry's regular expression, which hooks have as `G1`, `G2` …
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) path: PathName,
    pub(super) groups: Vec<String>,
}

/// What stands for a character of a class: each place gets the next of them, so that groups differ.
const CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.~:/";

/// What may be missing at the end of an expression that is not anchored.
const ENDS: [&str; 3] = ["", "a", "/a"];

/// As often as a character is repeated at most.
const MOST: usize = 64;

impl Example {
    /// One that the expression matches; none for expressions that are too clever for this.
    pub(super) fn made_for(expression: &str) -> Option<Self> {
        let text = Maker {
            rest: expression.chars().peekable(),
            made: 0,
            depth: 0,
        }
        .whole()?;
        let expression = Regex::new(expression).ok()?;
        ENDS.iter()
            .find_map(|end| Self::of(&format!("{text}{end}"), &expression))
    }

    /// The path with its groups, if the expression matches it.
    pub(super) fn of(path: &str, expression: &Regex) -> Option<Self> {
        let captures = expression.captures(path)?;
        let text = |group: Option<regex_lite::Match<'_>>| {
            group.map_or("", |group| group.as_str()).to_owned()
        };
        Some(Self {
            path: path.parse().ok()?,
            groups: captures.iter().skip(1).map(text).collect(),
        })
    }
}

struct Maker<'a> {
    rest: Peekable<Chars<'a>>,
    /// How many characters of classes have been made.
    made: usize,
    depth: usize,
}

impl Maker<'_> {
    fn whole(mut self) -> Option<String> {
        let text = self.alternatives()?;
        self.rest.next().is_none().then_some(text)
    }

    /// The first of them that is not empty, up to the `)` or the end.
    fn alternatives(&mut self) -> Option<String> {
        self.depth += 1;
        if self.depth > MOST {
            return None;
        }
        let mut chosen = self.sequence()?;
        while self.rest.next_if_eq(&'|').is_some() {
            let other = self.sequence()?;
            if chosen.is_empty() {
                chosen = other;
            }
        }
        self.depth -= 1;
        Some(chosen)
    }

    fn sequence(&mut self) -> Option<String> {
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let item = self.item(c)?;
            text.push_str(&self.repeated(&item)?);
        }
        Some(text)
    }

    fn item(&mut self, c: char) -> Option<String> {
        match c {
            '^' | '$' => Some(String::new()),
            '(' => {
                self.group_kind()?;
                let inside = self.alternatives()?;
                self.rest.next_if_eq(&')')?;
                Some(inside)
            }
            '[' => {
                let class = self.class()?;
                self.one_of(&class)
            }
            '.' => self.one_of("."),
            '\\' => match self.rest.next()? {
                'A' | 'z' | 'b' => Some(String::new()),
                c @ ('d' | 'w' | 'D' | 'S') => self.one_of(&format!("\\{c}")),
                c if c.is_ascii_punctuation() => Some(c.to_string()),
                _ => None,
            },
            '*' | '+' | '?' | '{' => None,
            c => Some(c.to_string()),
        }
    }

    /// `?:`, `?P<name>` or `?<name>` behind a bracket; flags are left to others.
    fn group_kind(&mut self) -> Option<()> {
        if self.rest.next_if_eq(&'?').is_none() {
            return Some(());
        }
        match self.rest.next()? {
            ':' => return Some(()),
            'P' => self.rest.next_if_eq(&'<').map(drop)?,
            '<' => {}
            _ => return None,
        }
        self.rest.by_ref().find(|c| *c == '>').map(drop)
    }

    /// A class as it is written.
    fn class(&mut self) -> Option<String> {
        let mut class = "[".to_owned();
        loop {
            let c = self.rest.next()?;
            class.push(c);
            match c {
                '\\' => class.push(self.rest.next()?),
                ']' if !matches!(class.as_str(), "[]" | "[^]") => return Some(class),
                _ => {}
            }
        }
    }

    fn one_of(&mut self, class: &str) -> Option<String> {
        let expression = Regex::new(&format!("^{class}$")).ok()?;
        let fits = CHARACTERS
            .split("")
            .filter(|text| !text.is_empty() && expression.is_match(text));
        let fits: Vec<&str> = fits.collect();
        let chosen = fits.get(self.made % fits.len().max(1))?;
        self.made += 1;
        Some((*chosen).to_owned())
    }

    /// The text as often as its quantifier asks for; what may be left out is there once.
    fn repeated(&mut self, text: &str) -> Option<String> {
        let times = match self.rest.peek() {
            Some('*' | '+' | '?') => {
                self.rest.next();
                1
            }
            Some('{') => {
                self.rest.next();
                let mut number = String::new();
                while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
                    number.push(digit);
                }
                self.rest.by_ref().find(|c| *c == '}')?;
                number.parse::<usize>().ok()?.max(1)
            }
            _ => return Some(text.to_owned()),
        };
        // Its lazy form.
        self.rest.next_if_eq(&'?');
        (times <= MOST && text.len() * times <= MOST).then(|| text.repeat(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_example_is_a_path_of_its_expression_with_its_groups() {
        for (expression, path, groups) in [
            ("^live/([A-Za-z0-9_-]+)/in$", "live/a/in", &["a"][..]),
            ("^(.+)/in$", "a/in", &["a"]),
            ("^(?P<site>[a-z]+)/(\\d{3})$", "a/111", &["a", "111"]),
            ("^(.+)/(.+)$", "a/b", &["a", "b"]),
            ("^event/", "event/a", &[]),
            ("cam", "cam", &[]),
            ("^.*$", "a", &[]),
            ("^(?:north|south)/x(\\.y)?$", "north/x.y", &[".y"]),
            ("^[^/]+$", "a", &[]),
            ("", "a", &[]),
        ] {
            let example = Example::made_for(expression).unwrap_or_else(|| panic!("{expression}"));
            assert_eq!(
                (example.path.as_str(), example.groups),
                (path, groups.iter().map(|it| (*it).to_owned()).collect()),
                "{expression}"
            );
        }
        for expression in ["(?i)cam", "\\p{Greek}", "[", "(", "a{1000}", "é", "*"] {
            assert_eq!(Example::made_for(expression), None, "{expression}");
        }
    }

    proptest! {
        #[test]
        fn no_expression_panics(expression in "[a-c/.*+?(){}|\\[\\]^$\\\\d0-9:<>P-]{0,24}", other in any::<String>()) {
            for expression in [expression, other] {
                if let Some(example) = Example::made_for(&expression) {
                    prop_assert!(Regex::new(&expression).unwrap().is_match(example.path.as_str()));
                }
            }
        }
    }
}
