-- +goose Up
-- What other systems know an organization by, and which of its machines' credentials work where only one kind may.
ALTER TABLE organizations ADD COLUMN account_number TEXT NOT NULL DEFAULT '';
ALTER TABLE organizations ADD COLUMN profile TEXT NOT NULL DEFAULT '{}';
ALTER TABLE organizations ADD COLUMN machine_credential TEXT NOT NULL DEFAULT 'system_token';
CREATE UNIQUE INDEX organizations_by_account_number ON organizations (account_number) WHERE account_number <> '';

-- An application user may be let through doors that have no second step.
ALTER TABLE users ADD COLUMN mfa_exempt BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE users DROP COLUMN mfa_exempt;
DROP INDEX organizations_by_account_number;
ALTER TABLE organizations DROP COLUMN machine_credential;
ALTER TABLE organizations DROP COLUMN profile;
ALTER TABLE organizations DROP COLUMN account_number;
