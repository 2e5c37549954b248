-- name: Insert :exec
INSERT INTO onetime (organization_id, purpose, digest, subject, payload, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: PlatformFind :one
SELECT * FROM onetime WHERE purpose = $1 AND digest = $2;

-- name: Consume :one
UPDATE onetime SET used_at = @now WHERE organization_id = @organization_id AND purpose = @purpose AND digest = @digest AND used_at = 0 AND expires_at > @now
RETURNING subject;

-- name: Try :execrows
-- One of few tries, counted before it is made. A secret without tries left is as one that was never made.
UPDATE onetime SET tries = tries + 1 WHERE organization_id = @organization_id AND purpose = @purpose AND digest = @digest AND used_at = 0 AND expires_at > @now AND tries < CAST(@most AS BIGINT);

-- name: Withdraw :exec
DELETE FROM onetime WHERE organization_id = $1 AND purpose = $2 AND subject = $3 AND used_at = 0;

-- name: PlatformPurge :execrows
DELETE FROM onetime WHERE (purpose, digest) IN (SELECT o.purpose, o.digest FROM onetime o WHERE o.expires_at < @before ORDER BY o.expires_at LIMIT CAST(@row_limit AS BIGINT));

-- name: Mark :execrows
INSERT INTO onetime (organization_id, purpose, digest, subject, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, $5) ON CONFLICT DO NOTHING;

-- name: Standing :one
SELECT payload, expires_at FROM onetime WHERE organization_id = @organization_id AND purpose = @purpose AND subject = @subject AND used_at = 0 AND expires_at > @now
ORDER BY expires_at DESC LIMIT 1;

-- name: Note :execrows
-- What became of a secret that was used.
UPDATE onetime SET payload = @payload WHERE organization_id = @organization_id AND purpose = @purpose AND digest = @digest AND used_at <> 0;

-- name: Write :execrows
-- What a secret that is not used stands for now.
UPDATE onetime SET payload = @payload WHERE organization_id = @organization_id AND purpose = @purpose AND digest = @digest AND used_at = 0 AND expires_at > @now;
