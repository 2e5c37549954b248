-- name: Insert :exec
INSERT INTO sessions (organization_id, id, user_id, state, sliding, auth_time, created_at, last_used_at, expires_at, absolute_expires_at, device, fingerprint, address, amr, connection_id, upstream_session)
VALUES ($1, $2, $3, 'active', $4, $5, $6, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: Renew :execrows
-- Who has just proven themselves again. An ended session stays ended.
UPDATE sessions SET auth_time = @auth_time, amr = @amr WHERE organization_id = @organization_id AND id = @id AND user_id = @user_id AND state = 'active';

-- name: Get :one
SELECT * FROM sessions WHERE organization_id = $1 AND id = $2;

-- name: ListByUser :many
SELECT * FROM sessions WHERE organization_id = @organization_id AND user_id = @user_id AND state = 'active' AND expires_at > @now AND id > @after
    AND (NOT sliding OR last_used_at > @used_since) AND created_at > @created_since
ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: End :one
UPDATE sessions SET state = 'ended', end_reason = @reason, ended_at = @now
WHERE organization_id = @organization_id AND id = @id AND state = 'active' RETURNING user_id;

-- name: EndByUser :many
UPDATE sessions SET state = 'ended', end_reason = @reason, ended_at = @now
WHERE organization_id = @organization_id AND user_id = @user_id AND state = 'active' AND id <> @keep RETURNING id;

-- name: EndSingleFactor :many
-- Those that never proved a second factor; amr holds words between spaces.
UPDATE sessions SET state = 'ended', end_reason = @reason, ended_at = @now
WHERE organization_id = @organization_id AND user_id = @user_id AND state = 'active' AND id <> @keep AND ' ' || amr || ' ' NOT LIKE '% mfa %' RETURNING id;

-- name: EndOldest :many
UPDATE sessions SET state = 'ended', end_reason = 'session_limit', ended_at = @now
WHERE sessions.organization_id = @organization_id AND sessions.user_id = @user_id AND sessions.state = 'active' AND sessions.expires_at > @now AND sessions.id NOT IN (
    SELECT s.id FROM sessions s WHERE s.organization_id = @organization_id AND s.user_id = @user_id AND s.state = 'active' AND s.expires_at > @now
    ORDER BY s.id DESC LIMIT CAST(@keep AS BIGINT))
RETURNING sessions.id;

-- name: Extend :execrows
UPDATE sessions SET last_used_at = @now, expires_at = @expires_at, address = @address
WHERE organization_id = @organization_id AND id = @id AND state = 'active' AND expires_at > @now;

-- name: Stamp :execrows
-- A batched stamp never goes backwards and never wakes an ended session.
UPDATE sessions SET last_used_at = CASE WHEN last_used_at < @used_at THEN @used_at ELSE last_used_at END,
    expires_at = CASE WHEN expires_at < @expires_at THEN @expires_at ELSE expires_at END,
    address = @address
WHERE organization_id = @organization_id AND id = @id AND state = 'active';

-- name: PlatformPurge :many
DELETE FROM sessions WHERE (organization_id, id) IN (
    SELECT s.organization_id, s.id FROM sessions s WHERE (s.state = 'ended' AND s.ended_at < @before) OR (s.state = 'active' AND s.expires_at < @before) LIMIT CAST(@row_limit AS BIGINT))
RETURNING id;

-- name: EndOfConnection :many
-- Those that a provider names: by its own name of the session, or by whose they are.
UPDATE sessions SET state = 'ended', end_reason = @reason, ended_at = @now
WHERE organization_id = @organization_id AND connection_id = @connection_id AND state = 'active' AND user_id = @user_id
  AND (CAST(@upstream_session AS TEXT) = '' OR upstream_session = @upstream_session) RETURNING id;

-- name: EndNamed :many
-- Whosever they are that a provider calls by a name.
UPDATE sessions SET state = 'ended', end_reason = @reason, ended_at = @now
WHERE organization_id = @organization_id AND connection_id <> '' AND connection_id = @connection_id AND upstream_session = @upstream_session
  AND state = 'active' RETURNING id;
