-- +goose Up
-- Links with which a customer's own technicians set company sign-in up, and which connections need attention.
CREATE TABLE setup_links (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    id              TEXT   NOT NULL,
    intent          TEXT   NOT NULL CHECK (intent IN ('sso', 'domain', 'certificate')),
    connection_id   TEXT   NOT NULL DEFAULT '',
    domain_name     TEXT   NOT NULL DEFAULT '',
    note            TEXT   NOT NULL DEFAULT '',
    created_by      TEXT   NOT NULL,
    created_home    TEXT   NOT NULL,           -- the organization of who made it
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    revoked_at      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX setup_links_by_expiry ON setup_links (expires_at);
ALTER TABLE connections ADD COLUMN warned BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX connections_warned ON connections (organization_id, id) WHERE warned;

-- +goose Down
DROP INDEX connections_warned;
ALTER TABLE connections DROP COLUMN warned;
DROP TABLE setup_links;
