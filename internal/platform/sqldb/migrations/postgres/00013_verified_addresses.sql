-- +goose Up
-- Whether a user's address was proven to be theirs: by a link that was mailed to it, or by an operator's word. Who has
-- chosen a password before this was asked keeps what they had. They have it by the default of this moment, so that no
-- row of theirs is written and nobody waits.
ALTER TABLE users ADD COLUMN email_verified BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE users ALTER COLUMN email_verified SET DEFAULT FALSE;

-- +goose Down
ALTER TABLE users DROP COLUMN email_verified;
