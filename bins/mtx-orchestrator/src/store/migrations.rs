//! How the tables came to be, in SQL that SQLite and PostgreSQL both take.

/// One step. It is never changed once it was released: the next one is added.
pub(super) struct Migration {
    pub(super) version: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

/// All of them, in their order.
pub(super) const MIGRATIONS: [Migration; 3] = [
    Migration {
        version: 1,
        name: "streams",
        sql: include_str!("migrations/0001_streams.sql"),
    },
    Migration {
        version: 2,
        name: "routes",
        sql: include_str!("migrations/0002_routes.sql"),
    },
    Migration {
        version: 3,
        name: "stopped paths",
        sql: include_str!("migrations/0003_stopped_paths.sql"),
    },
];

/// Where the applied ones are recorded.
pub(super) const TABLE: &str = "store_migrations";
pub(super) const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS store_migrations (
    version    INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    applied_at TEXT    NOT NULL
)";

/// The latest version that this program knows.
pub(super) fn newest() -> i64 {
    MIGRATIONS
        .iter()
        .map(|step| step.version)
        .max()
        .unwrap_or(0)
}

/// Those that a store of this version lacks.
pub(super) fn missing(version: i64) -> impl Iterator<Item = &'static Migration> {
    MIGRATIONS.iter().filter(move |step| step.version > version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|step| step.version).collect();
        let expected: Vec<i64> = (1..=newest()).collect();
        assert_eq!(versions, expected);
        assert_eq!(missing(0).count(), MIGRATIONS.len());
        assert_eq!(missing(newest()).count(), 0);
    }
}
