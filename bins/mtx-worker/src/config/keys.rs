//! Stream keys that are not in the output's URL.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::secret;
use mediamtx::path::PathName;
use mediamtx::pattern::Pattern;

/// Where the stream key comes from.
pub(super) enum KeySource {
    /// The URL, if it needs one.
    Url,
    /// `RTMP_STREAM_KEY`
    Environment(String),
    /// `--key-file`, which has a key for this path.
    File(PathBuf, Option<PathName>),
}

/// Why there is no key, though nothing is wrong with what there is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoKey {
    /// None of the lines is for the path.
    #[error("{file} has no stream key for the path {path}; add a line: {path} STREAM-KEY")]
    NoLine { file: String, path: PathName },
    /// The file is another user's.
    #[error("can't read the keys in {file}: {error}")]
    NotAllowed { file: String, error: io::Error },
}

impl KeySource {
    /// The key, as a secret of the log; none if the URL has it. Warns of what is wrong about other paths' keys.
    pub(super) fn key(&self, warnings: &mut Vec<String>) -> Result<Option<String>> {
        let key = match self {
            Self::Url => return Ok(None),
            Self::Environment(key) => key.clone(),
            Self::File(file, path) => {
                let path = path.as_ref().with_context(|| {
                    format!(
                        "{}: keys are for paths, and the input has none",
                        file.display()
                    )
                })?;
                key_of(path, file, warnings)?
            }
        };
        secret::register(&key);
        Ok(Some(key))
    }

    /// What the user gave it by.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::File(..) => "--key-file",
            Self::Url | Self::Environment(_) => "RTMP_STREAM_KEY",
        }
    }
}

fn key_of(path: &PathName, file: &Path, warnings: &mut Vec<String>) -> Result<String> {
    let shown = file.display();
    let text = read(file)?;
    let mut found = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match entry(line) {
            Ok((pattern, key)) if found.is_none() && pattern.matches(path.as_str()) => {
                found = Some(key.to_owned());
            }
            Ok(_) => {}
            Err(error) if found.is_none() && is_for(path, line) => {
                return Err(error.context(format!("{shown}, line {number}")));
            }
            Err(error) => {
                let warning = format!("{shown}, line {number} is passed over: {error:#}");
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
    }
    found.ok_or_else(|| {
        let (file, path) = (shown.to_string(), path.clone());
        NoKey::NoLine { file, path }.into()
    })
}

/// Whether a line that is wrong was meant for this path.
fn is_for(path: &PathName, line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let pattern = first.trim_end_matches(':').parse::<Pattern>();
    pattern.is_ok_and(|pattern| pattern.matches(path.as_str()))
}

/// Errors never show what may be a key.
fn entry(line: &str) -> Result<(Pattern, &str)> {
    let fields = line.split_once(char::is_whitespace);
    let fields = fields.map(|(path, key)| (path, key.trim_start()));
    let Some((path, key)) = fields.filter(|(_, key)| !key.contains(char::is_whitespace)) else {
        bail!("it is not a path (or a pattern such as cam/*), a space and a stream key");
    };
    if path.ends_with(':') {
        bail!("a space stands between path and stream key, without a colon");
    }
    let pattern = path.parse().context("its path")?;
    Ok((pattern, key))
}

fn read(file: &Path) -> Result<String> {
    let shown = file.display();
    let mut opened = fs::File::open(file).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let file = shown.to_string();
            NoKey::NotAllowed { file, error }.into()
        }
        _ => anyhow::Error::from(error).context(format!("can't read the keys in {shown}")),
    })?;
    check_mode(&opened, file)?;
    let mut bytes = Vec::new();
    opened
        .read_to_end(&mut bytes)
        .with_context(|| format!("can't read the keys in {shown}"))?;
    let Ok(text) = String::from_utf8(bytes) else {
        bail!("the keys in {shown} are not UTF-8 text: save the file as UTF-8");
    };
    // What Windows' editors put before UTF-8.
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

#[cfg(unix)]
fn check_mode(opened: &fs::File, file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let shown = file.display();
    let metadata = opened.metadata().with_context(|| format!("{shown}"))?;
    if metadata.is_dir() {
        bail!(
            "{shown} is a folder: --key-file takes a file with a path and its stream key on each line"
        );
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("others may read the stream keys in {shown}: chmod 600 {shown}");
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &fs::File, _: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str, path: &str) -> Result<String> {
        let folder = Folder::new();
        let file = folder.0.join("keys");
        fs::write(&file, text).unwrap();
        chmod(&file, 0o600);
        key_of(&path.parse().unwrap(), &file, &mut Vec::new())
    }

    fn chmod(file: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A folder that is gone afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            use std::sync::atomic::{AtomicU32, Ordering};
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("mtx-worker-keys-{}-{number}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn each_path_has_its_own_key_and_the_first_line_that_fits_wins() {
        let text =
            "# platform A\ncam1 k3y-1\n\n  studio/main\tk3y-2?a=b  \nstudio/* k3y-3\n** rest\n";
        for (path, expected) in [
            ("cam1", "k3y-1"),
            ("studio/main", "k3y-2?a=b"),
            ("studio/b", "k3y-3"),
            ("a/b/c", "rest"),
        ] {
            assert_eq!(key(text, path).unwrap(), expected);
        }
    }

    #[test]
    fn a_path_without_a_key_is_named_with_the_file_and_without_any_key() {
        for (text, named) in [
            ("cam2 s3cret", "path cam1"),
            ("cam2 s3cret\ncam1", "line 2"),
            ("cam1 s3cret s3cret", "line 1"),
            ("cam1: s3cret", "without a colon"),
            ("cam* s3cret s3cret\ncam1 k3y", "line 1"),
            ("~cam1 s3cret", "path cam1"),
        ] {
            let message = format!("{:#}", key(text, "cam1").unwrap_err());
            assert!(
                message.contains(named) && message.contains("/keys") && !message.contains("s3cret"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_line_that_is_wrong_stops_no_other_path() {
        let folder = Folder::new();
        let file = folder.0.join("keys");
        fs::write(&file, "cam2\ncam3: s3cret\n~x s3cret\ncam1 k3y\ncam1 a b").unwrap();
        chmod(&file, 0o600);
        let mut warnings = Vec::new();
        let key = key_of(&"cam1".parse().unwrap(), &file, &mut warnings);
        assert_eq!(key.unwrap(), "k3y");
        let numbers = ["line 1", "line 2", "line 3", "line 5"];
        for (warning, number) in warnings.iter().zip(numbers) {
            assert!(warning.contains(number), "{warning}");
            assert!(!warning.contains("s3cret"), "{warning}");
        }
        assert_eq!(warnings.len(), numbers.len());
    }

    #[test]
    fn a_file_from_windows_is_read_or_refused_with_the_remedy() {
        assert_eq!(key("\u{feff}cam1 k3y\r\n", "cam1").unwrap(), "k3y");
        let folder = Folder::new();
        let file = folder.0.join("keys");
        fs::write(&file, b"\xff\xfec\0a\0m\0").unwrap();
        chmod(&file, 0o600);
        let message = format!("{:#}", read(&file).unwrap_err());
        assert!(message.contains("save the file as UTF-8"), "{message}");
    }

    #[test]
    fn a_folder_is_no_file_of_keys() {
        let folder = Folder::new();
        let message = format!("{:#}", read(&folder.0).unwrap_err());
        assert!(
            message.contains("is a folder") && !message.contains("chmod"),
            "{message}"
        );
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_remedy() {
        let folder = Folder::new();
        let file = folder.0.join("keys");
        fs::write(&file, "cam1 s3cret").unwrap();
        for mode in [0o644, 0o640, 0o604] {
            chmod(&file, mode);
            let message = format!("{:#}", read(&file).unwrap_err());
            let remedy = format!("chmod 600 {}", file.display());
            assert!(message.contains(&remedy), "{message}");
        }
        chmod(&file, 0o400);
        assert!(read(&file).is_ok());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in any::<String>()) {
            let _ = entry(&line);
        }
    }
}
