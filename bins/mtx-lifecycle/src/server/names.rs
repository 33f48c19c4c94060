//! Names of entries that mean something: those for many paths, and the suite's own.

/// What the suite's own entries begin with.
const FOLDER: &str = "lifecycle/";

/// Whether an entry is for many paths.
#[must_use]
pub fn is_template(entry: &str) -> bool {
    entry.starts_with('~') || matches!(entry, "all" | "all_others")
}

/// Whether a name can't be that of a user's path: an entry for many paths, or one of the suite's own.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    is_template(name) || name.starts_with(FOLDER)
}

/// The name of a keeper: whose it is, and for which path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeper<'a> {
    /// The id of the journal that it belongs to.
    pub journal: &'a str,
    /// The path that it holds open.
    pub path: &'a str,
}

impl<'a> Keeper<'a> {
    /// Reads the name of an entry; `None` if it is no keeper's.
    #[must_use]
    pub fn parse(entry: &'a str) -> Option<Self> {
        let (journal, path) = entry.strip_prefix(FOLDER)?.split_once('/')?;
        let is_whole = !journal.is_empty() && !path.is_empty();
        is_whole.then_some(Self { journal, path })
    }

    /// The name of its entry.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{FOLDER}{}/{}", self.journal, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_says_whose_it_is_and_for_which_path() {
        let keeper = Keeper {
            journal: "k3x9",
            path: "live/a/in",
        };
        assert_eq!(keeper.name(), "lifecycle/k3x9/live/a/in");
        assert_eq!(Keeper::parse(&keeper.name()), Some(keeper));
        for name in ["live/a/in", "lifecycle/a", "lifecycle//a", "lifecycle/a/"] {
            assert_eq!(Keeper::parse(name), None, "{name}");
        }
    }

    #[test]
    fn templates_and_the_suites_own_names_are_reserved() {
        for name in ["all", "all_others", "~^cam", "lifecycle/keep/cam"] {
            assert!(is_reserved(name), "{name}");
        }
        assert!(!is_reserved("cam") && !is_reserved("lifecycle"));
    }
}
