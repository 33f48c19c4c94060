//! What a stream is called: in URLs, answers, messages and metrics.

use std::fmt;
use std::str::FromStr;

use mediamtx::path::{Leg, PathName, PathNameError, StreamId, StreamPath};
use serde::{Serialize, Serializer};

/// One stream: the path where it comes in. A declared stream stands where its id would be published, at `live/<id>/in`.
///
/// As text it is the short id of the default scheme (`cam` is `live/cam/in`), else the path; a path that reads like a
/// short id has a slash before it (`/cam`), which no path of MediaMTX has, so that the two are never confused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamKey(PathName);

impl StreamKey {
    /// Where the stream comes in, unless it is declared.
    pub(crate) fn path(&self) -> &PathName {
        &self.0
    }

    /// The short id, in the default scheme.
    pub(crate) fn short_id(&self) -> Option<StreamId> {
        let path = self.0.stream().filter(|path| path.leg == Leg::In);
        path.map(|path| path.id)
    }
}

impl From<PathName> for StreamKey {
    fn from(path: PathName) -> Self {
        Self(path)
    }
}

impl From<&StreamId> for StreamKey {
    fn from(id: &StreamId) -> Self {
        let path = StreamPath {
            id: id.clone(),
            leg: Leg::In,
        };
        Self(path.into())
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.short_id() {
            return fmt::Display::fmt(&id, f);
        }
        if self.0.as_str().parse::<StreamId>().is_ok() {
            f.write_str("/")?;
        }
        f.write_str(self.0.as_str())
    }
}

impl Serialize for StreamKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How somebody calls a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// What it means.
    pub(crate) key: StreamKey,
    /// What it means if there is no such stream: for `cam`, the path `cam`.
    pub(crate) otherwise: Option<StreamKey>,
}

impl FromStr for Address {
    type Err = PathNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let only = |path: PathName| Self {
            key: path.into(),
            otherwise: None,
        };
        if let Some(path) = text.strip_prefix('/') {
            return path.parse().map(only);
        }
        let path: PathName = text.parse()?;
        match text.parse::<StreamId>() {
            Ok(id) => Ok(Self {
                key: (&id).into(),
                otherwise: Some(path.into()),
            }),
            Err(_) => Ok(only(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(path: &str) -> StreamKey {
        path.parse::<PathName>().unwrap().into()
    }

    #[test]
    fn the_short_id_and_a_path_that_reads_like_one_are_two_streams() {
        for (path, text) in [
            ("live/cam/in", "cam"),
            ("cam", "/cam"),
            ("cam.1", "cam.1"),
            ("building/floor1", "building/floor1"),
            ("live/cam/out", "live/cam/out"),
            ("live/a.b/in", "live/a.b/in"),
        ] {
            assert_eq!(key(path).to_string(), text);
            assert_eq!(text.parse::<Address>().unwrap().key, key(path));
        }
        let address: Address = "cam".parse().unwrap();
        assert_eq!(address.otherwise, Some(key("cam")));
        for only in ["live/cam/in", "/cam", "building/floor1"] {
            assert_eq!(only.parse::<Address>().unwrap().otherwise, None, "{only}");
        }
        for none in ["", "/", "//cam", "a b", "a/..", "cam/"] {
            assert!(none.parse::<Address>().is_err(), "{none}");
        }
    }

    proptest! {
        #[test]
        fn every_key_is_addressed_by_its_own_text_and_no_other(
            one in "(live/)?[a-c.~:_-]{1,3}(/in|/out)?",
            other in "(live/)?[a-c.~:_-]{1,3}(/in|/out)?",
        ) {
            if let (Ok(one), Ok(other)) = (one.parse::<PathName>(), other.parse::<PathName>()) {
                let (one, other) = (StreamKey::from(one), StreamKey::from(other));
                prop_assert_eq!(&one.to_string().parse::<Address>().unwrap().key, &one);
                prop_assert_eq!(one == other, one.to_string() == other.to_string());
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Address>();
        }
    }
}
