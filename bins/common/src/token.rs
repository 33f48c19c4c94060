//! Bearer tokens, as they are given to programs: in an environment variable, or in a file that another one names.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::secret;

/// No header that servers take is longer, and a device without an end is none.
const LONGEST: u64 = 8 * 1024;

/// Why a token can't be had. What is wrong with one would be part of the secret, so it is not shown.
#[derive(Debug, Error)]
pub enum TokenError {
    /// Which of the two is meant is unclear.
    #[error("{0} and {0}_FILE are both set: leave one of them out")]
    Both(String),
    /// The file can't be read.
    #[error("{name}_FILE: can't read {}", file.display())]
    File {
        /// The variable without `_FILE`.
        name: String,
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds nothing.
    #[error("{name}_FILE: {} is empty", file.display())]
    Empty {
        /// The variable without `_FILE`.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// No header can carry it.
    #[error("{0} is not a token: it has a character outside printable ASCII, or a space")]
    Malformed(String),
    /// It is some other file.
    #[error("{0} is not a token: it is longer than 8 KiB")]
    TooLong(String),
}

/// The token in the environment variable `name`, or in the file that `<name>_FILE` names, without the end of its line;
/// none if both are unset or empty. From now on it is a secret that no log shows.
///
/// # Errors
/// When the file can't be read or is empty, when both are set, or when no header can carry what they hold.
pub fn from_environment(name: &str) -> Result<Option<String>, TokenError> {
    from_variables(name, |name| std::env::var_os(name))
}

/// The same where the environment is that of another process.
///
/// # Errors
/// As those of [`from_environment`].
pub fn from_variables(
    name: &str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<String>, TokenError> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let file_variable = format!("{name}_FILE");
    match (given(name), given(&file_variable)) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(TokenError::Both(name.to_owned())),
        (Some(value), None) => checked(value.into_encoded_bytes(), name.to_owned()),
        (None, Some(file)) => from_file(name, Path::new(&file)),
    }
}

fn from_file(name: &str, file: &Path) -> Result<Option<String>, TokenError> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(LONGEST + 2).read_to_end(&mut bytes));
    read.map_err(|source| TokenError::File {
        name: name.to_owned(),
        file: file.to_owned(),
        source,
    })?;
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(TokenError::Empty {
            name: name.to_owned(),
            file: file.to_owned(),
        });
    }
    checked(bytes, format!("{name}_FILE: {}", file.display()))
}

fn checked(bytes: Vec<u8>, origin: String) -> Result<Option<String>, TokenError> {
    if bytes.len() as u64 > LONGEST {
        return Err(TokenError::TooLong(origin));
    }
    let token = String::from_utf8(bytes).ok();
    let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    let token = token.ok_or(TokenError::Malformed(origin))?;
    secret::register(&token);
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::fs;

    fn read(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variables: HashMap<&str, OsString> = variables
            .iter()
            .map(|(name, value)| (*name, OsString::from(value)))
            .collect();
        let token = from_variables("THE_TOKEN", |name| variables.get(name).cloned());
        token.map_err(|error| error.to_string())
    }

    fn file(content: &[u8]) -> (PathBuf, Removed) {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("token-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).unwrap();
        (path.clone(), Removed(path))
    }

    struct Removed(PathBuf);

    impl Drop for Removed {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_token_comes_from_its_variable_or_its_file() {
        assert_eq!(read(&[]), Ok(None));
        let empty = [("THE_TOKEN", ""), ("THE_TOKEN_FILE", "")];
        assert_eq!(read(&empty), Ok(None), "as compose passes on what is unset");
        let some = Ok(Some("s3cret".to_owned()));
        assert_eq!(read(&[("THE_TOKEN", "s3cret")]), some);
        for content in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            let (path, _removed) = file(content.as_bytes());
            let path = path.to_str().unwrap();
            let given = [("THE_TOKEN", ""), ("THE_TOKEN_FILE", path)];
            assert_eq!(read(&given), some, "{content:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_unseen_with_its_variable() {
        let refused = |variables: &[(&str, &str)], expected: &str| {
            let message = read(variables).unwrap_err();
            let is_clean = !message.contains("hunter2") && !message.contains('\n');
            assert!(message.contains(expected) && is_clean, "{message}");
            assert!(message.starts_with("THE_TOKEN"), "{message}");
        };
        for bad in ["hunter2 x", "hunter2\n", "hunter2é", "hunter2\u{7f}"] {
            refused(&[("THE_TOKEN", bad)], "ASCII");
        }
        let missing = ("THE_TOKEN_FILE", "/nowhere/token");
        refused(&[missing], "can't read /nowhere/token");
        refused(&[("THE_TOKEN", "hunter2"), missing], "both");
        refused(&[("THE_TOKEN_FILE", "/")], "can't read /");
        for (content, expected) in [
            (&b""[..], "empty"),
            (b"\n", "empty"),
            (b"hunter2\nhunter2", "ASCII"),
            (b"hunter2 ", "ASCII"),
            (b"hunter2\xff", "ASCII"),
            (&[b'x'; 10_000], "8 KiB"),
        ] {
            let (path, _removed) = file(content);
            refused(&[("THE_TOKEN_FILE", path.to_str().unwrap())], expected);
        }
    }
}
