-- +goose Up
-- Times are Unix milliseconds; 0 means "none". JSON is TEXT. Every table of a tenant has organization_id first in its key.

CREATE TABLE organizations (
    id         TEXT    NOT NULL PRIMARY KEY,
    slug       TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    platform   BOOLEAN NOT NULL DEFAULT FALSE,
    state      TEXT    NOT NULL CHECK (state IN ('active', 'suspended', 'deleted')),
    settings   TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL
);
CREATE UNIQUE INDEX organizations_one_platform ON organizations (platform) WHERE platform;

CREATE TABLE organization_origins (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    origin          TEXT NOT NULL,
    PRIMARY KEY (organization_id, origin)
);
CREATE INDEX organization_origins_by_origin ON organization_origins (origin);

CREATE TABLE roles (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    id              TEXT   NOT NULL,
    name            TEXT   NOT NULL,
    description     TEXT   NOT NULL,
    permissions     TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name)
);

CREATE TABLE users (
    organization_id     TEXT   NOT NULL REFERENCES organizations (id),
    id                  TEXT   NOT NULL,
    email               TEXT   NOT NULL,
    email_key           TEXT   NOT NULL,
    username            TEXT   NOT NULL,
    username_key        TEXT   NOT NULL,
    name                TEXT   NOT NULL,
    kind                TEXT   NOT NULL CHECK (kind IN ('person', 'application')),
    role                TEXT   NOT NULL,
    state               TEXT   NOT NULL CHECK (state IN ('active', 'disabled')),
    password_hash       TEXT   NOT NULL,
    password_changed_at BIGINT NOT NULL,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, email_key),
    UNIQUE (organization_id, username_key)
);
CREATE INDEX users_by_email ON users (email_key);
CREATE INDEX users_by_role ON users (organization_id, role);

CREATE TABLE teams (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    id              TEXT   NOT NULL,
    name            TEXT   NOT NULL,
    name_key        TEXT   NOT NULL,
    description     TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name_key)
);

CREATE TABLE team_members (
    organization_id TEXT NOT NULL,
    team_id         TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    PRIMARY KEY (organization_id, team_id, user_id),
    FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id)
);
CREATE INDEX team_members_by_user ON team_members (organization_id, user_id);

CREATE TABLE invitations (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    id              TEXT   NOT NULL,
    email           TEXT   NOT NULL,
    email_key       TEXT   NOT NULL,
    name            TEXT   NOT NULL,
    role            TEXT   NOT NULL,
    team_ids        TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('pending', 'accepted', 'revoked')),
    invited_by      TEXT   NOT NULL,
    user_id         TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);

-- Single-use secrets, found by the keyed digest of what was handed out.
CREATE TABLE onetime (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    purpose         TEXT   NOT NULL,
    digest          TEXT   NOT NULL,
    subject         TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    used_at         BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, purpose, digest)
);
CREATE UNIQUE INDEX onetime_by_digest ON onetime (purpose, digest);
CREATE INDEX onetime_by_expiry ON onetime (expires_at);

CREATE TABLE sessions (
    organization_id     TEXT    NOT NULL REFERENCES organizations (id),
    id                  TEXT    NOT NULL,
    user_id             TEXT    NOT NULL,
    state               TEXT    NOT NULL CHECK (state IN ('active', 'ended')),
    end_reason          TEXT    NOT NULL DEFAULT '',
    sliding             BOOLEAN NOT NULL,
    auth_time           BIGINT  NOT NULL,
    created_at          BIGINT  NOT NULL,
    last_used_at        BIGINT  NOT NULL,
    expires_at          BIGINT  NOT NULL,
    absolute_expires_at BIGINT  NOT NULL,
    ended_at            BIGINT  NOT NULL DEFAULT 0,
    device              TEXT    NOT NULL,
    fingerprint         TEXT    NOT NULL,
    address             TEXT    NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id)
);
CREATE INDEX sessions_by_user ON sessions (organization_id, user_id, state);
CREATE INDEX sessions_by_expiry ON sessions (state, expires_at);

-- One row a family: the generation in force, its predecessor and, while an overlap may need it, the successor's exact bytes.
CREATE TABLE refresh_families (
    organization_id TEXT   NOT NULL,
    id              TEXT   NOT NULL,
    session_id      TEXT   NOT NULL,
    current_jti     TEXT   NOT NULL,
    previous_jti    TEXT   NOT NULL DEFAULT '',
    generation      BIGINT NOT NULL DEFAULT 1,
    rotated_at      BIGINT NOT NULL DEFAULT 0,
    overlap_until   BIGINT NOT NULL DEFAULT 0,
    successor       TEXT   NOT NULL DEFAULT '',
    state           TEXT   NOT NULL CHECK (state IN ('active', 'ended')),
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, session_id) REFERENCES sessions (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX refresh_families_by_session ON refresh_families (organization_id, session_id);

CREATE TABLE signing_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    purpose      TEXT   NOT NULL CHECK (purpose IN ('session', 'long_lived')),
    algorithm    TEXT   NOT NULL,
    bits         BIGINT NOT NULL,
    state        TEXT   NOT NULL CHECK (state IN ('next', 'active', 'retired', 'revoked')),
    public_der   TEXT   NOT NULL,
    private_seal TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    activated_at BIGINT NOT NULL DEFAULT 0,
    retired_at   BIGINT NOT NULL DEFAULT 0,
    verify_until BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (purpose) WHERE state = 'active';
CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (purpose) WHERE state = 'next';

-- Failures counted before the hash is computed. The digest is of the name as typed or the address, never the text.
CREATE TABLE login_attempts (
    digest       TEXT   NOT NULL PRIMARY KEY,
    failures     BIGINT NOT NULL,
    locks        BIGINT NOT NULL,
    locked_until BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX login_attempts_by_age ON login_attempts (updated_at);

CREATE TABLE audit_events (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    id              TEXT   NOT NULL,
    at              BIGINT NOT NULL,
    act             TEXT   NOT NULL,
    outcome         TEXT   NOT NULL CHECK (outcome IN ('success', 'failure', 'denied')),
    actor_kind      TEXT   NOT NULL,
    actor_id        TEXT   NOT NULL,
    actor_home      TEXT   NOT NULL,
    target_kind     TEXT   NOT NULL,
    target_id       TEXT   NOT NULL,
    address         TEXT   NOT NULL,
    user_agent      TEXT   NOT NULL,
    request_id      TEXT   NOT NULL,
    details         TEXT   NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX audit_events_by_time ON audit_events (organization_id, at, id);
CREATE INDEX audit_events_by_actor ON audit_events (organization_id, actor_id, id);
CREATE INDEX audit_events_by_target ON audit_events (organization_id, target_id, id);

CREATE TABLE tickets (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    id              TEXT   NOT NULL,
    type            TEXT   NOT NULL CHECK (type IN ('incident', 'service_request', 'problem', 'change', 'task')),
    title           TEXT   NOT NULL,
    description     TEXT   NOT NULL,
    classification  TEXT   NOT NULL,
    status          TEXT   NOT NULL CHECK (status IN ('new', 'open', 'in_progress', 'pending', 'on_hold', 'resolved', 'closed', 'cancelled')),
    priority        TEXT   NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
    requester_id    TEXT   NOT NULL,
    assignee_id     TEXT   NOT NULL,
    team_id         TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX tickets_by_status ON tickets (organization_id, status, id);
CREATE INDEX tickets_by_requester ON tickets (organization_id, requester_id, id);
CREATE INDEX tickets_by_assignee ON tickets (organization_id, assignee_id, id);
CREATE INDEX tickets_by_team ON tickets (organization_id, team_id, id);

CREATE TABLE sla_policies (
    organization_id    TEXT   NOT NULL REFERENCES organizations (id),
    priority           TEXT   NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
    response_minutes   BIGINT NOT NULL,
    resolution_minutes BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL,
    PRIMARY KEY (organization_id, priority)
);

-- +goose Down
DROP TABLE sla_policies;
DROP TABLE tickets;
DROP TABLE audit_events;
DROP TABLE login_attempts;
DROP TABLE signing_keys;
DROP TABLE refresh_families;
DROP TABLE sessions;
DROP TABLE onetime;
DROP TABLE invitations;
DROP TABLE team_members;
DROP TABLE teams;
DROP TABLE users;
DROP TABLE roles;
DROP TABLE organization_origins;
DROP TABLE organizations;
