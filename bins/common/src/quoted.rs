//! Messages of option parsers, which quote what was typed: a URL can have a login in it, or end in a stream key.

use std::io::Write;

use crate::secret;

/// The message without what stands behind `scheme://` in these arguments.
#[must_use]
pub fn without_urls(message: &str, arguments: &[String]) -> String {
    let mut urls: Vec<&str> = arguments
        .iter()
        .filter_map(|word| behind_scheme(word))
        .collect();
    // A URL that is the beginning of another one would leave the rest of that.
    urls.sort_by_key(|url| std::cmp::Reverse(url.len()));
    urls.iter().fold(message.to_owned(), |text, url| {
        text.replace(&format!("://{url}"), &format!("://{}", secret::HIDDEN))
    })
}

/// The same for mtx-worker, without its stray arguments either: all that it takes are options and their values, and
/// platforms show a stream key apart from its URL.
#[must_use]
pub fn without_values(message: &str, arguments: &[String]) -> String {
    let before = std::iter::once("").chain(arguments.iter().map(String::as_str));
    let strays = before.zip(arguments).filter(|(before, word)| {
        let is_value = before.starts_with('-') && !before.contains('=');
        !is_value && !word.starts_with('-') && !word.contains("://")
    });
    strays.fold(without_urls(message, arguments), |text, (_, word)| {
        text.replace(&format!("'{word}'"), &format!("'{}'", secret::HIDDEN))
    })
}

/// Says on standard error what an option parser of this process has to say of wrong usage, without what stands in URLs.
pub fn print_refusal(message: &str) {
    print(&without_urls(message, &arguments()));
}

/// The same for mtx-worker, see [`without_values`].
pub fn print_refusal_without_values(message: &str) {
    print(&without_values(message, &arguments()));
}

fn arguments() -> Vec<String> {
    let all = std::env::args_os().skip(1);
    all.map(|word| word.to_string_lossy().into_owned())
        .collect()
}

fn print(text: &str) {
    // Nobody is left to tell if even that can't be written.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn behind_scheme(word: &str) -> Option<&str> {
    let (_, url) = word.split_once("://")?;
    Some(url).filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn of_a_url_only_the_scheme_is_repeated() {
        for (line, message, expected) in [
            (
                "rtmp://h/live2/KEY",
                "unexpected argument 'rtmp://h/live2/KEY' found",
                "unexpected argument 'rtmp://***' found",
            ),
            (
                "--outputrtmp://h/live2/KEY",
                "unexpected argument '--outputrtmp://h/live2/KEY' found",
                "unexpected argument '--outputrtmp://***' found",
            ),
            (
                "--retry=rtsp://u:hunter2@h/a --output rtsp://u:hunter2@h/a/KEY",
                "invalid value 'rtsp://u:hunter2@h/a' for '--retry': \"rtsp://u:hunter2@h/a/KEY\"",
                "invalid value 'rtsp://***' for '--retry': \"rtsp://***\"",
            ),
        ] {
            assert_eq!(without_urls(message, &words(line)), expected, "{line}");
            assert_eq!(without_values(message, &words(line)), expected, "{line}");
        }
    }

    #[test]
    fn a_stream_key_apart_from_its_url_is_not_repeated_and_other_mistakes_are() {
        for (line, message, expected) in [
            (
                "--output rtmp://h/live2 KEY",
                "unexpected argument 'KEY' found",
                "unexpected argument '***' found",
            ),
            (
                "--output=rtmp://h/live2 KEY",
                "unexpected argument 'KEY' found",
                "unexpected argument '***' found",
            ),
            (
                "--bogus",
                "unexpected argument '--bogus' found",
                "unexpected argument '--bogus' found",
            ),
            (
                "--retry 7q",
                "invalid value '7q' for '--retry <WAITS>': \"7q\" is not a duration",
                "invalid value '7q' for '--retry <WAITS>': \"7q\" is not a duration",
            ),
        ] {
            assert_eq!(without_values(message, &words(line)), expected, "{line}");
        }
    }
}
