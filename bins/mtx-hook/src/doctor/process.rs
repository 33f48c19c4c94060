//! The process that looks: started by MediaMTX as a hook, with the server's environment, or by hand.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Process {
    variables: BTreeMap<String, String>,
}

/// Where a program is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Program {
    Found,
    NotFound,
    NotExecutable(PathBuf),
}

impl Process {
    pub(super) fn current() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: env::vars_os().filter_map(text).collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn test(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            variables: variables.iter().map(owned).collect(),
        }
    }

    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// A variable that is set, be it to nothing.
    pub(super) fn raw_variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The variables whose names begin so, empty ones among them.
    pub(super) fn variables_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter();
        all.filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether MediaMTX has started it, so that its environment and folder are the server's.
    pub(super) fn is_hook(&self) -> bool {
        self.variable("MTX_PATH").is_some()
    }

    /// Whose environment this is, for messages.
    pub(super) fn owner(&self) -> &'static str {
        if self.is_hook() {
            "the server's environment"
        } else {
            "this environment (the server's may differ)"
        }
    }

    /// The program as MediaMTX would find it; a relative path is the server's affair unless this is its hook.
    pub(super) fn program(&self, name: &str) -> Option<Program> {
        if name.contains('/') {
            let file = Path::new(name);
            return (file.is_absolute() || self.is_hook()).then(|| judge(file));
        }
        let path = self.variables.get("PATH").map_or("", String::as_str);
        let candidates = env::split_paths(path).map(|folder| folder.join(name));
        let judged: Vec<Program> = candidates.map(|file| judge(&file)).collect();
        let best = |wanted: fn(&Program) -> bool| judged.iter().position(wanted);
        let at = best(|it| *it == Program::Found).or_else(|| best(|it| *it != Program::NotFound));
        Some(match at {
            Some(at) => judged.into_iter().nth(at).unwrap_or(Program::NotFound),
            None => Program::NotFound,
        })
    }

    /// A program in the folder of this one, where the suite is installed as one.
    pub(super) fn beside(&self, name: &str) -> Option<PathBuf> {
        let own = env::current_exe().ok()?;
        let file = own.with_file_name(name);
        (judge(&file) == Program::Found).then_some(file)
    }

    /// The file that was named on the command line of the server that started this process.
    pub(super) fn file_of_server(&self) -> Option<PathBuf> {
        if !self.is_hook() {
            return None;
        }
        #[cfg(target_os = "linux")]
        {
            let parent = std::os::unix::process::parent_id();
            let line = std::fs::read(format!("/proc/{parent}/cmdline")).ok()?;
            let line = String::from_utf8(line).ok()?;
            let mut arguments = line.split('\0').skip(1);
            let file = arguments.find(|it| !it.is_empty() && !it.starts_with('-'));
            file.map(PathBuf::from)
        }
        #[cfg(not(target_os = "linux"))]
        None
    }
}

fn judge(file: &Path) -> Program {
    if !file.is_file() {
        return Program::NotFound;
    }
    #[cfg(unix)]
    if nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_err() {
        return Program::NotExecutable(file.to_owned());
    }
    Program::Found
}
