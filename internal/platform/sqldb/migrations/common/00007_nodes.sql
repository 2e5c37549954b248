-- +goose Up
-- What several nodes share beside the tenants' data.

-- One node at a time does a recurring job: the one that holds its lease.
CREATE TABLE leases (
    name       TEXT   NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);

-- The installation itself: one row. Tokens issued before not_before are void; it is raised when the database was restored or failed over, since
-- what was revoked, used or rotated in the part that is lost would be good again. timeline is PostgreSQL's own count of such breaks.
CREATE TABLE installation (
    one        BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    not_before BIGINT NOT NULL DEFAULT 0,
    reason     TEXT   NOT NULL DEFAULT '',
    timeline   TEXT   NOT NULL DEFAULT ''
);
INSERT INTO installation (one) VALUES (1);

-- Housekeeping finds what ended long ago without reading what lives.
CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE state = 'ended';
CREATE INDEX invitations_by_expiry ON invitations (expires_at);

-- +goose Down
DROP INDEX invitations_by_expiry;
DROP INDEX sessions_by_end;
DROP TABLE installation;
DROP TABLE leases;
