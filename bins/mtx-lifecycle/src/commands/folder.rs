//! Where the journal is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::Error;

/// As the XDG base directories have it; `None` if the environment does not say where home is.
#[must_use]
pub fn default_folder() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("mtx-lifecycle"))
}

/// MediaMTX's working directory, which is its hooks' as well.
pub(super) fn of_server() -> Option<PathBuf> {
    env::var_os("MTX_PATH").and_then(|_| env::current_dir().ok())
}

pub(super) fn prepare(folder: &Path) -> Result<(), Error> {
    let shown = || folder.display().to_string();
    let failed = |error| Error::Folder {
        folder: shown(),
        error,
    };
    if !folder.exists() {
        create(folder).map_err(failed)?;
    }
    let metadata = fs::metadata(folder).map_err(failed)?;
    if is_open(&metadata) {
        return Err(Error::OpenFolder(shown()));
    }
    Ok(())
}

#[cfg(unix)]
fn create(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

#[cfg(unix)]
fn is_open(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn create(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(not(unix))]
fn is_open(_metadata: &fs::Metadata) -> bool {
    false
}
