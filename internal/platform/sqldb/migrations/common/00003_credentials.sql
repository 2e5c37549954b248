-- +goose Up
-- OAuth clients. How one authenticates (method, keys, certificate names) is one JSON value.
CREATE TABLE clients (
    organization_id   TEXT    NOT NULL REFERENCES organizations (id),
    id                TEXT    NOT NULL,
    name              TEXT    NOT NULL,
    description       TEXT    NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('active', 'off', 'deleted')),
    authentication    TEXT    NOT NULL,
    permissions       TEXT    NOT NULL,
    token_seconds     BIGINT  NOT NULL,
    refresh_allowed   BOOLEAN NOT NULL,
    certificate_bound BOOLEAN NOT NULL,
    rate_limit        BIGINT  NOT NULL,
    allowed_addresses TEXT    NOT NULL,
    created_by        TEXT    NOT NULL,
    created_at        BIGINT  NOT NULL,
    updated_at        BIGINT  NOT NULL,
    last_used_at      BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX clients_by_id ON clients (id);

-- Every long-lived secret: one row, found by the keyed digest of its value, or of the former one while a rotation overlaps.
CREATE TABLE credentials (
    organization_id   TEXT   NOT NULL REFERENCES organizations (id),
    id                TEXT   NOT NULL,
    kind              TEXT   NOT NULL CHECK (kind IN ('api_key', 'access_token', 'system_token', 'application_token', 'client_secret')),
    digest            TEXT   NOT NULL,
    previous_digest   TEXT   NOT NULL DEFAULT '',
    overlap_until     BIGINT NOT NULL DEFAULT 0,
    name              TEXT   NOT NULL,
    purpose           TEXT   NOT NULL,
    owner_kind        TEXT   NOT NULL CHECK (owner_kind IN ('user', 'organization', 'client')),
    owner_id          TEXT   NOT NULL,
    permissions       TEXT   NOT NULL,
    resources         TEXT   NOT NULL,
    state             TEXT   NOT NULL CHECK (state IN ('active', 'off', 'revoked')),
    rate_limit        BIGINT NOT NULL,
    allowed_addresses TEXT   NOT NULL,
    created_by        TEXT   NOT NULL,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL,
    last_used_at      BIGINT NOT NULL DEFAULT 0,
    rotated_at        BIGINT NOT NULL DEFAULT 0,
    revoked_at        BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX credentials_by_digest ON credentials (digest);
CREATE UNIQUE INDEX credentials_by_previous ON credentials (previous_digest) WHERE previous_digest <> '';
CREATE INDEX credentials_by_kind ON credentials (organization_id, kind, id);
CREATE INDEX credentials_by_owner ON credentials (organization_id, owner_id, kind);

-- One row a refresh token family of a client: which token is in force, and what it may at most give.
CREATE TABLE client_grants (
    organization_id TEXT   NOT NULL,
    id              TEXT   NOT NULL,
    client_id       TEXT   NOT NULL,
    credential_id   TEXT   NOT NULL,
    permissions     TEXT   NOT NULL,
    thumbprint      TEXT   NOT NULL,
    current_jti     TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('active', 'ended')),
    created_at      BIGINT NOT NULL,
    rotated_at      BIGINT NOT NULL DEFAULT 0,
    ended_at        BIGINT NOT NULL DEFAULT 0,
    expires_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, client_id) REFERENCES clients (organization_id, id)
);
CREATE INDEX client_grants_by_client ON client_grants (organization_id, client_id, state, id);
CREATE INDEX client_grants_by_expiry ON client_grants (expires_at);

-- Single tokens that were revoked before their time, kept until it.
CREATE TABLE revoked_tokens (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    jti             TEXT   NOT NULL,
    subject         TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, jti)
);
CREATE INDEX revoked_tokens_by_subject ON revoked_tokens (organization_id, subject);
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);

-- What the nodes have used of a limit in one minute, told in shares.
CREATE TABLE rate_counts (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    id              TEXT   NOT NULL,
    minute          BIGINT NOT NULL,
    used            BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id, minute)
);
CREATE INDEX rate_counts_by_minute ON rate_counts (minute);

-- +goose Down
DROP TABLE rate_counts;
DROP TABLE revoked_tokens;
DROP TABLE client_grants;
DROP TABLE credentials;
DROP TABLE clients;
