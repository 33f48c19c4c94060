//! Where the suite's other programs are.

use std::env;
use std::path::PathBuf;

/// The program of this name: beside the one that runs, where the suite is installed as one, or else in `PATH`.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let own = env::current_exe().ok();
    let beside = own
        .as_deref()
        .and_then(|own| own.parent())
        .map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(env::split_paths(&path));
    let mut files = folders.map(|folder| folder.join(name));
    files.find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_is_found_before_what_is_in_path() {
        let own = env::current_exe().unwrap();
        let name = own.file_name().unwrap().to_str().unwrap();
        assert_eq!(find(name), Some(own.clone()));
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
    }
}
