-- name: Insert :exec
INSERT INTO clients (organization_id, id, name, description, state, authentication, permissions, token_seconds, refresh_allowed, certificate_bound, rate_limit,
    allowed_addresses, created_by, created_at, updated_at)
VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, $8, $9, $10, $11, $12, $13, $13);

-- name: Get :one
SELECT * FROM clients WHERE organization_id = $1 AND id = $2;

-- name: List :many
SELECT * FROM clients WHERE organization_id = @organization_id AND id > @after AND state <> 'deleted' ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformOrganization :one
SELECT c.organization_id FROM clients c WHERE c.id = $1;

-- name: Update :execrows
UPDATE clients SET name = @name, description = @description, state = @state, authentication = @authentication, permissions = @permissions,
    token_seconds = @token_seconds, refresh_allowed = @refresh_allowed, certificate_bound = @certificate_bound, rate_limit = @rate_limit,
    allowed_addresses = @allowed_addresses, updated_at = @now
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was AND state <> 'deleted';

-- name: Stamp :exec
UPDATE clients SET last_used_at = @used_at WHERE organization_id = @organization_id AND id = @id AND last_used_at < @used_at;
