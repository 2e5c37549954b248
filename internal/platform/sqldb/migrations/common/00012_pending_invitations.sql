-- +goose Up
-- A later invitation of an address and role replaces the one that waits. The index is not unique, so that nodes of the
-- release before go on beside this one: they leave both.
CREATE INDEX invitations_pending ON invitations (organization_id, email_key, role) WHERE state = 'pending';

-- +goose Down
DROP INDEX invitations_pending;
