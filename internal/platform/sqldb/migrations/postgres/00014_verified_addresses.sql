-- +goose Up
-- Who has not chosen a password yet has proven nothing.
SET LOCAL ROLE gatehouse_platform; -- row-level security hides all rows from the login
UPDATE users SET email_verified = FALSE WHERE password_hash = '';
SET LOCAL ROLE TO DEFAULT;

-- +goose Down
SELECT 1;
