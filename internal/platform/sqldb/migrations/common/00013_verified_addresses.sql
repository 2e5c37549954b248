-- +goose Up
-- Whether a user's address was proven to be theirs: by a link that was mailed to it, or by an operator's word.
ALTER TABLE users ADD COLUMN email_verified BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE users DROP COLUMN email_verified;
