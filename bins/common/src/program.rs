//! Where the suite's other programs are, and what they get of this one's environment.

use std::env;
use std::ffi::OsString;
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

/// Of this program's environment, the variables of these names: what a program that reads what anybody publishes may have.
pub fn handed_on(
    names: impl IntoIterator<Item = &'static str>,
) -> impl Iterator<Item = (&'static str, OsString)> {
    let names = names.into_iter();
    names.filter_map(|name| env::var_os(name).map(|value| (name, value)))
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

    #[test]
    fn only_variables_that_are_named_and_set_are_handed_on() {
        let names = handed_on(["NO_SUCH_VARIABLE", "PATH"]).map(|(name, _)| name);
        assert_eq!(names.collect::<Vec<_>>(), ["PATH"]);
    }
}
