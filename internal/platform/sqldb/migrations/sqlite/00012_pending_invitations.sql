-- +goose Up
-- A later invitation of an address and role replaces the one that waits.
UPDATE invitations SET state = 'revoked' WHERE state = 'pending' AND EXISTS (
    SELECT 1 FROM invitations l WHERE l.organization_id = invitations.organization_id AND l.email_key = invitations.email_key
        AND l.role = invitations.role AND l.state = 'pending' AND l.id > invitations.id);
CREATE UNIQUE INDEX invitations_pending ON invitations (organization_id, email_key, role) WHERE state = 'pending';

-- +goose Down
DROP INDEX invitations_pending;
