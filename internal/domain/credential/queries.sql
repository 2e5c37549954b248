-- name: Insert :exec
INSERT INTO credentials (organization_id, id, kind, digest, name, purpose, owner_kind, owner_id, permissions, resources, state, rate_limit, allowed_addresses,
    created_by, created_at, updated_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'active', $11, $12, $13, $14, $14, $15);

-- name: Get :one
SELECT * FROM credentials WHERE organization_id = $1 AND id = $2;

-- name: PlatformByDigest :one
-- A value is found where it is in force or was until a rotation; whether the overlap still lasts is judged with the row.
SELECT c.organization_id, c.id FROM credentials c WHERE c.digest = $1
UNION ALL
SELECT p.organization_id, p.id FROM credentials p WHERE p.previous_digest = $1 AND p.previous_digest <> '';

-- name: List :many
SELECT * FROM credentials
WHERE organization_id = @organization_id AND kind = @kind AND id > @past
    AND (CAST(@state AS TEXT) = '' OR state = @state) AND (CAST(@owner AS TEXT) = '' OR owner_id = @owner)
ORDER BY id LIMIT CAST(@row_limit AS BIGINT) OFFSET CAST(@row_offset AS BIGINT);

-- name: ListNewestFirst :many
SELECT * FROM credentials
WHERE organization_id = @organization_id AND kind = @kind AND id < @past
    AND (CAST(@state AS TEXT) = '' OR state = @state) AND (CAST(@owner AS TEXT) = '' OR owner_id = @owner)
ORDER BY id DESC LIMIT CAST(@row_limit AS BIGINT) OFFSET CAST(@row_offset AS BIGINT);

-- name: Search :many
-- Whoever is found is listed once, by the first term that matches. CROSS JOIN tells SQLite to begin at the terms.
SELECT sqlc.embed(c), s.term FROM search_terms s CROSS JOIN credentials c
WHERE s.organization_id = @organization_id AND s.kind = @kind AND (s.term, s.subject) > (CAST(@past AS TEXT), CAST(@after AS TEXT)) AND s.term < @beyond
  AND c.organization_id = @organization_id AND c.id = s.subject
  AND NOT EXISTS (SELECT 1 FROM search_terms e WHERE e.organization_id = @organization_id AND e.kind = @kind AND e.subject = s.subject AND e.term >= @prefix AND e.term < s.term)
  AND (CAST(@state AS TEXT) = '' OR c.state = @state)
  AND (CAST(@owner AS TEXT) = '' OR c.owner_id = @owner)
ORDER BY s.term, s.subject LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformTerms :many
-- A walk over all, which tells what has terms. That they are counted keeps PostgreSQL from reading all of them.
SELECT c.organization_id, c.id, c.kind, c.name, CAST(0 < (SELECT count(*) FROM search_terms s WHERE s.organization_id = c.organization_id AND s.kind = c.kind AND s.subject = c.id) AS BOOLEAN) AS found FROM credentials c
WHERE (c.organization_id, c.id) > (CAST(@organization_id AS TEXT), CAST(@after AS TEXT))
ORDER BY c.organization_id, c.id LIMIT CAST(@row_limit AS BIGINT);

-- name: Count :one
SELECT CAST(count(*) AS BIGINT) FROM credentials
WHERE organization_id = @organization_id AND kind = @kind AND (CAST(@owner AS TEXT) = '' OR owner_id = @owner);

-- name: CountKept :one
-- How many of an owner's are not revoked.
SELECT CAST(count(*) AS BIGINT) FROM credentials WHERE organization_id = $1 AND owner_id = $2 AND kind = $3 AND state <> 'revoked';

-- name: Update :execrows
UPDATE credentials SET name = @name, purpose = @purpose, owner_kind = @owner_kind, owner_id = @owner_id, permissions = @permissions, resources = @resources,
    state = @state, rate_limit = @rate_limit, allowed_addresses = @allowed_addresses, expires_at = @expires_at, updated_at = @now
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was AND state <> 'revoked';

-- name: Rotate :execrows
UPDATE credentials SET previous_digest = @previous_digest, digest = @digest, overlap_until = @overlap_until, rotated_at = @now, updated_at = @version
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was AND state = 'active';

-- name: Revoke :execrows
UPDATE credentials SET state = 'revoked', revoked_at = @now, updated_at = CASE WHEN updated_at < @now THEN @now ELSE updated_at + 1 END
WHERE organization_id = @organization_id AND id = @id AND state <> 'revoked';

-- name: RevokeByOwner :many
UPDATE credentials SET state = 'revoked', revoked_at = @now, updated_at = CASE WHEN updated_at < @now THEN @now ELSE updated_at + 1 END
WHERE organization_id = @organization_id AND owner_id = @owner_id AND kind = @kind AND state <> 'revoked' RETURNING id;

-- name: Stamp :exec
UPDATE credentials SET last_used_at = @used_at WHERE organization_id = @organization_id AND id = @id AND last_used_at < @used_at;

-- name: Report :many
SELECT * FROM credentials
WHERE organization_id = @organization_id AND id > @after AND state <> 'revoked' AND (expires_at = 0 OR expires_at > @now)
    AND kind IN (SELECT k.value FROM json_each(CAST(@kinds AS TEXT)) k)
    AND (expires_at = 0
        OR (CASE WHEN rotated_at > created_at THEN rotated_at ELSE created_at END) < @old_before
        OR (CASE WHEN last_used_at > created_at THEN last_used_at ELSE created_at END) < @idle_before)
ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformAges :one
SELECT CAST(count(*) AS BIGINT) AS active,
    CAST(COALESCE(SUM(CASE WHEN expires_at = 0 THEN 1 ELSE 0 END), 0) AS BIGINT) AS unending,
    CAST(COALESCE(SUM(CASE WHEN created_at < @old_before AND rotated_at < @old_before THEN 1 ELSE 0 END), 0) AS BIGINT) AS old,
    CAST(COALESCE(SUM(CASE WHEN created_at < @idle_before AND last_used_at < @idle_before THEN 1 ELSE 0 END), 0) AS BIGINT) AS idle
FROM credentials WHERE state = 'active' AND (expires_at = 0 OR expires_at > @now);
