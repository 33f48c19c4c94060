//! Keeps passwords, tokens and stream keys out of logs and errors.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use percent_encoding::percent_decode_str;

/// What stands for a secret in all that is shown.
pub const HIDDEN: &str = "***";

/// Whatever query key contains one of these has a secret for its value.
const SECRET_KEYS: [&str; 8] = [
    "pass",
    "pwd",
    "token",
    "key",
    "jwt",
    "secret",
    "auth",
    "signature",
];

/// Shorter ones would hide half of every line, and protect nothing.
const SHORTEST_SECRET: usize = 4;

static SECRETS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// The URL with its password, and the values of query keys that name a secret, as `***`.
///
/// Takes any text. Where it is unclear what is the password (one with an unescaped `/`, `?`, `#` or
/// `@`, or a text that is no URL at all), more is hidden rather than less.
///
/// How a login is written in advice (`[user:password@]`) is none, and stays.
#[must_use]
pub fn redact_url(text: &str) -> String {
    const FORM: &str = "[user:password@]";
    // A control character, which no message has.
    const MARK: &str = "\u{1}";
    redact_query(&redact_userinfo(&text.replace(FORM, MARK))).replace(MARK, FORM)
}

/// The query (or a URL that contains one) with the values of keys that name a secret as `***`.
#[must_use]
pub fn redact_query(text: &str) -> String {
    text.split_inclusive(['?', '&', ';', '#', ' '])
        .map(|part| {
            // Some cameras have it in the path: /user=admin_password=…
            let splits = part.match_indices('=').map(|(at, _)| part.split_at(at + 1));
            let found = splits.into_iter().find(|(key, _)| names_a_secret(key));
            let Some((key, value)) = found else {
                return Cow::Borrowed(part);
            };
            let separator = value.find(['?', '&', ';', '#', ' ']).unwrap_or(value.len());
            Cow::Owned(format!("{key}{HIDDEN}{}", &value[separator..]))
        })
        .collect()
}

/// Whether a query key of this name has a secret for its value, such as `pass` or `streamKey`.
#[must_use]
pub fn names_a_secret(key: &str) -> bool {
    let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
    SECRET_KEYS.iter().any(|secret| key.contains(secret))
}

fn redact_userinfo(text: &str) -> String {
    let start = text.find("://").map_or(0, |colon| colon + "://".len());
    let rest = &text[start..];
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    // An @ further on belongs to the path or the query, unless somebody forgot to escape a password;
    // nobody but its owner can tell.
    let Some(end) = rest.rfind('@') else {
        return text.to_owned();
    };
    let kept = match rest[..end].find(':') {
        Some(colon) => &rest[..=colon],
        // A user without a password is a token more often than not, …
        None if authority.contains('@') => "",
        // … and without either, the @ is an ordinary character of the path.
        None => return text.to_owned(),
    };
    format!("{}{kept}{HIDDEN}{}", &text[..start], &rest[end..])
}

/// From now on, [`scrub`] replaces this text. Below four characters nothing is registered.
pub fn register(secret: &str) {
    if secret.chars().count() < SHORTEST_SECRET {
        return;
    }
    let mut secrets = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    if !secrets.iter().any(|known| known == secret) {
        secrets.push(secret.to_owned());
        longest_first(&mut secrets);
    }
}

/// The text with each registered secret as `***`, also where it is percent-encoded or has
/// backslashes before its quotes.
#[must_use]
pub fn scrub(text: &str) -> Cow<'_, str> {
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    scrub_these(text, &secrets)
}

/// A text that may be a URL or hold one, without its passwords and without the registered secrets.
#[must_use]
pub fn conceal(text: &str) -> String {
    scrub(&redact_bearer(&redact_url(text))).into_owned()
}

/// The text without what follows `Bearer`, as in an HTTP header that a command sends.
fn redact_bearer(text: &str) -> String {
    const SCHEME: &str = "Bearer ";
    let mut parts = text.split(SCHEME);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([' ', '"', '\'']).unwrap_or(part.len());
        clean.push_str(SCHEME);
        clean.push_str(HIDDEN);
        clean.push_str(&part[end..]);
    }
    clean
}

/// The text with each of these secrets as `***`, where they are not worth registering for all texts to come.
#[must_use]
pub fn scrub_of<'a>(text: &'a str, secrets: &[String]) -> Cow<'a, str> {
    let long_enough = |secret: &&String| secret.chars().count() >= SHORTEST_SECRET;
    let mut secrets: Vec<String> = secrets.iter().filter(long_enough).cloned().collect();
    longest_first(&mut secrets);
    scrub_these(text, &secrets)
}

/// A secret that contains another one has to go as a whole.
fn longest_first(secrets: &mut [String]) {
    secrets.sort_by_key(|known| std::cmp::Reverse(known.len()));
}

fn scrub_these<'a>(text: &'a str, secrets: &[String]) -> Cow<'a, str> {
    let mut clean = String::new();
    let mut copied = 0;
    let mut position = 0;
    while position < text.len() && !secrets.is_empty() {
        let found = secrets
            .iter()
            .find_map(|secret| matched_length(&text.as_bytes()[position..], secret.as_bytes()))
            .filter(|length| text.is_char_boundary(position + length));
        if let Some(length) = found.filter(|_| text.is_char_boundary(position)) {
            clean.push_str(&text[copied..position]);
            clean.push_str(HIDDEN);
            position += length;
            copied = position;
        } else {
            position += 1;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    clean.push_str(&text[copied..]);
    Cow::Owned(clean)
}

/// How many bytes at the start of `text` spell the secret, each byte of it as itself, as `%XX`, as
/// `+` for a space, or behind a backslash.
fn matched_length(text: &[u8], secret: &[u8]) -> Option<usize> {
    let mut position = 0;
    for &byte in secret {
        position += match &text[position..] {
            [first, ..] if *first == byte => 1,
            [b'%', high, low, ..] if hex(*high, *low) == Some(byte) => 3,
            [b'+', ..] if byte == b' ' => 1,
            [b'\\', escaped, ..] if *escaped == byte => 2,
            _ => return None,
        };
    }
    Some(position)
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn passwords_in_urls_are_hidden_and_the_rest_stays() {
        for (url, expected) in [
            (
                "rtsp://user:pw@host:8554/live/a/in",
                "rtsp://user:***@host:8554/live/a/in",
            ),
            ("rtsp://user:@host/", "rtsp://user:***@host/"),
            ("http://token@host/x", "http://***@host/x"),
            (
                "http://host:8080/v1?lang=es#top",
                "http://host:8080/v1?lang=es#top",
            ),
            ("rtmp://host/app/@name", "rtmp://host/app/@name"),
            ("http://[::1]:8080/", "http://[::1]:8080/"),
            ("rtsp://user:pw@host/?mail=a@b", "rtsp://user:***@b"),
            (
                "rtsp://host/user=admin_password=tlJw_channel=1.sdp",
                "rtsp://host/user=admin_password=***",
            ),
            (
                "rtsp://u:s3cret@ is not rtsp(s)://[user:password@]host[:port]",
                "rtsp://u:***@ is not rtsp(s)://[user:password@]host[:port]",
            ),
            ("rtsp://[u:s3cret@]host", "rtsp://[u:***@]host"),
            (
                "rtsp://[user:password@]u:s3cret@host",
                "rtsp://[user:password@]u:***@host",
            ),
            ("rtsp://u:[user:password@]s3cret@host", "rtsp://u:***@host"),
            ("", ""),
        ] {
            assert_eq!(redact_url(url), expected);
        }
    }

    #[test]
    fn badly_escaped_passwords_are_hidden_whole() {
        for url in [
            "rtsp://user:s3c/ret@host/x",
            "rtsp://user:s3c?ret@host/x",
            "rtsp://user:s3c#ret@host/x",
            "rtsp://user:s3c@ret@host/x",
            "rtsp://user:s3c@r/ret@host/x",
            "rtsp://user:12/ret@host/x",
            "rtsp://user:s3c ret@host/x",
            "rtsp:user:s3cret@host/x",
            "user:s3cret@host",
            "rtsp://user:s3c\\ret@host",
        ] {
            let redacted = redact_url(url);
            assert!(
                !redacted.contains("s3c") && !redacted.contains("ret"),
                "{redacted}"
            );
            assert!(redacted.contains("host"), "{redacted}");
        }
    }

    #[test]
    fn values_of_secret_query_keys_are_hidden() {
        for (url, expected) in [
            ("rtmp://h/a?user=u&pass=x", "rtmp://h/a?user=u&pass=***"),
            (
                "rtmp://h/a?PassWord=x&lang=es",
                "rtmp://h/a?PassWord=***&lang=es",
            ),
            (
                "http://h/?access_token=a=b&x=1",
                "http://h/?access_token=***&x=1",
            ),
            (
                "http://h/?p%61ss=x#token=y",
                "http://h/?p%61ss=***#token=***",
            ),
            ("rtmp://h/a jwt=x live=1", "rtmp://h/a jwt=*** live=1"),
            ("http://h/?streamkey=&q=1", "http://h/?streamkey=***&q=1"),
        ] {
            assert_eq!(redact_url(url), expected);
        }
        assert_eq!(redact_query("lang=es&key=abc"), "lang=es&key=***");
    }

    #[test]
    fn registered_secrets_are_scrubbed_in_every_spelling() {
        register("p@ss w\"rd/é");
        register("abc");
        for text in [
            "p@ss w\"rd/é",
            "p%40ss%20w%22rd%2f%c3%a9",
            "p%40ss+w%22rd%2F%C3%A9",
            "p@ss w\\\"rd/é",
        ] {
            assert_eq!(scrub(&format!("a {text} b {text}")), "a *** b ***");
        }
        assert_eq!(scrub("abc p@ss w"), "abc p@ss w");
    }

    #[test]
    fn the_longest_secret_wins() {
        let secrets = ["secret-long".to_owned(), "secret".to_owned()];
        assert_eq!(scrub_these("x secret-long secret", &secrets), "x *** ***");
    }

    proptest! {
        #[test]
        fn no_password_survives(
            user in "[a-z]{1,5}",
            password in "[!-~ é]{6,20}",
            host in "[a-z]{3,8}",
        ) {
            let marked = format!("QQ{password}QQ");
            let redacted = redact_url(&format!("rtsp://{user}:{marked}@{host}/live/a/in"));
            prop_assert!(!redacted.contains("QQ"), "{}", redacted);
        }

        #[test]
        fn no_registered_secret_survives(before in ".{0,9}", secret in "\\PC{4,20}", after in ".{0,9}") {
            let text = format!("{before}{secret}{after}");
            let clean = scrub_these(&text, std::slice::from_ref(&secret));
            prop_assume!(!HIDDEN.contains(&secret) && !format!("{before}{HIDDEN}{after}").contains(&secret));
            prop_assert!(!clean.contains(&secret), "{}", clean);
        }

        #[test]
        fn nothing_panics(text in any::<String>(), secret in ".{4,9}") {
            let _ = redact_url(&text);
            let _ = scrub_these(&text, &[secret]);
        }
    }
}
