-- What was put with PUT /v1/routes, as one document in JSON; no row if nothing ever was.
CREATE TABLE routes (
    id       INTEGER NOT NULL PRIMARY KEY,
    document TEXT    NOT NULL
);
