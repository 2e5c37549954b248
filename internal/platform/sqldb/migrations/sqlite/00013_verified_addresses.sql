-- +goose Up
-- Whether a user's address was proven to be theirs: by a link that was mailed to it, or by an operator's word. Who has
-- chosen a password before this was asked keeps what they had.
ALTER TABLE users ADD COLUMN email_verified BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE users SET email_verified = TRUE WHERE password_hash <> '';

-- +goose Down
ALTER TABLE users DROP COLUMN email_verified;
