-- +goose Up
-- Sign-in through a company's own identity provider: the connections to it, the domains a company has proven to be its
-- own, who is who at the provider, and where a sign-in may lead back to.
CREATE TABLE connections (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    id              TEXT   NOT NULL,
    kind            TEXT   NOT NULL CHECK (kind IN ('azure-ad', 'google', 'oidc', 'saml')),
    name            TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('draft', 'active', 'off')),
    issuer          TEXT   NOT NULL,            -- the provider's issuer or entityID
    settings        TEXT   NOT NULL,            -- JSON
    secrets         TEXT   NOT NULL,            -- sealed JSON
    ceiling         TEXT   NOT NULL,            -- a role: nobody comes in who may do more
    created_by      TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    ended_at        BIGINT NOT NULL DEFAULT 0,  -- what it let in until then is over
    upkeep          TEXT   NOT NULL DEFAULT '{}', -- JSON: what the server itself found when it looked last
    checked_at      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX connections_by_id ON connections (id);
CREATE INDEX connections_by_kind ON connections (organization_id, kind, state, id);
CREATE INDEX connections_due ON connections (checked_at, organization_id, id) WHERE state = 'active';
CREATE INDEX connections_by_issuer ON connections (issuer, kind);

CREATE TABLE domains (
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    name            TEXT    NOT NULL,           -- ASCII, lower case
    state           TEXT    NOT NULL CHECK (state IN ('pending', 'verified', 'lapsed')),
    challenge       TEXT    NOT NULL,           -- what the TXT record must say
    connection_id   TEXT    NOT NULL DEFAULT '',
    enforced        BOOLEAN NOT NULL DEFAULT FALSE,
    verified_at     BIGINT  NOT NULL DEFAULT 0,
    checked_at      BIGINT  NOT NULL DEFAULT 0,
    missing_since   BIGINT  NOT NULL DEFAULT 0, -- when the record was first not found again
    created_by      TEXT    NOT NULL,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    PRIMARY KEY (organization_id, name)
);
CREATE INDEX domains_enforced ON domains (organization_id, name) WHERE enforced;
CREATE UNIQUE INDEX domains_one_holder ON domains (name) WHERE state = 'verified';
CREATE INDEX domains_due ON domains (checked_at, organization_id, name) WHERE state = 'verified';

-- An identity is (connection, subject) and nothing else.
CREATE TABLE identities (
    organization_id TEXT   NOT NULL,
    connection_id   TEXT   NOT NULL,
    subject         TEXT   NOT NULL,
    user_id         TEXT   NOT NULL,
    group_names     TEXT   NOT NULL DEFAULT '[]', -- JSON: as last told
    groups_at       BIGINT NOT NULL DEFAULT 0,    -- when; 0: never
    created_at      BIGINT NOT NULL,
    last_used_at    BIGINT NOT NULL,
    PRIMARY KEY (organization_id, connection_id, subject),
    FOREIGN KEY (organization_id, connection_id) REFERENCES connections (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id)
);
CREATE UNIQUE INDEX identities_by_user ON identities (organization_id, user_id, connection_id);

CREATE TABLE organization_redirects (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    uri             TEXT NOT NULL,
    PRIMARY KEY (organization_id, uri)
);
CREATE INDEX organization_redirects_by_uri ON organization_redirects (uri, organization_id);

ALTER TABLE sessions ADD COLUMN connection_id TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN upstream_session TEXT NOT NULL DEFAULT '';
CREATE INDEX sessions_by_connection ON sessions (organization_id, connection_id, upstream_session) WHERE connection_id <> '';

ALTER TABLE users ADD COLUMN break_glass BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE users DROP COLUMN break_glass;
DROP INDEX sessions_by_connection;
ALTER TABLE sessions DROP COLUMN upstream_session;
ALTER TABLE sessions DROP COLUMN connection_id;
DROP TABLE organization_redirects;
DROP TABLE identities;
DROP TABLE domains;
DROP TABLE connections;
