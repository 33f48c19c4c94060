-- Streams that were declared, and where each of them goes (nowhere: to MediaMTX's own live/<id>/out).
CREATE TABLE streams (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT,
    source     TEXT    NOT NULL,
    enabled    BOOLEAN NOT NULL,
    created_at TEXT    NOT NULL,
    updated_at TEXT    NOT NULL
);

CREATE TABLE stream_outputs (
    stream_id TEXT    NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    url       TEXT    NOT NULL,
    PRIMARY KEY (stream_id, position)
);
