-- name: Insert :exec
INSERT INTO onetime (organization_id, purpose, digest, subject, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: PlatformFind :one
SELECT * FROM onetime WHERE purpose = $1 AND digest = $2;

-- name: Consume :one
UPDATE onetime SET used_at = @now WHERE organization_id = @organization_id AND purpose = @purpose AND digest = @digest AND used_at = 0 AND expires_at > @now
RETURNING subject;

-- name: Withdraw :exec
DELETE FROM onetime WHERE organization_id = $1 AND purpose = $2 AND subject = $3 AND used_at = 0;

-- name: PlatformPurge :execrows
DELETE FROM onetime WHERE (purpose, digest) IN (SELECT o.purpose, o.digest FROM onetime o WHERE o.expires_at < @before ORDER BY o.expires_at LIMIT CAST(@row_limit AS BIGINT));

-- name: Mark :execrows
INSERT INTO onetime (organization_id, purpose, digest, subject, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, $5) ON CONFLICT DO NOTHING;
