-- +goose Up
-- Who has chosen a password before it was asked whose an address is, keeps what they had.
UPDATE users SET email_verified = TRUE WHERE password_hash <> '';

-- +goose Down
SELECT 1;
