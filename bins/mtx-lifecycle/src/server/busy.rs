//! Who would be hurt if a path were destroyed now.

use serde::Deserialize;

/// Who would be hurt if a path were destroyed now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Busy {
    /// Readers, except for this journal's keeper.
    pub viewers: usize,
    /// Publishers and running sources.
    pub publishers: usize,
    /// Running recordings.
    pub recordings: usize,
}

impl Busy {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            viewers: self.viewers + other.viewers,
            publishers: self.publishers + other.publishers,
            recordings: self.recordings + other.recordings,
        }
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_idle(self) -> bool {
        self == Self::default()
    }
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |number: usize, one: &str| match number {
            0 => None,
            1 => Some(format!("1 {one}")),
            _ => Some(format!("{number} {one}s")),
        };
        let counts = [
            count(self.viewers, "viewer"),
            count(self.publishers, "publisher"),
            count(self.recordings, "recording"),
        ];
        let counts: Vec<_> = counts.into_iter().flatten().collect();
        if counts.is_empty() {
            return f.write_str("nobody");
        }
        f.write_str(&counts.join(", "))
    }
}
