-- name: PlatformInsert :exec
INSERT INTO organizations (id, slug, name, platform, state, settings, account_number, profile, machine_credential, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10);

-- name: Get :one
SELECT * FROM organizations WHERE id = @organization_id;

-- name: PlatformBySlug :one
SELECT * FROM organizations WHERE slug = $1;

-- name: PlatformByAccountNumber :one
SELECT * FROM organizations WHERE account_number = $1;

-- name: PlatformOperator :one
SELECT * FROM organizations WHERE platform;

-- name: PlatformList :many
SELECT * FROM organizations
WHERE id > @after AND state <> 'deleted' AND (CAST(@state AS TEXT) = '' OR state = @state)
ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformSearch :many
-- Whoever is found is listed once, by the first term that matches. CROSS JOIN tells SQLite to begin at the terms.
SELECT sqlc.embed(o), s.term FROM search_terms s CROSS JOIN organizations o
WHERE s.kind = 'organization' AND (s.term, s.subject) > (CAST(@past AS TEXT), CAST(@after AS TEXT)) AND s.term < @beyond
  AND o.id = s.subject AND o.state <> 'deleted'
  AND NOT EXISTS (SELECT 1 FROM search_terms e WHERE e.organization_id = s.subject AND e.kind = 'organization' AND e.subject = s.subject AND e.term >= @prefix AND e.term < s.term)
  AND (CAST(@state AS TEXT) = '' OR o.state = @state)
ORDER BY s.term, s.subject LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformTerms :many
-- A walk over all, which tells what has terms. That they are counted keeps PostgreSQL from reading all of them.
SELECT o.id, o.name, o.slug, CAST(0 < (SELECT count(*) FROM search_terms s WHERE s.organization_id = o.id AND s.kind = 'organization' AND s.subject = o.id) AS BOOLEAN) AS found FROM organizations o
WHERE o.id > @after AND o.state <> 'deleted'
ORDER BY o.id LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformSettings :many
-- Of all, deleted ones as well.
SELECT id, settings FROM organizations WHERE id > @after ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: Update :execrows
UPDATE organizations SET name = @name, settings = @settings, account_number = @account_number, profile = @profile, machine_credential = @machine_credential, updated_at = @now
WHERE id = @organization_id AND state <> 'deleted' AND updated_at = @was;

-- name: Hold :exec
-- Changes nothing, and holds the organization until the transaction ends.
UPDATE organizations SET updated_at = updated_at WHERE id = @organization_id;

-- name: SetState :execrows
UPDATE organizations SET state = @state, updated_at = @now WHERE id = @organization_id AND state <> 'deleted';

-- name: ClearOrigins :exec
DELETE FROM organization_origins WHERE organization_id = @organization_id;

-- name: InsertOrigin :exec
INSERT INTO organization_origins (organization_id, origin) VALUES ($1, $2);

-- name: ClearRedirects :exec
DELETE FROM organization_redirects WHERE organization_id = @organization_id;

-- name: InsertRedirect :exec
INSERT INTO organization_redirects (organization_id, uri) VALUES ($1, $2);

-- name: PlatformByOrigin :many
SELECT o.organization_id FROM organization_origins o JOIN organizations g ON g.id = o.organization_id AND g.state = 'active' WHERE o.origin = $1;
