-- +goose Up
-- A later invitation of an address and role replaces the one that waits.
CREATE INDEX invitations_pending ON invitations (organization_id, email_key, role) WHERE state = 'pending';

-- +goose Down
DROP INDEX invitations_pending;
