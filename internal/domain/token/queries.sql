-- name: InsertFamily :exec
INSERT INTO refresh_families (organization_id, id, session_id, current_jti, state, created_at) VALUES ($1, $2, $3, $4, 'active', $5);

-- name: GetFamily :one
SELECT * FROM refresh_families WHERE organization_id = $1 AND id = $2;

-- name: Rotate :execrows
-- The one statement that decides a race: it matches for the token in force and for nobody after it, and for none from before a restore.
UPDATE refresh_families SET previous_jti = current_jti, current_jti = @next_jti, generation = generation + 1, rotated_at = @now,
    overlap_until = @overlap_until, successor = @successor
WHERE organization_id = @organization_id AND id = @id AND current_jti = @presented AND state = 'active'
    AND (SELECT i.not_before FROM installation i) <= CAST(@issued AS BIGINT);

-- name: InsertGrant :exec
INSERT INTO client_grants (organization_id, id, client_id, credential_id, permissions, thumbprint, current_jti, state, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'active', $8, $9);

-- name: GetGrant :one
SELECT * FROM client_grants WHERE organization_id = $1 AND id = $2;

-- name: RotateGrant :execrows
-- As Rotate: it matches for the token in force and for nobody after it.
UPDATE client_grants SET current_jti = @next_jti, rotated_at = @now
WHERE organization_id = @organization_id AND id = @id AND client_id = @client_id AND current_jti = @presented AND state = 'active' AND expires_at > @now
    AND (SELECT i.not_before FROM installation i) <= CAST(@issued AS BIGINT);

-- name: EndOldGrants :many
UPDATE client_grants SET state = 'ended', ended_at = @now
WHERE client_grants.organization_id = @organization_id AND client_grants.client_id = @client_id AND client_grants.state = 'active' AND client_grants.id NOT IN (
    SELECT g.id FROM client_grants g WHERE g.organization_id = @organization_id AND g.client_id = @client_id AND g.state = 'active'
    ORDER BY g.id DESC LIMIT CAST(@keep AS BIGINT))
RETURNING client_grants.id;

-- name: EndGrant :execrows
UPDATE client_grants SET state = 'ended', ended_at = @now WHERE organization_id = @organization_id AND id = @id AND state = 'active';

-- name: PlatformPurgeGrants :execrows
DELETE FROM client_grants WHERE (organization_id, id) IN (
    SELECT g.organization_id, g.id FROM client_grants g WHERE g.expires_at < @before ORDER BY g.expires_at LIMIT CAST(@row_limit AS BIGINT));

-- name: RevokeToken :execrows
INSERT INTO revoked_tokens (organization_id, jti, subject, created_at, expires_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING;

-- name: RevokedTokens :many
SELECT jti, expires_at FROM revoked_tokens WHERE organization_id = @organization_id AND expires_at > @now;

-- name: CountRevoked :one
SELECT count(*) FROM revoked_tokens WHERE organization_id = @organization_id AND subject = @subject AND expires_at > @now;

-- name: PlatformPurgeRevoked :execrows
DELETE FROM revoked_tokens WHERE (organization_id, jti) IN (
    SELECT r.organization_id, r.jti FROM revoked_tokens r WHERE r.expires_at < @before ORDER BY r.expires_at LIMIT CAST(@row_limit AS BIGINT));
