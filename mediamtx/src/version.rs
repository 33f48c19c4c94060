//! Which MediaMTX a server is, and what was seen of each version: which settings of a path are hot.

use std::fmt;
use std::str::FromStr;

use crate::api::{Api, ApiError};

/// A version of MediaMTX as its `internal/core/VERSION` has it: `v1.19.3`, `v1.20.0-rc1`, `v1.19.3-5-1a2b3c4d-dirty`.
/// Ordered by age: a pre-release comes before its release, a build of later commits after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: [u32; 3],
    build: Build,
}

/// The order of the variants is that of the versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Build {
    /// Such as `rc1`.
    PreRelease(String),
    Release,
    /// Somebody's own: what MediaMTX's `versiongetter` adds is the number of commits since the release, the hash
    /// of the last one, and `dirty`.
    Custom(String),
}

/// Not a version of MediaMTX, or `v0.0.0`, which is what a build without its Git history calls itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version of MediaMTX, such as v1.19.3")]
pub struct VersionError(String);

impl Version {
    /// The release `v{major}.{minor}.{patch}`.
    #[must_use]
    pub const fn release(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            numbers: [major, minor, patch],
            build: Build::Release,
        }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(common::excerpt(text, 40));
        let bare = text.trim();
        let bare = bare.strip_prefix('v').unwrap_or(bare);
        let (numbers, rest) = match bare.split_once(['-', '+']) {
            Some((numbers, rest)) => (numbers, Some(rest)),
            None => (bare, None),
        };
        let parts: Result<Vec<u32>, _> = numbers.split('.').map(number).collect();
        let numbers: [u32; 3] = parts
            .map_err(|()| error())?
            .try_into()
            .map_err(|_| error())?;
        if numbers == [0; 3] {
            return Err(error());
        }
        let build = match rest {
            None => Build::Release,
            Some("") => return Err(error()),
            Some(rest) if is_custom(rest) => Build::Custom(rest.to_owned()),
            Some(rest) => Build::PreRelease(rest.to_owned()),
        };
        Ok(Self { numbers, build })
    }
}

/// Digits only: `u32` itself would take `+1`, too.
fn number(text: &str) -> Result<u32, ()> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| ())
    } else {
        Err(())
    }
}

fn is_custom(rest: &str) -> bool {
    rest.starts_with(|first: char| first.is_ascii_digit()) || rest == "dirty"
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(formatter, "v{major}.{minor}.{patch}")?;
        match &self.build {
            Build::Release => Ok(()),
            Build::PreRelease(rest) | Build::Custom(rest) => write!(formatter, "-{rest}"),
        }
    }
}

/// What a running server says of its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerVersion {
    /// It says so at `/v3/info`.
    Known(Version),
    /// It has no `/v3/info` (v1.14.0 and older; the `Server:` header has no version either), a proxy hides it, or
    /// it is a build that does not know its version.
    Unknown,
}

impl ServerVersion {
    /// Asks a server.
    ///
    /// # Errors
    /// When it does not answer, or answers that it failed. A server that refuses `/v3/info` is [`Self::Unknown`].
    pub fn ask(api: &Api) -> Result<Self, ApiError> {
        match api.info() {
            Ok(info) => Ok(info.version.parse().map_or(Self::Unknown, Self::Known)),
            Err(error @ (ApiError::Request { .. } | ApiError::Failed { .. })) => Err(error),
            Err(_) => Ok(Self::Unknown),
        }
    }

    /// Whether a change of this setting of a path was seen to leave its stream, its readers and its publisher
    /// alone (a recording may begin anew). A change of any other setting destroys the path and creates it again.
    /// Of a version that was not tried, only what is hot in all versions that were.
    #[must_use]
    pub fn is_hot(&self, setting: &str) -> bool {
        self.seen(|tried| tried.hot.iter().any(|some| some.contains(&setting)))
    }

    /// Whether a live path was seen to survive that it gets an entry of its own, or loses it, when the two entries
    /// differ in nothing but hot settings. Of a version that was not tried: whether it does in all that were.
    #[must_use]
    pub fn survives_change_of_entry(&self) -> bool {
        self.seen(|tried| tried.survives_change_of_entry)
    }

    fn seen(&self, ability: impl Fn(&Tried) -> bool) -> bool {
        let tried = TRIED
            .iter()
            .find(|tried| matches!(self, Self::Known(version) if *version == tried.version));
        match tried {
            Some(tried) => ability(tried),
            None => TRIED.iter().all(ability),
        }
    }
}

/// What was seen of a version, by `make test-versions`.
struct Tried {
    version: Version,
    hot: &'static [&'static [&'static str]],
    survives_change_of_entry: bool,
}

/// The settings of a path's recording.
pub const RECORDING: [&str; 7] = [
    "record",
    "recordPath",
    "recordFormat",
    "recordPartDuration",
    "recordMaxPartSize",
    "recordSegmentDuration",
    "recordDeleteAfter",
];

/// In order. The source to compare with is `pathConfCanBeUpdated` and `doReloadConf` in MediaMTX's
/// `internal/core/path_manager.go`.
static TRIED: [Tried; 8] = [
    tried([1, 12, 3], &[&["record"]], false),
    tried([1, 13, 1], &[&["record"]], true),
    tried([1, 14, 0], &[&["record"]], true),
    tried([1, 19, 2], &[&RECORDING], true),
    tried([1, 19, 3], &[&RECORDING], true),
    tried([1, 20, 0], &[&RECORDING, &["forward"]], true),
    tried([1, 20, 1], &[&RECORDING, &["forward"]], true),
    tried([1, 21, 0], &[&RECORDING, &["forward"]], true),
];

const fn tried(
    [major, minor, patch]: [u32; 3],
    hot: &'static [&'static [&'static str]],
    survives_change_of_entry: bool,
) -> Tried {
    Tried {
        version: Version::release(major, minor, patch),
        hot,
        survives_change_of_entry,
    }
}

/// The versions of MediaMTX that the suite was tried with, oldest first.
pub fn tried_versions() -> impl Iterator<Item = &'static Version> {
    TRIED.iter().map(|tried| &tried.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn known(text: &str) -> ServerVersion {
        ServerVersion::Known(version(text))
    }

    #[test]
    fn versions_are_ordered_by_age() {
        let ordered = [
            "v1.9.3",
            "v1.19.3-rc1",
            "v1.19.3",
            "v1.19.3-5-1a2b3c4d",
            "v1.20.0",
            "v2.0.0",
        ];
        for pair in ordered.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert!(version("1.19.3-dirty\n") > Version::release(1, 19, 3));
        for text in ordered {
            assert_eq!(version(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "",
            "v",
            "v1",
            "v1.2",
            "v1.2.3.4",
            "v1.+2.3",
            "v1.2.",
            "latest",
            "v0.0.0",
            "v0.0.0-dirty",
            "v1.2.3-",
            "v99999999999.1.1",
        ] {
            let parsed: Result<Version, _> = text.parse();
            assert!(parsed.is_err(), "{text:?}: {parsed:?}");
        }
    }

    #[test]
    fn what_is_hot_differs_by_version() {
        assert!(known("v1.19.3").is_hot("recordPath"));
        assert!(!known("v1.14.0").is_hot("recordPath"));
        assert!(known("v1.14.0").is_hot("record"));
        assert!(!known("v1.19.3").is_hot("forward"));
        assert!(known("v1.20.0").is_hot("forward"));
        assert!(!known("v1.21.0").is_hot("runOnDemandCloseAfter"));
    }

    #[test]
    fn of_other_versions_only_what_is_hot_in_all_that_were_tried() {
        for other in [
            ServerVersion::Unknown,
            known("v1.0.0"),
            known("v1.18.0"),
            known("v1.19.3-5-1a2b3c4d"),
            known("v1.99.0"),
        ] {
            assert!(other.is_hot("record"), "{other:?}");
            assert!(!other.is_hot("recordPath"), "{other:?}");
            assert!(!other.survives_change_of_entry(), "{other:?}");
        }
    }

    #[test]
    fn tried_versions_are_in_order() {
        assert!(tried_versions().is_sorted());
    }
}
