//! Whether MediaMTX takes a regular expression: its language is RE2 (Go's `regexp/syntax`), and regex-lite's differs.

use regex_lite::Regex;

/// Each of them may mean something to MediaMTX that regex-lite does not know.
const BEYOND_REGEX_LITE: [&str; 24] = [
    "\\p", "\\P", "\\Q", "\\C", "\\0", "\\1", "\\2", "\\3", "\\4", "\\5", "\\6", "\\7", "{", "[:",
    "&&", "--", "~~", "\\w-", "\\d-", "\\s-", "\\W-", "\\D-", "\\S-", "(?P<",
];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// Too unusual to be judged.
    Unknown,
    Refused(String),
}

pub(super) fn judge(expression: &str) -> Verdict {
    let Err(error) = Regex::new(expression) else {
        return match Reader(expression).refused() {
            Some(reason) => Verdict::Refused(reason),
            None => Verdict::Accepted,
        };
    };
    let is_nested = expression.matches('[').count() > 1;
    let is_beyond = BEYOND_REGEX_LITE
        .iter()
        .any(|part| expression.contains(part));
    if is_nested || is_beyond || has_name(expression) {
        Verdict::Unknown
    } else {
        Verdict::Refused(error.to_string())
    }
}

/// `(?<name>`, and no look-behind.
fn has_name(expression: &str) -> bool {
    let mut starts = expression
        .match_indices("(?<")
        .map(|(at, it)| at + it.len());
    starts.any(|at| !expression[at..].starts_with(['=', '!']))
}

/// What is left of an expression that regex-lite takes.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    /// What RE2 refuses of it.
    fn refused(mut self) -> Option<String> {
        let mut is_repeated = false;
        while let Some(c) = self.0.chars().next() {
            let written = self.0;
            self.0 = &self.0[c.len_utf8()..];
            let repeats = match c {
                '*' | '+' | '?' => true,
                '{' => self.counts(),
                _ => false,
            };
            if repeats && is_repeated {
                return Some(format!("{c} follows another repetition"));
            }
            match c {
                '\\' => self.escape(),
                '[' => self.class(),
                '(' if written.starts_with("(?") => {
                    let refused = self.group_kind();
                    if refused.is_some() {
                        return refused;
                    }
                }
                _ if repeats => self.skip('?'),
                _ => {}
            }
            is_repeated = repeats;
        }
        None
    }

    fn skip(&mut self, c: char) {
        self.0 = self.0.strip_prefix(c).unwrap_or(self.0);
    }

    /// Behind `{`: whether it is a repetition, `{n}`, `{n,}` or `{n,m}`, and no ordinary character.
    fn counts(&mut self) -> bool {
        let Some((inside, rest)) = self.0.split_once('}') else {
            return false;
        };
        let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let counts = !least.is_empty() && is_number(least) && is_number(most);
        if counts {
            self.0 = rest;
        }
        counts
    }

    fn escape(&mut self) {
        let Some(c) = self.0.chars().next() else {
            return;
        };
        self.0 = &self.0[c.len_utf8()..];
        let braced = matches!(c, 'x' | 'p' | 'P') && self.0.starts_with('{');
        if braced && let Some((_, rest)) = self.0.split_once('}') {
            self.0 = rest;
        }
    }

    /// Behind `[`: up to its end, where a first `]` is an ordinary character.
    fn class(&mut self) {
        self.skip('^');
        self.skip(']');
        while let Some(c) = self.0.chars().next() {
            self.0 = &self.0[c.len_utf8()..];
            match c {
                ']' => return,
                '\\' => self.escape(),
                '[' if self.0.starts_with(':') => {
                    if let Some((_, rest)) = self.0.split_once(":]") {
                        self.0 = rest;
                    }
                }
                _ => {}
            }
        }
    }

    /// Behind `(`, at `?`: a group's name or flags that RE2 has not.
    fn group_kind(&mut self) -> Option<String> {
        self.skip('?');
        let named = self
            .0
            .strip_prefix("P<")
            .or_else(|| self.0.strip_prefix('<'));
        if let Some((name, rest)) = named.and_then(|it| it.split_once('>')) {
            self.0 = rest;
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return (!is_name).then(|| {
                format!("the group {name} has a name of more than letters, digits and underscores")
            });
        }
        let end = self.0.find([':', ')'])?;
        let flags = &self.0[..end];
        self.0 = &self.0[end..];
        self.skip(':');
        let strange = flags.chars().find(|flag| !"imsU-".contains(*flag))?;
        Some(format!("{strange} is no flag"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_re2_refuses_is_refused_and_what_it_may_take_is_not() {
        for expression in [
            "^live/([a-z]+)/in$",
            "a*?b+?c??",
            "a{2}b{2,}c{2,3}?",
            "\\x{41}*",
            "[*+]+",
            "[]*]*",
            "[^]*]*",
            "\\*+",
            "(?i)a",
            "(?i-s:a)*",
            "(?P<a_1>x)+",
            "(a*)*",
            "a*|b*",
            "^*",
        ] {
            assert_eq!(judge(expression), Verdict::Accepted, "{expression}");
        }
        for expression in [
            "^[\\w-.]+$",
            "^[\\w--]+$",
            "[\\w-z]",
            "[a&&b]",
            "[a~~b]",
            "(?P<1a>x)",
            "(?P<a>x)(?P<a>y)",
            "\\p{Greek}",
            "[a[b]",
            "a{,2}*",
            "[[:alpha:]]-(?P<1a>x)",
        ] {
            assert!(
                !matches!(judge(expression), Verdict::Refused(_)),
                "{expression}"
            );
        }
        for expression in [
            "^live/**$",
            ".*+",
            "a?*",
            "a*??",
            "a{2}*",
            "a+{2}",
            "(?x)a",
            "(?R)",
            "(?P<a.b>x)",
            "a(",
            "(?=a)",
            "(?<=a)b",
            "[a",
        ] {
            assert!(
                matches!(judge(expression), Verdict::Refused(_)),
                "{expression}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_expression_panics(expression in "[a-cé/.*+?(){}|\\[\\]^$\\\\d0-9:<>P,-]{0,24}", other in any::<String>()) {
            for expression in [expression, other] {
                let _ = judge(&expression);
                let _ = Reader(&expression).refused();
            }
        }
    }
}
