//! The names of MediaMTX's settings in all versions that the suite was tried with: for when no running server can be asked.

use super::configuration::Settings;
use super::kinds::ValueKind;

/// Where a setting can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Of the whole server: `Conf` in MediaMTX's `internal/conf/conf.go`.
    Server,
    /// Under `pathDefaults`, and in entries of `paths`: `Path` in its `internal/conf/path.go`.
    Path,
}

/// As far as a misspelt name may be from the right one.
const MISSPELT: usize = 3;

/// A setting that some version has.
struct Setting {
    name: &'static str,
    /// If it is one that not every text is of.
    kind: Option<ValueKind>,
    /// Whether servers take it without listing it, with a warning in their log.
    is_deprecated: bool,
}

impl Level {
    fn all(self) -> impl Iterator<Item = Setting> {
        let text = match self {
            Self::Server => include_str!("settings/global.txt"),
            Self::Path => include_str!("settings/path.txt"),
        };
        text.lines().map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let mut marks = rest.split(' ');
            Setting {
                name,
                kind: marks.clone().find_map(ValueKind::named),
                is_deprecated: marks.any(|mark| mark == "deprecated"),
            }
        })
    }

    /// Whether any version has it.
    pub(super) fn has(self, name: &str) -> bool {
        self.all().any(|known| known.name == name)
    }

    /// Whether a server may have it that does not list it.
    pub(super) fn is_deprecated(self, name: &str) -> bool {
        self.all()
            .any(|known| known.name == name && known.is_deprecated)
    }

    /// The kind of a setting's values, if not every text is one.
    pub(super) fn kind(self, name: &str) -> Option<ValueKind> {
        self.all().find(|known| known.name == name)?.kind
    }

    /// The setting that is called so in the name of a variable.
    pub(super) fn named_in_capitals(self, capitals: &str) -> Option<&'static str> {
        let mut names = self.all().map(|setting| setting.name);
        names.find(|name| name.to_uppercase() == capitals)
    }

    /// The name that was probably meant; among those of a server, if they are known.
    pub(super) fn closest(self, name: &str, known: Option<&Settings>) -> Option<&'static str> {
        let candidates = self
            .all()
            .map(|setting| setting.name)
            .filter(|candidate| known.is_none_or(|known| known.contains_key(*candidate)));
        let (wanted, limit) = (name.to_lowercase(), MISSPELT.min(name.chars().count() / 3));
        candidates
            .map(|name| {
                (
                    strsim::damerau_levenshtein(&name.to_lowercase(), &wanted),
                    name,
                )
            })
            .filter(|(distance, _)| *distance <= limit)
            .min()
            .map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_are_recognized_and_strangers_are_not() {
        for (level, name, meant) in [
            (Level::Path, "runOnAvailible", Some("runOnAvailable")),
            (Level::Path, "overridepublisher", Some("overridePublisher")),
            (Level::Server, "rtspAdress", Some("rtspAddress")),
            (Level::Server, "colour", None),
            (Level::Path, "x", None),
        ] {
            assert_eq!(level.closest(name, None), meant, "{name}");
        }
        let known = [("runOnReady".to_owned(), "".into())].into_iter().collect();
        let meant = Level::Path.closest("runOnRead", Some(&known));
        assert_eq!(meant, Some("runOnReady"));
    }

    #[test]
    fn lists_are_read_without_their_marks() {
        assert!(Level::Server.has("rtspAddress") && !Level::Server.is_deprecated("rtspAddress"));
        assert!(Level::Server.has("protocols") && Level::Server.is_deprecated("protocols"));
        assert!(Level::Path.has("runOnReady") && !Level::Path.has("rtspAddress"));
        assert!(Level::Server.is_deprecated("rtspDisable"));
        let kinds =
            ["rtspDisable", "readTimeout", "rtspAddress"].map(|name| Level::Server.kind(name));
        assert_eq!(
            kinds,
            [Some(ValueKind::Flag), Some(ValueKind::Duration), None]
        );
        let name = Level::Path.named_in_capitals("RUNONUNDEMAND");
        assert_eq!(name, Some("runOnUnDemand"));
    }
}
