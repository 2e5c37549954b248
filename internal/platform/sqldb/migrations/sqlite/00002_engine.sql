-- +goose Up
-- What changed, tailed by every process on the file: SQLite's counterpart of NOTIFY. Old rows are removed as new ones come.
CREATE TABLE invalidations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at  BIGINT NOT NULL,
    message TEXT NOT NULL
);

-- +goose Down
DROP TABLE invalidations;
