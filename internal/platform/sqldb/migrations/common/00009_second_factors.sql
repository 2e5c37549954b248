-- +goose Up
-- What a person proves beside the password, which devices of theirs are known, and the mails that tell them.

-- The methods a user has, space-separated: what is asked at every sign-in stands in the row that is read anyway. It changes with the factors, in
-- the same transaction.
ALTER TABLE users ADD COLUMN second_factors TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN mfa_required BOOLEAN NOT NULL DEFAULT FALSE;

-- How the sign-in was proven (RFC 8176), space-separated.
ALTER TABLE sessions ADD COLUMN amr TEXT NOT NULL DEFAULT 'pwd';

-- Some single-use secrets stand for something begun, and allow few tries.
ALTER TABLE onetime ADD COLUMN payload TEXT NOT NULL DEFAULT '';
ALTER TABLE onetime ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;

-- Authenticators. data is sealed: the seed of an app, the public key and the rest of a WebAuthn credential. counter is the last accepted time step
-- of an app, the signature counter of a WebAuthn credential.
CREATE TABLE factors (
    organization_id TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    user_id         TEXT    NOT NULL,
    method          TEXT    NOT NULL CHECK (method IN ('totp', 'webauthn')),
    state           TEXT    NOT NULL CHECK (state IN ('pending', 'active')),
    name            TEXT    NOT NULL,
    data            TEXT    NOT NULL,
    credential_key  TEXT    NOT NULL DEFAULT '',
    relying_party   TEXT    NOT NULL DEFAULT '',
    counter         BIGINT  NOT NULL DEFAULT 0,
    created_at      BIGINT  NOT NULL,
    last_used_at    BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id)
);
CREATE INDEX factors_by_user ON factors (organization_id, user_id, state);
CREATE UNIQUE INDEX factors_by_credential ON factors (organization_id, credential_key) WHERE credential_key <> '';
CREATE UNIQUE INDEX factors_one_app ON factors (organization_id, user_id) WHERE method = 'totp' AND state = 'active';
CREATE INDEX factors_pending ON factors (created_at) WHERE state = 'pending';

CREATE TABLE backup_codes (
    organization_id TEXT   NOT NULL,
    user_id         TEXT   NOT NULL,
    digest          TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    used_at         BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, user_id, digest),
    FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id)
);

-- Devices on which a user has signed in fully: they still get in while somebody guesses at the account.
CREATE TABLE known_devices (
    organization_id TEXT   NOT NULL,
    user_id         TEXT   NOT NULL,
    digest          TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, user_id, digest),
    FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id)
);
CREATE INDEX known_devices_by_expiry ON known_devices (expires_at);

-- Mails that wait or were sent. content is sealed, and gone when the mail is. claim is whose turn it is to send it, until claimed_until.
CREATE TABLE mails (
    organization_id TEXT   NOT NULL REFERENCES organizations (id),
    id              TEXT   NOT NULL,
    kind            TEXT   NOT NULL,
    subject         TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('waiting', 'sent', 'failed')),
    content         TEXT   NOT NULL,
    attempts        BIGINT NOT NULL DEFAULT 0,
    due_at          BIGINT NOT NULL,
    claim           TEXT   NOT NULL DEFAULT '',
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    ended_at        BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX mails_due ON mails (due_at) WHERE state = 'waiting';
CREATE INDEX mails_by_end ON mails (ended_at) WHERE state <> 'waiting';
CREATE INDEX mails_by_subject ON mails (organization_id, subject, kind, created_at);

-- +goose Down
DROP TABLE mails;
DROP TABLE known_devices;
DROP TABLE backup_codes;
DROP TABLE factors;
ALTER TABLE onetime DROP COLUMN tries;
ALTER TABLE onetime DROP COLUMN payload;
ALTER TABLE sessions DROP COLUMN amr;
ALTER TABLE users DROP COLUMN mfa_required;
ALTER TABLE users DROP COLUMN second_factors;
