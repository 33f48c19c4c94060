//! A hook's line, split as MediaMTX splits it: by github.com/kballard/go-shellquote, and no shell.

/// The words of a line; the error says what is open at its end.
pub(super) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\n' | '\t' => words.extend(word.take()),
            '\'' => {
                let inside = word.get_or_insert_default();
                loop {
                    match rest.next().ok_or("a ' without its end")? {
                        '\'' => break,
                        c => inside.push(c),
                    }
                }
            }
            '"' => double_quoted(&mut rest, word.get_or_insert_default())?,
            '\\' => match rest.next().ok_or("a \\ at its end")? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(rest: &mut std::str::Chars<'_>, inside: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "a \" without its end";
    loop {
        match rest.next().ok_or(OPEN)? {
            '"' => return Ok(()),
            '\\' => match rest.next().ok_or(OPEN)? {
                '\n' => {}
                c @ ('$' | '`' | '"' | '\\') => inside.push(c),
                c => inside.extend(['\\', c]),
            },
            c => inside.push(c),
        }
    }
}

/// A word with the values of its variables in their places, as Go's `os.Expand` does it; none if one of them has no value.
pub(super) fn expand(word: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, behind) = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}')?,
            None => after.split_at(after.find(|c| !is_part(c)).unwrap_or(after.len())),
        };
        match name {
            // Go keeps a $ that no name follows.
            "" => text.push('$'),
            name => text.push_str(&value(name)?),
        }
        rest = behind;
    }
    text.push_str(rest);
    Some(text)
}

/// Programs that take lines for a shell as arguments.
const SHELLS: [&str; 8] = ["sh", "bash", "ash", "dash", "zsh", "ksh", "mksh", "fish"];

/// The first operator that only a shell understands, and which would reach the program as an argument: unquoted text, or
/// `$(` in double quotes. What the words are is left out, since they may be secret.
pub(super) fn shell_feature(line: &str) -> Option<&'static str> {
    let words = split(line).ok()?;
    if words.iter().any(|word| SHELLS.contains(&base_name(word))) {
        return None;
    }
    let masked = mask_quoted(line);
    masked.split([' ', '\n', '\t']).find_map(operator)
}

/// The line with a letter for each character that a shell would take literally, so that only operators are left.
fn mask_quoted(line: &str) -> String {
    const LITERAL: char = 'x';
    let mut masked = String::new();
    let mut quote = None;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                masked.push(LITERAL);
            }
            (None | Some('"'), '\\') => {
                rest.next();
                masked.push(LITERAL);
            }
            (None, c) => masked.push(c),
            (Some('"'), '$') if rest.peek() == Some(&'(') => masked.push('$'),
            (Some('"'), '(') if masked.ends_with('$') => masked.push('('),
            (Some(_), _) => masked.push(LITERAL),
        }
    }
    masked
}

/// The operator that a word of unquoted text is, begins with (`>log`) or ends in (`a;`).
fn operator(word: &str) -> Option<&'static str> {
    const WORDS: [&str; 13] = [
        "|", "||", "|&", "&", "&&", ";", ">", ">>", "<", "2>", "2>>", "&>", "2>&1",
    ];
    if let Some(operator) = WORDS.iter().find(|operator| **operator == word) {
        return Some(operator);
    }
    let redirects = |prefix: &str| {
        let target = word.strip_prefix(prefix);
        target.is_some_and(|target| target.starts_with(['/', '>', '&']))
    };
    if redirects("2>") {
        Some("2>")
    } else if redirects(">") {
        Some(">")
    } else if word.contains("$(") {
        Some("$(")
    } else if word.ends_with(';') {
        Some(";")
    } else {
        None
    }
}

/// A program's name without its folders.
pub(super) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_split_as_mediamtx_does() {
        for (line, words) in [
            ("mtx-hook ready", &["mtx-hook", "ready"][..]),
            (
                "  a\t'b c'\"d \\$e\\x\" f\\ g ",
                &["a", "b cd $e\\x", "f g"],
            ),
            ("a \\\nb", &["a", "b"]),
            ("''", &[""]),
            ("", &[]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for line in ["a 'b", "a \"b", "a\\", "\"a\\"] {
            assert!(split(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_needs_a_shell_is_seen_and_what_does_not_is_left_alone() {
        for (line, feature) in [
            ("a | b", Some("|")),
            ("a && b", Some("&&")),
            ("a >/dev/null", Some(">")),
            ("a 2>&1", Some("2>&1")),
            ("a 2>/dev/null", Some("2>")),
            ("a; b", Some(";")),
            ("a $(id)", Some("$(")),
            ("curl \"http://h/$(id)\"", Some("$(")),
            ("echo 'a' | tee log", Some("|")),
            ("sh -c 'a | b > c'", None),
            ("/bin/busybox sh -c 'a; b'", None),
            ("env A=1 sh -c 'echo $(date) >> f'", None),
            ("timeout 5 /bin/bash -c 'a; b'", None),
            ("find /r -exec rm {} \\;", None),
            ("find /r -exec rm {} ';'", None),
            ("python3 -c 'import os; print(1);'", None),
            ("curl -d 'a=b;' -H \"c: d;\" http://h/?a=1&b=2", None),
            ("awk '$(1)'", None),
            ("ffmpeg -i concat:a|b -vf scale='>1' $MTX_PATH ${X}", None),
        ] {
            assert_eq!(shell_feature(line), feature, "{line}");
        }
    }

    #[test]
    fn variables_are_filled_in_as_mediamtx_does() {
        let value = |name: &str| (name == "A").then(|| "x".to_owned());
        for (word, expected) in [
            ("$A/${A}b", Some("x/xb")),
            ("none", Some("none")),
            ("5$", Some("5$")),
            ("$B", None),
            ("${A", None),
        ] {
            assert_eq!(expand(word, value).as_deref(), expected, "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in any::<String>(), other in "[a '\"\\\\|>\n$]{0,30}") {
            for line in [line, other] {
                let _ = shell_feature(&line);
                let _ = expand(&line, |_| None);
            }
        }
    }
}
