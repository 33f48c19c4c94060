-- Paths whose streams follow a route, but were stopped over HTTP: they stay so until they are started.
CREATE TABLE stopped_paths (
    path       TEXT NOT NULL PRIMARY KEY,
    stopped_at TEXT NOT NULL
);
