-- name: Insert :exec
INSERT INTO clients (organization_id, id, name, description, state, authentication, permissions, token_seconds, refresh_allowed, certificate_bound, rate_limit,
    allowed_addresses, created_by, created_at, updated_at)
VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, $8, $9, $10, $11, $12, $13, $13);

-- name: Get :one
SELECT * FROM clients WHERE organization_id = $1 AND id = $2;

-- name: List :many
SELECT * FROM clients WHERE organization_id = @organization_id AND id > @after AND state <> 'deleted' ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: Search :many
-- Whoever is found is listed once, by the first term that matches. CROSS JOIN tells SQLite to begin at the terms.
SELECT sqlc.embed(c), s.term FROM search_terms s CROSS JOIN clients c
WHERE s.organization_id = @organization_id AND s.kind = 'client' AND (s.term, s.subject) > (CAST(@past AS TEXT), CAST(@after AS TEXT)) AND s.term < @beyond
  AND c.organization_id = @organization_id AND c.id = s.subject AND c.state <> 'deleted'
  AND NOT EXISTS (SELECT 1 FROM search_terms e WHERE e.organization_id = @organization_id AND e.kind = 'client' AND e.subject = s.subject AND e.term >= @prefix AND e.term < s.term)
ORDER BY s.term, s.subject LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformTerms :many
-- A walk over all, which tells what has terms. That they are counted keeps PostgreSQL from reading all of them.
SELECT c.organization_id, c.id, c.name, CAST(0 < (SELECT count(*) FROM search_terms s WHERE s.organization_id = c.organization_id AND s.kind = 'client' AND s.subject = c.id) AS BOOLEAN) AS found FROM clients c
WHERE (c.organization_id, c.id) > (CAST(@organization_id AS TEXT), CAST(@after AS TEXT)) AND c.state <> 'deleted'
ORDER BY c.organization_id, c.id LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformOrganization :one
SELECT c.organization_id FROM clients c WHERE c.id = $1;

-- name: Update :execrows
UPDATE clients SET name = @name, description = @description, state = @state, authentication = @authentication, permissions = @permissions,
    token_seconds = @token_seconds, refresh_allowed = @refresh_allowed, certificate_bound = @certificate_bound, rate_limit = @rate_limit,
    allowed_addresses = @allowed_addresses, updated_at = @now
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was AND state <> 'deleted';

-- name: Stamp :exec
UPDATE clients SET last_used_at = @used_at WHERE organization_id = @organization_id AND id = @id AND last_used_at < @used_at;
